"""Writing the fires store: frames and terrain as streams, tables at the end, the whole store or nothing."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401  (gives `.rio` to data sets)
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

from emberformer.atomic import replacing
from emberformer.data.fires import UNKNOWN, Band, FireSource, Frame, Window
from emberformer.data.isochrones import FrameCounts, count_frame, isochrone_shares, shrinkage_shares, warn_about
from emberformer.errors import InputError

log = logging.getLogger(__name__)
SHARD_FRAMES = 256
SHARD_BYTES = 2**26  # before compression: bounds the memory of the writer for large windows
COMPRESSOR = ZstdCodec(level=3, checksum=True)
IDENTITY = (  # with the attributes, what makes two stores equal
    *("fire_id", "fire_digest", "terrain_digest", "ground_index", "crs_wkt", "transform"),
    *("band", "band_kind", "band_unit", "weather_variable", "weather_unit"),
    *("condition", "condition_kind", "condition_unit"),
)
FLAGS = {"flag_values": [0, 1, UNKNOWN], "flag_meanings": "not_burned burned unknown"}


def write_fires(path: Path, source: FireSource) -> None:
    """Write a fires store, whole or not at all; memory holds one shard at a time.

    Equal sources make equal stores. The root `zarr.json` changes with every change of content (`content_digest`), so a
    workflow may follow that one file; for its sake the provenance names no commit and no time.

    Args:
        path: the store, `Layout.fires(dataset)`; replaced if it exists.
        source: what a reader found.

    Raises:
        InputError: the source gives fewer frames than its fires have times.
    """
    _warn_about_times(source)
    windows = {window: index for index, window in enumerate(dict.fromkeys(fire.window for fire in source.fires))}
    with replacing(Path(path)) as folder:
        group = zarr.create_group(folder, zarr_format=3)
        counts, frames = _write_frames(group, source)
        warn_about(counts, source.dataset, source.fire_kind)
        terrain = _write_terrain(group, source, list(windows))
        tables = _tables(source, windows).assign_coords(
            frame_digest=("frame", _text(burned for burned, *_ in frames)),
            fire_digest=("fire", _text(_fire_digests(source, frames))),
            terrain_digest=("terrain", _text(terrain)),
        )
        attributes = _attributes(source, counts)
        told = {key: value for key, value in attributes.items() if key != "provenance"}
        identity = [tables[name].values.tolist() for name in IDENTITY if name in tables]
        attributes["content_digest"] = _digest(told, identity)
        encoding = {name: {"compressors": (COMPRESSOR,)} for name in tables.variables}
        tables.assign_attrs(attributes).to_zarr(folder, mode="a", zarr_format=3, consolidated=True, encoding=encoding)


def _warn_about_times(source: FireSource) -> None:
    if source.closes_gaps:
        return
    seconds = source.seconds_per_frame
    steps = {fire.fire_id: np.diff(fire.valid_time.astype("datetime64[s]")).astype(float) for fire in source.fires}
    uneven = [name for name, of in steps.items() if (abs(of - seconds) > 1).any()]  # times are whole seconds
    if uneven:
        said = "%s: the times of %d fires (first %s) are not %g minutes a frame; check them and `minutes_per_frame`"
        log.warning(said, source.dataset, len(uneven), uneven[0], seconds / 60)


def _write_frames(group: zarr.Group, source: FireSource) -> tuple[FrameCounts, list[tuple[str, ...]]]:
    """Write all that belongs to a frame; returns the counts and, for every frame, the digests of its rasters."""
    steps = [step for fire in source.fires for step in range(len(fire.valid_time))]
    height, width = _size(source)
    bytes_per_frame = height * width * max(1, 4 * len(source.conditions))
    shard = int(np.clip(SHARD_BYTES // bytes_per_frame, 1, SHARD_FRAMES))
    arrays = _frame_arrays(group, source, len(steps), shard)
    frames, counts, digests, previous = iter(source.frames), FrameCounts(), [], None
    while block := list(islice(frames, shard)):
        rows = slice(len(digests), len(digests) + len(block))
        for name, array in arrays.items():
            if values := [getattr(frame, name) for frame in block if getattr(frame, name) is not None]:
                array[rows] = np.stack(values)
        for frame in block:
            counts += count_frame(previous if steps[len(digests)] else None, frame)
            digests.append(_frame_digests(frame))
            previous = frame
    if len(digests) != len(steps):
        found, remedy = f"{len(digests)} frames", "run it again when nothing writes to its files"
        raise InputError(f"data set {source.dataset!r}", found, f"{len(steps)}, as its fires have times", remedy)
    if counts.target_kind == "same_as_burned":  # only now known
        del group["isochrone"]
    return counts, digests


def _frame_arrays(group: zarr.Group, source: FireSource, frames: int, shard: int) -> dict[str, zarr.Array]:
    """Arrays of the frames, by the names of a `Frame`'s fields; they share their shards."""
    height, width = _size(source)

    def create(name: str, bands: tuple[int, ...], dtype: str, fill: float, about: dict) -> zarr.Array:
        return group.create_array(
            name,
            shape=(frames, *bands, height, width),
            dtype=dtype,
            chunks=(1, *bands, height, width),
            shards=(shard, *bands, height, width),
            compressors=COMPRESSOR,
            fill_value=fill,
            dimension_names=("frame", *["condition"] * len(bands), "y", "x"),
            attributes=_mapped(source, about),
        )

    burning = "burned by this frame" if source.fire_kind == "cumulative" else "burning at this frame"
    # A chunk that is lost reads as unknown, not as unburned.
    arrays = {
        name: create(name, (), "uint8", UNKNOWN, {"long_name": long_name, **FLAGS})
        for name, long_name in [("burned", burning), ("isochrone", "the source's own target")]
    }
    if source.conditions:
        about = {"long_name": "what changes from frame to frame; units and kinds stand with the conditions"}
        arrays["conditions"] = create("conditions", (len(source.conditions),), "float32", np.nan, about)
    return arrays


