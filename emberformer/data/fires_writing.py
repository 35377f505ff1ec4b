"""Writing the fires store: frames and terrain as streams, tables at the end, the whole store or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import rioxarray  # noqa: F401  (gives `.rio` to data sets)
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

from emberformer.atomic import replacing
from emberformer.data.fires import UNKNOWN, FireSource, Frame, Window
from emberformer.data.isochrones import FrameCounts, count_frame, isochrone_shares, shrinkage_shares, warn_about

SHARD_FRAMES = 256
SHARD_BYTES = 2**26  # before compression: bounds the memory of the writer for large windows
COMPRESSOR = ZstdCodec(level=3, checksum=True)
IDENTITY = (  # with the attributes, what makes two stores equal
    *("fire_id", "fire_digest", "terrain_digest"),
    *("band", "band_kind", "band_unit", "weather_variable", "weather_unit"),
)
FLAGS = {"flag_values": [0, 1, UNKNOWN], "flag_meanings": "not_burned burned unknown"}


def write_fires(path: Path, source: FireSource) -> None:
    """Write a fires store, whole or not at all; memory holds one shard at a time.

    Equal sources make equal stores. The root `zarr.json` changes with every change of content (`content_digest`), so a
    workflow may follow that one file; for its sake the provenance names no commit and no time.

    Args:
        path: the store, `Layout.fires(dataset)`; replaced if it exists.
        source: what a reader found.
    """
    windows = {window: index for index, window in enumerate(dict.fromkeys(fire.window for fire in source.fires))}
    with replacing(Path(path)) as folder:
        group = zarr.create_group(folder, zarr_format=3)
        counts, frames = _write_frames(group, source)
        warn_about(counts, source.dataset)
        terrain = _write_terrain(group, source, list(windows))
        tables = _tables(source, windows).assign_coords(
            frame_digest=("frame", _text(burned for burned, _ in frames)),
            fire_digest=("fire", _text(_fire_digests(source, frames))),
            terrain_digest=("terrain", _text(terrain)),
        )
        attributes = _attributes(source, counts)
        told = {key: value for key, value in attributes.items() if key != "provenance"}
        attributes["content_digest"] = _digest(told, [tables[name].values.tolist() for name in IDENTITY])
        encoding = {name: {"compressors": (COMPRESSOR,)} for name in tables.variables}
        tables.assign_attrs(attributes).to_zarr(folder, mode="a", zarr_format=3, consolidated=True, encoding=encoding)


def _write_frames(group: zarr.Group, source: FireSource) -> tuple[FrameCounts, list[tuple[str, str]]]:
    """Write `burned` and `isochrone`; returns the counts and, for every frame, the digests of the two."""
    steps = [step for fire in source.fires for step in range(len(fire.valid_time))]
    height, width = source.fires[0].window[2:]
    shard = int(np.clip(SHARD_BYTES // (height * width), 1, SHARD_FRAMES))
    burned, isochrone = (
        group.create_array(
            name,
            shape=(len(steps), height, width),
            dtype="uint8",
            chunks=(1, height, width),
            shards=(shard, height, width),
            compressors=COMPRESSOR,
            fill_value=UNKNOWN,  # a chunk that is lost reads as unknown, not as unburned
            dimension_names=("frame", "y", "x"),
            attributes=_mapped(source, {"long_name": long_name, **FLAGS}),
        )
        for name, long_name in [("burned", "burned by this frame"), ("isochrone", "the source's own target")]
    )
    frames, counts, digests, previous = iter(source.frames), FrameCounts(), [], None
    while block := list(islice(frames, shard)):
        rows = slice(len(digests), len(digests) + len(block))
        burned[rows] = np.stack([frame.burned for frame in block])
        if isochrones := [frame.isochrone for frame in block if frame.isochrone is not None]:
            isochrone[rows] = np.stack(isochrones)
        for frame in block:
            counts += count_frame(previous if steps[len(digests)] else None, frame)
            digests.append(_frame_digests(frame))
            previous = frame
    if counts.target_kind == "same_as_burned":  # only now known
        del group["isochrone"]
    return counts, digests


def _frame_digests(frame: Frame) -> tuple[str, str]:
    burned = _digest_array(frame.burned)
    if frame.isochrone is None or frame.isochrone is frame.burned:
        return burned, burned
    return burned, _digest_array(frame.isochrone)


def _fire_digests(source: FireSource, frames: list[tuple[str, str]]) -> Iterator[str]:
    remaining = iter(frames)
    for fire in source.fires:
        own = list(islice(remaining, len(fire.valid_time)))
        yield _digest(own, fire.window, fire.weather.tolist(), fire.valid_time.astype(int).tolist())


def _write_terrain(group: zarr.Group, source: FireSource, windows: list[Window]) -> list[str]:
    """Write `terrain`; returns the digest of every window."""
    bands, (height, width) = len(source.bands), windows[0][2:]
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
    }
    per_frame = {
        "fire_index": np.repeat(np.arange(len(fires), dtype="int32"), sizes),
        "step": np.concatenate([np.arange(size, dtype="int32") for size in sizes]),
        "valid_time": np.concatenate([fire.valid_time for fire in fires]).astype("datetime64[s]"),
    }
    per_band = {
        "band": _text(band.name for band in source.bands),
        "band_kind": _text(band.kind for band in source.bands),
        "band_unit": _text(band.unit for band in source.bands),
    }
    height, width = fires[0].window[2:]
    coordinates = {
        **{name: ("fire", values) for name, values in per_fire.items()},
        **{name: ("frame", values) for name, values in per_frame.items()},
        **{name: ("band", values) for name, values in per_band.items()},
        "weather_variable": ("weather_variable", _text(source.weather_variables)),
        "weather_unit": ("weather_variable", _text(source.weather_variables.values())),
        "y": ("y", np.arange(height, dtype="float64"), {"long_name": "row of the window, 0 = top"}),
        "x": ("x", np.arange(width, dtype="float64"), {"long_name": "column of the window, 0 = left"}),
    }
    weather = np.concatenate([fire.weather for fire in fires]).astype("float32")
    about = {"long_name": "weather of the step from this frame to the next; wind blows towards (u east, v north)"}
    tables = xr.Dataset({"weather": (("frame", "weather_variable"), weather, about)}, coords=coordinates)
    tables["row_size"].attrs["sample_dimension"] = "frame"  # CF: contiguous ragged array
    return tables.rio.write_crs(source.crs_wkt) if source.crs_wkt else tables


def _attributes(source: FireSource, counts: FrameCounts) -> dict[str, object]:
    return {
        "Conventions": "CF-1.11",
        "dataset": source.dataset,
        "crs_wkt": source.crs_wkt,
        "transform": [float(number) for number in source.transform],
        "cell_m": float(source.cell_m),
        "seconds_per_frame": float(source.seconds_per_frame),
        "target_kind": counts.target_kind,
        "isochrone_check": isochrone_shares(counts),
        "shrinkage_check": shrinkage_shares(counts),
        "fires_skipped": [{"fire_id": fire_id, "reason": reason} for fire_id, reason in source.fires_skipped.items()],
        "provenance": dict(source.provenance),
    }


def _mapped(source: FireSource, attributes: dict) -> dict:
    return attributes | ({"grid_mapping": "spatial_ref"} if source.crs_wkt else {})


def _text(words) -> np.ndarray:
    """Strings of any length, the only kind of text that Zarr v3 specifies."""
    return np.array(list(words), dtype=np.dtypes.StringDType())


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _digest_array(values: np.ndarray) -> str:
    content = hashlib.sha256(repr(values.shape).encode())
    content.update(values.tobytes())
    return content.hexdigest()[:16]
