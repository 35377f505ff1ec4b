"""The feature store: one Zarr v3 group that opens with one `xr.open_zarr`.

`frame_patches [frame, patch_y, patch_x, feature]`, `frame_cls [frame, feature]`, `terrain_patches [terrain, band,
patch_y, patch_x, feature]`, `terrain_cls [terrain, band, feature]`, float with NaN = no data; `frame_valid` and
`terrain_valid [patch_y, patch_x]`. Rows of one fire are consecutive (`row_start`, `row_size`); `fire_index` is -1 on
rows that belong to no fire any more. Everything under `.plan` is the builder's own.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec

from emberformer.errors import InputError
from emberformer.features.block import Block
from emberformer.features.plan import AXES, Axis, Plan, plan_folder, read_plan
from emberformer.features.rendering import valid_share


@dataclass(frozen=True)
class StoreShape:
    """Sizes that all arrays of a store follow from."""

    grid: tuple[int, int]
    channels: int
    features: int
    dtype: str

    def record(self, array: str) -> tuple[int, ...]:
        """Shape of one record of an array."""
        tokens = self.grid if array.endswith("patches") else ()
        channels = (self.channels,) if array.startswith("terrain") else ()
        return (*channels, *tokens, self.features)

    @staticmethod
    def arrays(axis: Axis) -> tuple[str, str]:
        return f"{axis}_patches", f"{axis}_cls"


def dimensions(array: str) -> tuple[str, ...]:
    """Names of an array's dimensions."""
    axis = ("terrain", "band") if array.startswith("terrain") else ("frame",)
    return (*axis, *(("patch_y", "patch_x") if array.endswith("patches") else ()), "feature")


def block_path(store: Path, array: str, block: int) -> Path:
    """File of a block: the Zarr v3 chunk key, zero along all other axes."""
    return store.joinpath(array, "c", str(block), *("0" for _ in dimensions(array)[1:]))


def shard_manifests(store: Path) -> list[dict]:
    """What the extraction jobs wrote down."""
    return [json.loads(path.read_text()) for path in sorted(plan_folder(store).glob("shard-*.json"))]


def write_index(store: Path, fires: xr.Dataset) -> None:
    """Make the blocks one readable store: arrays' metadata, coordinates and, last of all, the root.

    Raises:
        InputError: a block is missing or damaged in length, or jobs ran with different weights.
    """
    plan = read_plan(plan_folder(store) / "plan.json")
    manifests = shard_manifests(store)
    identities = {json.dumps(m["identity"], sort_keys=True) for m in manifests}
    if len(identities) != 1:
        raise InputError(
            store,
            f"jobs of {len(identities)} different weights or shapes" if manifests else "no finished job",
            "finished jobs that agree",
            "run `snakemake extract_features`; if they still differ, delete the store first",
        )
    identity = manifests[0]["identity"]
    shape = StoreShape(tuple(identity["grid"]), len(identity["channels"]), identity["features"], identity["dtype"])
    for axis in AXES:
        for array in shape.arrays(axis):
            for block in range(plan.axis(axis).blocks):
                if plan.axis(axis).records(block):
                    Block(block_path(store, array, block), shape.record(array), shape.dtype, plan.axis(axis).block)
    staging = plan_folder(store) / "metadata"
    shutil.rmtree(staging, ignore_errors=True)
    with warnings.catch_warnings():
        # Zarr v3 has not settled its text type yet; zarr-python and xarray agree on the one used here.
        warnings.simplefilter("ignore")
        software = sorted({json.dumps(m["software"], sort_keys=True) for m in manifests})
        _write_metadata(staging, store.stem, plan, shape, {**identity, "software": software}, fires)
        zarr.consolidate_metadata(staging, zarr_format=3)
    _install(staging, store, [array for axis in AXES for array in shape.arrays(axis)])


def _write_metadata(staging: Path, key: str, plan: Plan, shape: StoreShape, identity: dict, fires: xr.Dataset) -> None:
    coordinates = _coordinates(plan, identity, fires)
    attributes = {
        "key": key,
        "coordinates": " ".join(coordinates),
        **identity,
        "fires_content_digest": fires.attrs["content_digest"],
    }
    group = zarr.create_group(staging, attributes=attributes, zarr_format=3)
    for axis in AXES:
        for array in shape.arrays(axis):
            record, part = shape.record(array), plan.axis(axis)
            group.create_array(
                array, shape=(part.rows, *record), dtype=shape.dtype, chunks=(1, *record), shards=(part.block, *record),
                compressors=Crc32cCodec(), filters=None, fill_value=np.nan, dimension_names=dimensions(array),
            )  # fmt: skip
    pixels = identity["pixels_per_patch"]
    valid = valid_share(fires.sizes["y"], fires.sizes["x"], pixels)
    for name, (dims, values) in {
        **coordinates, "frame_valid": (("patch_y", "patch_x"), valid), "terrain_valid": (("patch_y", "patch_x"), valid)
    }.items():  # fmt: skip
        values = np.asarray(values)
        text = values.dtype.kind == "U"
        array = group.create_array(
            name, shape=values.shape, dtype=str if text else values.dtype, chunks=values.shape,
            fill_value="" if text else (np.nan if values.dtype.kind == "f" else -1), dimension_names=dims,
        )  # fmt: skip
        array[...] = values.astype(object) if text else values