def _frame_digests(frame: Frame) -> tuple[str, ...]:
    burned = _digest_array(frame.burned)
    target = burned
    if frame.isochrone is not None and frame.isochrone is not frame.burned:
        target = _digest_array(frame.isochrone)
    return (burned, target) if frame.conditions is None else (burned, target, _digest_array(frame.conditions))


def _fire_digests(source: FireSource, frames: list[tuple[str, ...]]) -> Iterator[str]:
    remaining = iter(frames)
    for fire in source.fires:
        own = list(islice(remaining, len(fire.valid_time)))
        yield _digest(own, fire.window, fire.weather.tolist(), fire.valid_time.astype(int).tolist())


def _write_terrain(group: zarr.Group, source: FireSource, windows: list[Window]) -> list[str]:
    """Write `terrain`; returns the digest of every window."""
    bands, (height, width) = len(source.bands), _size(source)
    shard = int(np.clip(SHARD_BYTES // (4 * bands * height * width), 1, len(windows)))
    terrain = group.create_array(
        "terrain",
        shape=(len(windows), bands, height, width),
        dtype="float32",
        chunks=(1, 1, height, width),
        shards=(shard, bands, height, width),
        compressors=COMPRESSOR,
        fill_value=np.nan,
        dimension_names=("terrain", "band", "y", "x"),
        attributes=_mapped(source, {"long_name": "terrain and fuel; units and kinds stand with the bands"}),
    )
    digests: list[str] = []
    for start in range(0, len(windows), shard):
        block = np.stack([source.terrain(window) for window in windows[start : start + shard]])
        terrain[start : start + len(block)] = block
        digests += [_digest_array(values) for values in block]
    return digests


def _tables(source: FireSource, windows: dict[Window, int]) -> xr.Dataset:
    """Weather and all coordinates but the digests, with the CRS."""
    fires, sizes = source.fires, np.array([len(fire.valid_time) for fire in source.fires], "int32")
    per_fire = {
        "fire_id": _text(fire.fire_id for fire in fires),
        "row_start": (np.cumsum(sizes) - sizes).astype("int32"),
        "row_size": sizes,
        "terrain_index": np.array([windows[fire.window] for fire in fires], "int32"),
        "window_row": np.array([fire.window.row for fire in fires], "int32"),
        "window_col": np.array([fire.window.column for fire in fires], "int32"),
        "ground_index": np.array([fire.window.ground for fire in fires], "int32"),
    }
    per_frame = {
        "fire_index": np.repeat(np.arange(len(fires), dtype="int32"), sizes),
        "step": np.concatenate([np.arange(size, dtype="int32") for size in sizes]),
        "valid_time": np.concatenate([fire.valid_time for fire in fires]).astype("datetime64[s]"),
    }
    height, width = _size(source)
    coordinates = {
        **{name: ("fire", values) for name, values in per_fire.items()},
        **{name: ("frame", values) for name, values in per_frame.items()},
        **_band_coordinates("band", source.bands),
        **(_band_coordinates("condition", source.conditions) if source.conditions else {}),
        "crs_wkt": ("ground", _text(ground.crs_wkt for ground in source.grounds)),
        "transform": (("ground", "coefficient"), np.array([ground.transform for ground in source.grounds], "float64")),
        "weather_variable": ("weather_variable", _text(source.weather_variables)),
        "weather_unit": ("weather_variable", _text(source.weather_variables.values())),
        "y": ("y", np.arange(height, dtype="float64"), {"long_name": "row of the window, 0 = top"}),
        "x": ("x", np.arange(width, dtype="float64"), {"long_name": "column of the window, 0 = left"}),
    }
    weather = np.concatenate([fire.weather for fire in fires]).astype("float32")
    about = {"long_name": "weather of the step from this frame to the next; wind blows towards (u east, v north)"}
    tables = xr.Dataset({"weather": (("frame", "weather_variable"), weather, about)}, coords=coordinates)
    tables["row_size"].attrs["sample_dimension"] = "frame"  # CF: contiguous ragged array
    crs = _common_crs(source)
    return tables.rio.write_crs(crs) if crs else tables


def _band_coordinates(axis: str, bands: tuple[Band, ...]) -> dict[str, tuple[str, np.ndarray]]:
    """Names, kinds and units of bands, on their axis."""
    told = {axis: "name", f"{axis}_kind": "kind", f"{axis}_unit": "unit"}
    return {name: (axis, _text(getattr(band, field) for band in bands)) for name, field in told.items()}


def _common_crs(source: FireSource) -> str:
    """The coordinate reference system of all grounds, "" where they have none or several."""
    known = {ground.crs_wkt for ground in source.grounds}
    return known.pop() if len(known) == 1 else ""


def _size(source: FireSource) -> tuple[int, int]:
    """Height and width of all windows."""
    return source.fires[0].window.height, source.fires[0].window.width


def _attributes(source: FireSource, counts: FrameCounts) -> dict[str, object]:
    return {
        "Conventions": "CF-1.11",
        "dataset": source.dataset,
        "cell_m": float(source.cell_m),
        "seconds_per_frame": float(source.seconds_per_frame),
        "fire_kind": source.fire_kind,
        "target_kind": counts.target_kind,
        "isochrone_check": isochrone_shares(counts),
        "shrinkage_check": shrinkage_shares(counts),
        "fires_skipped": [{"fire_id": fire_id, "reason": reason} for fire_id, reason in source.fires_skipped.items()],
        "provenance": dict(source.provenance),
    }


def _mapped(source: FireSource, attributes: dict) -> dict:
    return attributes | ({"grid_mapping": "spatial_ref"} if _common_crs(source) else {})


def _text(words) -> np.ndarray:
    """Strings of any length, the only kind of text that Zarr v3 specifies."""
    return np.array(list(words), dtype=np.dtypes.StringDType())


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _digest_array(values: np.ndarray) -> str:
    content = hashlib.sha256(repr(values.shape).encode())
    content.update(values.tobytes())
    return content.hexdigest()[:16]
