"""Fires stores by hand: a few frames as arrays, without a reader in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike


def small_fires(
    frames: Mapping[str, Sequence[ArrayLike]],
    *,
    dataset: str = "small",
    wind: tuple[float, float] = (0.0, 0.0),
    terrain: Mapping[str, ArrayLike] | None = None,
    cell_m: float = 30.0,
    seconds: float = 1800.0,
    fire_kind: str = "cumulative",
) -> xr.Dataset:
    """Fires as `open_fires` gives them.

    Args:
        frames: fire_id -> frames [y, x].
        dataset: name of the data set.
        wind: m s-1 towards east and north, at every frame.
        terrain: band -> values [y, x], one window for all fires; by default no band that baselines know.
        cell_m: side of a pixel in metres.
        seconds: time between two frames.
        fire_kind: "active": fires go out.
    """
    sizes = [len(of_fire) for of_fire in frames.values()]
    burned = np.stack([np.asarray(frame, np.uint8) for of_fire in frames.values() for frame in of_fire])
    step = np.concatenate([np.arange(size) for size in sizes])
    bands = {"other": np.zeros(burned.shape[1:]), **(terrain or {})}
    return xr.Dataset(
        {
            "burned": (("frame", "y", "x"), burned),
            "terrain": (
                ("terrain", "band", "y", "x"),
                np.stack([np.asarray(b, np.float32) for b in bands.values()])[None],
            ),
            "weather": (("frame", "weather_variable"), np.tile(np.array(wind, np.float32), (len(burned), 1))),
        },
        coords={
            "fire_index": ("frame", np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)),
            "step": ("frame", step.astype(np.int32)),
            "valid_time": ("frame", (step * int(seconds)).astype("datetime64[s]")),
            "fire_id": ("fire", np.array(list(frames), "T")),
            "ground_index": ("fire", np.zeros(len(sizes), int)),
            "crs_wkt": ("ground", np.array([""], "T")),
            "transform": (("ground", "coefficient"), np.array([[cell_m, 0, 0, 0, -cell_m, 0]])),
            "row_start": ("fire", np.cumsum([0, *sizes[:-1]]).astype(np.int32)),
            "row_size": ("fire", np.array(sizes, np.int32)),
            "terrain_index": ("fire", np.zeros(len(sizes), np.int32)),
            "band": np.array(list(bands), "T"),
            "weather_variable": np.array(["wind_u", "wind_v"], "T"),
            "y": np.arange(burned.shape[1], dtype=float),
            "x": np.arange(burned.shape[2], dtype=float),
        },
        attrs={
            "dataset": dataset,
            "cell_m": cell_m,
            "seconds_per_frame": seconds,
            "fire_kind": fire_kind,
            "target_kind": "same_as_burned",
            "content_digest": "by hand",
        },
    )


def write_small_fires(fires: xr.Dataset, path: Path) -> Path:
    """Write them as a store that `open_fires` opens."""
    fires.to_zarr(path, zarr_format=3, consolidated=False)
    return path


def disc(shape: tuple[int, int], centre: ArrayLike, radius: float) -> np.ndarray:
    """Pixels within a radius of a point, 0 or 1 [y, x]."""
    away = np.moveaxis(np.indices(shape), 0, -1) - np.asarray(centre)
    return (np.linalg.norm(away, axis=-1) <= radius).astype(np.uint8)


def random_region(seed, shape=(13, 17)):
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, shape, (3, 2))
    return np.any([disc(shape, centre, rng.uniform(1, 4)) for centre in centres], 0)