def _coordinates(plan: Plan, identity: dict, fires: xr.Dataset) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    rows = plan.frame.rows
    fire_index, step = np.full(rows, -1, np.int32), np.full(rows, -1, np.int32)
    for number, entry in enumerate(plan.frame.entries):
        fire_index[entry.row : entry.row + entry.size] = number
        step[entry.row : entry.row + entry.size] = np.arange(entry.size)
    terrain_row = {entry.name: entry.row for entry in plan.terrain.entries}
    terrain_digest = np.full(plan.terrain.rows, "", "U64")
    for name, row in terrain_row.items():
        terrain_digest[row] = name
    of_fire = [terrain_row[str(fires.terrain_digest.values[i])] for i in fires.terrain_index.values]
    half = (identity["pixels_per_patch"] - 1) / 2
    gy, gx = identity["grid"]
    return {
        "fire_index": (("frame",), fire_index),
        "step": (("frame",), step),
        "fire_id": (("fire",), np.array([e.name for e in plan.frame.entries], str)),
        "row_start": (("fire",), np.array([e.row for e in plan.frame.entries], np.int32)),
        "row_size": (("fire",), np.array([e.size for e in plan.frame.entries], np.int32)),
        "terrain_index": (("fire",), np.array(of_fire, np.int32)),
        "terrain_digest": (("terrain",), terrain_digest),
        "band": (("band",), np.array(identity["channels"], str)),
        "patch_y": (("patch_y",), np.arange(gy) * (2 * half + 1) + half),
        "patch_x": (("patch_x",), np.arange(gx) * (2 * half + 1) + half),
    }


def _install(staging: Path, store: Path, arrays: list[str]) -> None:
    """Move the metadata in; the root comes last, so that a store with a root is whole."""
    for folder in staging.iterdir():
        if folder.name in arrays:
            (store / folder.name).mkdir(exist_ok=True)
            os.replace(folder / "zarr.json", store / folder.name / "zarr.json")
        elif folder.is_dir():
            shutil.rmtree(store / folder.name, ignore_errors=True)
            os.replace(folder, store / folder.name)
    os.replace(staging / "zarr.json", store / "zarr.json")
    shutil.rmtree(staging)


def open_features(store: Path) -> xr.Dataset:
    """Open a feature store lazily.

    Raises:
        InputError: there is none, it is unfinished, or it carries another key than its name says.
    """
    if not (store / "zarr.json").exists():
        raise InputError(
            store, "no finished feature store", "a store with a root zarr.json", "run `snakemake extract_features`"
        )
    dataset = xr.open_zarr(store, consolidated=True, zarr_format=3, chunks=None)
    if dataset.attrs.get("key") != store.stem:
        raise InputError(
            store, f"a store of key {dataset.attrs.get('key')}", f"key {store.stem}",
            "do not rename stores; run `snakemake extract_features`",
        )  # fmt: skip
    return dataset


class FeatureRows:
    """Rows of one array of a finished store, read straight from the mapped blocks.

    Args:
        store: the feature store.
        array: 'frame_patches', 'frame_cls', 'terrain_patches' or 'terrain_cls'.
    """

    def __init__(self, store: Path, array: str):
        metadata = json.loads((store / array / "zarr.json").read_text())
        self.shape = tuple(metadata["shape"])
        self.dtype = metadata["data_type"]
        self.block = metadata["chunk_grid"]["configuration"]["chunk_shape"][0]
        self._store, self._array, self._blocks = store, array, {}

    def __getitem__(self, row: int) -> np.ndarray:
        """One row as a view of the mapped file (shape without the first axis)."""
        number = row // self.block
        if number not in self._blocks:
            path = block_path(self._store, self._array, number)
            self._blocks[number] = Block(path, self.shape[1:], self.dtype, self.block)
        return self._blocks[number][row % self.block]
