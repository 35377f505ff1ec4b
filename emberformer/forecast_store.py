"""Forecast store: what every method writes and the evaluation reads; one Zarr store a method and data set.

    probability (forecast, lead, y, x)   float32, chunks of one frame, shards of up to 64 forecasts, checksummed
    on forecast                          fire_id, split, init_step, history_length, init_time
    on forecast, lead                    valid_time
    lead, y, x                           steps ahead; pixel index (0 = top row, left column)
    attributes                           method, dataset, score_kind, sees_target_wind, provenance, and calibration of
                                         a network's logits; a method without it forecasts probabilities as it has them

This module knows nothing of models: baselines write the same store, and scores see only forecasts. Stores that others
write need less than this one does; docs/forecast-store.md says what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

from emberformer.atomic import replacing
from emberformer.calibration import Calibration
from emberformer.errors import InputError

ScoreKind = Literal["probability", "score"]
SHARD_FORECASTS = 64
SHARD_BYTES = 2**27  # of numbers before compression: bounds the memory of the writer for large windows
DIMENSIONS = ("forecast", "lead", "y", "x")
NEEDED = {"fire_id": ("forecast",), "split": ("forecast",), "init_step": ("forecast",), "lead": ("lead",)}
ATTRIBUTES = ("method", "dataset", "score_kind")
CREDITS = ("title", "institution", "source", "references")  # of CF, where the store has them


@dataclass(frozen=True)
class ForecastBlock:
    """One forecast: every lead time from one initial frame of one fire.

    Args:
        fire_id: the fire, as in the fires store.
        split: "train", "validation" or "test".
        init_step: newest frame that the method saw; 0 is the first frame of the fire.
        init_time: time of that frame, datetime64[s].
        valid_time: time of each forecast [lead], datetime64[s].
        probability: probability that the pixel is burned at `valid_time` [lead, y, x], 1 where it is already burned,
            NaN where the data are unknown; where fires go out, that it burns then, of every pixel. With score_kind
            "score" any score that is higher where burning is likelier.
    """

    fire_id: str
    split: str
    init_step: int
    init_time: np.datetime64
    valid_time: np.ndarray
    probability: np.ndarray


def valid_times(init_time: np.datetime64, seconds: float, leads: int) -> np.ndarray:
    """Times of the forecasts from one frame [lead], datetime64[s]; `seconds` from frame to frame, which may be broken.

    >>> valid_times(np.datetime64("2026-01-31T14:00:00"), 90.4, 2).astype(str).tolist()
    ['2026-01-31T14:01:30', '2026-01-31T14:03:01']
    """
    spans = (seconds * np.arange(1, leads + 1)).round().astype("timedelta64[s]")
    return init_time.astype("datetime64[s]") + spans


def write_forecasts(
    path: Path,
    blocks: Iterable[ForecastBlock],
    *,
    method: str,
    dataset: str,
    score_kind: ScoreKind,
    shape: tuple[int, int, int],
    provenance: Mapping[str, object],
    sees_target_wind: bool,
    calibration: Calibration | None = None,
) -> None:
    """Write a forecast store, whole or not at all; memory holds one shard at a time.

    Args:
        path: the store, `Layout.forecasts(method, dataset)`; replaced if it exists.
        blocks: the forecasts in order; may be a generator, and may be empty.
        method: name of the method, "dilation", or of a network its folder's with the seed, "frozen-90469dc7-seed-0".
        dataset: name of the data set.
        score_kind: "probability" if the values are calibrated to be read as such.
        shape: length of (lead, y, x).
        provenance: what the forecasts were made from: versions, settings, hashes; any JSON content.
        sees_target_wind: whether the method was given the wind of the step that it forecasts.
        calibration: of a network's logits; None: the method has none.

    Raises:
        ValueError: a block of another shape, or a probability outside 0 to 1.
    """
    with replacing(Path(path)) as folder:
        group = zarr.create_group(folder, zarr_format=3)
        shard = int(np.clip(SHARD_BYTES // (4 * shape[1] * shape[2]), 1, SHARD_FORECASTS))
        probability = group.create_array(
            "probability",
            shape=(0, *shape),
            dtype="float32",
            chunks=(1, 1, *shape[1:]),
            shards=(shard, 1, *shape[1:]),
            compressors=ZstdCodec(level=3, checksum=True),
            fill_value=np.nan,
            dimension_names=DIMENSIONS,
            attributes={"long_name": "burned by valid_time", "units": "1"},
        )
        written: list[ForecastBlock] = []
        remaining = _checked(blocks, shape, score_kind)
        while chunk := list(islice(remaining, shard)):
            start = len(written)
            probability.resize((start + len(chunk), *shape))
            probability[start:] = np.stack([block.probability for block in chunk])
            written += [_without_values(block) for block in chunk]
        attributes = {
            "method": method,
            "dataset": dataset,
            "score_kind": score_kind,
            "sees_target_wind": bool(sees_target_wind),
            "provenance": dict(provenance),
        }
        if calibration is not None:
            attributes["calibration"] = calibration._asdict()
        coordinates(written, shape).assign_attrs(attributes).to_zarr(folder, mode="a", zarr_format=3, consolidated=True)


def open_forecasts(path: Path) -> xr.Dataset:
    """Open a forecast store; values are read when they are asked for.

    Returns:
        Data set with `probability` (forecast, lead, y, x) and the coordinates named at the top of this file. Of a store
        that others wrote those that it has, with `history_length`, which follows from `init_step`.

    Raises:
        InputError: the store is missing, or lacks what a forecast store must have.
    """
    if not (Path(path) / "zarr.json").is_file():
        remedy = "run `emberformer hindcast` or `emberformer baseline` for this method and data set"
        raise InputError(path, "no store", "a forecast store (Zarr v3)", remedy)
    seconds = xr.coders.CFDatetimeCoder(time_unit="s")
    forecasts = xr.open_dataset(path, engine="zarr", consolidated=False, decode_times=seconds)
    dims = {name: forecasts[name].dims for name in ("probability", *NEEDED) if name in forecasts.variables}
    lacking = [name for name, of in {"probability": DIMENSIONS, **NEEDED}.items() if dims.get(name) != of]
    lacking += [f"attribute {name}" for name in ATTRIBUTES if name not in forecasts.attrs]
    if lacking or forecasts.attrs["score_kind"] not in get_args(ScoreKind):
        found = f"no {', '.join(lacking)}" if lacking else f"score_kind {forecasts.attrs['score_kind']!r}"
        expected = f"probability {DIMENSIONS}, {', '.join(NEEDED)}, and the attributes {', '.join(ATTRIBUTES)}"
        raise InputError(path, found, expected, "write the store as docs/forecast-store.md says")
    if "history_length" not in forecasts.variables:
        forecasts = forecasts.assign_coords(history_length=forecasts.init_step + 1)
    return forecasts


def coordinates(blocks: Sequence[ForecastBlock], shape: tuple[int, int, int]) -> xr.Dataset:
    """Coordinates of a store of these forecasts, whose values are not looked at; shape of (lead, y, x)."""
    steps = np.array([block.init_step for block in blocks], "int32")
    init_time = np.array([block.init_time for block in blocks], "datetime64[s]")
    valid_time = np.array([block.valid_time for block in blocks], "datetime64[s]").reshape(len(blocks), shape[0])
    return xr.Dataset(
        coords={
            "fire_id": ("forecast", np.array([block.fire_id for block in blocks], "T")),
            "split": ("forecast", np.array([block.split for block in blocks], "T")),
            "init_step": ("forecast", steps, {"long_name": "newest frame that the method saw"}),
            "history_length": ("forecast", steps + np.int32(1), {"long_name": "frames that exist up to init_step"}),
            "init_time": ("forecast", init_time),
            "valid_time": (("forecast", "lead"), valid_time),
            "lead": ("lead", np.arange(1, shape[0] + 1, dtype="int32"), {"long_name": "steps ahead"}),
            "y": ("y", np.arange(shape[1], dtype="float64"), {"long_name": "row of the window, 0 = top"}),
            "x": ("x", np.arange(shape[2], dtype="float64"), {"long_name": "column of the window, 0 = left"}),
        }
    )


def _checked(blocks: Iterable[ForecastBlock], shape: tuple[int, int, int], kind: ScoreKind) -> Iterator[ForecastBlock]:
    for block in blocks:
        name = f"forecast of {block.fire_id} from step {block.init_step}"
        if block.probability.shape != shape or len(block.valid_time) != shape[0]:
            raise ValueError(
                f"{name}: shape {block.probability.shape}, valid times {len(block.valid_time)}, expected {shape}"
            )
        if kind == "probability":
            known = block.probability[~np.isnan(block.probability)]
            if known.size and not (known.min() >= 0 and known.max() <= 1):
                raise ValueError(f"{name}: probabilities from {known.min()} to {known.max()}, expected 0 to 1")
        yield block


def _without_values(block: ForecastBlock) -> ForecastBlock:
    """The block's coordinates alone, so that thousands of them weigh nothing."""
    return ForecastBlock(block.fire_id, block.split, block.init_step, block.init_time, block.valid_time, np.empty(0))
