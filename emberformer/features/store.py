"""The feature store: one Zarr v3 group that opens with one `xr.open_zarr`.

`frame_patches [frame, patch_y, patch_x, feature]`, `frame_cls [frame, feature]`, `terrain_patches [terrain, band,
patch_y, patch_x, feature]`, `terrain_cls [terrain, band, feature]`; beside them `frame_burned` and
`terrain_mean` of the same patches; NaN = no data. Rows of `frame` are different images: `frame_of [observation]` says
which row shows the n-th frame of the fires store, and the frames of a fire are the observations
`row_start ... row_start + row_size`. Everything under `.plan` is the builder's own.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from emberformer.errors import InputError
from emberformer.features.begun import read_encoding, read_identity
from emberformer.features.block import Block, write_error
from emberformer.features.encoding import Encoding
from emberformer.features.location import CHECKSUMS, checksums, damaged_files, is_remote, read_files, stem
from emberformer.features.plan import Plan, current_plan, plan_folder
from emberformer.features.rendering import valid_share
from emberformer.features.sealed import read_sealed
from emberformer.features.shape import AXES, FILL, FURTHER_DIMENSIONS, ArrayShape, StoreShape, block_path

MEANING = {
    "float16": "tokens as they are",
    "float32": "tokens as they are",
    "bfloat16": "bits of bfloat16: values.view(torch.bfloat16), or (values.astype('uint32') << 16).view('float32')",
    "int8": "x = patches * scale + blank (+ nothing where components are stored)",
}


def shard_manifests(store: Path) -> list[dict]:
    """What the extraction jobs wrote down.

    Raises:
        InputError: a manifest is damaged.
    """
    return [read_manifest(path) for path in sorted(plan_folder(store).glob("shard-*.json"))]


def read_manifest(path: Path) -> dict:
    """What one extraction job wrote down.

    Raises:
        InputError: it is damaged.
    """
    return read_sealed(
        path, "the manifest of an extraction job", "remove the file and run `snakemake extract_features`"
    )


def write_index(store: Path, fires: xr.Dataset) -> None:
    """Make the blocks one readable store: arrays' metadata, coordinates and, last of all, the root.

    Raises:
        InputError: no finished job, other fires than the plan's, a block that is missing or damaged in length, or a
            folder that cannot be written to.
    """
    plan = current_plan(store, fires)
    manifests = shard_manifests(store)
    if not manifests:
        raise InputError(store, "no finished job", "finished extraction jobs", "run `snakemake extract_features`")
    identity = read_identity(store)
    shape = StoreShape.of(identity)
    for axis in AXES:
        for array in shape.arrays(axis):
            for block in range(plan.axis(axis).blocks):
                if plan.axis(axis).of_block(block):
                    Block(block_path(store, array.name, block), array.record, array.dtype, plan.axis(axis).block)
    staging = plan_folder(store) / "metadata"
    software = sorted({json.dumps(m["software"], sort_keys=True) for m in manifests})
    encoding = read_encoding(store)
    try:
        shutil.rmtree(staging, ignore_errors=True)
        with warnings.catch_warnings():
            # Zarr v3 has not settled its text type yet; zarr-python and xarray agree on the one used here.
            warnings.simplefilter("ignore")
            _write_metadata(staging, store.stem, plan, shape, {**identity, "software": software}, encoding, fires)
            zarr.consolidate_metadata(staging, zarr_format=3)
        write_checksums(staging)
        _install(staging, store, [array.name for axis in AXES for array in shape.arrays(axis)])
    except OSError as error:
        raise write_error(store, error) from error


def _write_metadata(
    staging: Path, key: str, plan: Plan, shape: StoreShape, identity: dict, encoding: Encoding, fires: xr.Dataset
) -> None:
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
            _declare(group, array, plan.axis(axis).rows, plan.axis(axis).block)
    height, width = (identity["window"] or fires.sizes[side] for side in ("y", "x"))
    valid = valid_share(height, width, identity["pixels_per_patch"])
    further: dict[str, tuple[tuple[str, ...], Any]] = {
        "frame_valid": (("patch_y", "patch_x"), valid),
        "terrain_valid": (("patch_y", "patch_x"), valid),
    }
    if encoding.blank is not None:
        further["blank"] = (("patch_y", "patch_x", "feature"), encoding.blank.numpy())
    for axis, directions in encoding.basis.items():
        further[f"{axis}_directions"] = (("feature", "component"), directions.numpy())
    for name, (dims, values) in {**coordinates, **further}.items():
        _write_table(group, name, dims, np.asarray(values))


def _declare(group: zarr.Group, array: ArrayShape, rows: int, block: int) -> None:
    """Metadata of an array whose blocks lie there already."""
    meaning = {"meaning": MEANING[array.kind]} if array.name.endswith("patches") else {}
    bits = {"bits": array.kind} if array.kind == "bfloat16" else {}
    group.create_array(
        array.name, shape=(rows, *array.record), dtype=array.dtype, chunks=(1, *array.record),
        shards=(block, *array.record), compressors=Crc32cCodec(), filters=None, fill_value=FILL[array.kind],
        dimension_names=array.dims, attributes={"records_in_order": True, **meaning, **bits},
    )  # fmt: skip


def _write_table(group: zarr.Group, name: str, dims: tuple[str, ...], values: np.ndarray) -> None:
    text = values.dtype.kind == "U"
    array = group.create_array(
        name, shape=values.shape, dtype=str if text else values.dtype, chunks=values.shape,
        compressors=ZstdCodec(level=3, checksum=True), dimension_names=dims,
        fill_value="" if text else (np.nan if values.dtype.kind == "f" else -1),
    )  # fmt: skip
    array[...] = values.astype(object) if text else values


def _coordinates(plan: Plan, identity: dict, fires: xr.Dataset) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    half = (identity["pixels_per_patch"] - 1) / 2
    gy, gx = identity["grid"]
    origin = np.array(plan.origin, np.int32).reshape(-1, 2)
    found = {
        "frame_of": (("observation",), np.array(plan.frame_of, np.int32)),
        "fire_index": (("observation",), fires.fire_index.values.astype(np.int32)),
        "step": (("observation",), fires.step.values.astype(np.int32)),
        "fire_id": (("fire",), np.array(list(map(str, fires.fire_id.values)))),
        "row_start": (("fire",), fires.row_start.values.astype(np.int32)),
        "row_size": (("fire",), fires.row_size.values.astype(np.int32)),
        "terrain_index": (("fire",), np.array(plan.terrain_of, np.int32)),
        "window_y": (("fire",), origin[:, 0]),
        "window_x": (("fire",), origin[:, 1]),
        "frame_digest": (("frame",), np.array(plan.frame.digests, str)),
        "terrain_digest": (("terrain",), np.array(plan.terrain.digests, str)),
        "band": (("band",), np.array(identity["images"], str)),
        "channel": (("channel",), np.array(identity["channels"], str)),
        "patch_y": (("patch_y",), np.arange(gy) * (2 * half + 1) + half),
        "patch_x": (("patch_x",), np.arange(gx) * (2 * half + 1) + half),
    }
    if identity["layers"]:
        found["layer"] = (("layer",), np.array(identity["layers"], np.int32))
    return found


def write_checksums(folder: Path) -> None:
    """Write down the SHA-256 of every small file of a store, blocks left out."""
    names = [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != CHECKSUMS]
    small = [name for name in names if not _is_block(name) and not name.startswith(".plan/")]
    (folder / CHECKSUMS).write_bytes(checksums(read_files(folder, small)))


def _is_block(name: str) -> bool:
    parts = name.split("/")
    axis, _, kind = parts[0].partition("_")
    return "c" in parts and axis in AXES and kind in FURTHER_DIMENSIONS


def _install(staging: Path, store: Path, arrays: list[str]) -> None:
    """Move the metadata in; the root comes last, so that a store with a root is whole."""
    (store / "zarr.json").unlink(missing_ok=True)
    for folder in staging.iterdir():
        if folder.name in arrays:
            (store / folder.name).mkdir(exist_ok=True)
            os.replace(folder / "zarr.json", store / folder.name / "zarr.json")
        elif folder.is_dir():
            shutil.rmtree(store / folder.name, ignore_errors=True)
            os.replace(folder, store / folder.name)
    os.replace(staging / CHECKSUMS, store / CHECKSUMS)
    os.replace(staging / "zarr.json", store / "zarr.json")
    shutil.rmtree(staging)


def open_features(location: Path | str, key: str | None = None) -> xr.Dataset:
    """Open a feature store lazily.

    Args:
        location: a folder or a URL such as `s3://bucket/dinov2-small-1a2b3c4d.zarr`.
        key: the key that the settings ask for; by default the one in the store's name.

    Raises:
        InputError: there is none, it is unfinished or damaged, or it carries another key.
    """
    if not read_files(location, ["zarr.json"]):
        raise InputError(
            location,
            "no finished feature store",
            "a store with a root zarr.json",
            "check the URL" if is_remote(location) else "run `snakemake extract_features`",
        )
    if damaged := damaged_files(location):
        raise InputError(
            location, f"damaged: {', '.join(damaged)}", "metadata as it was written (SHA-256)",
            "run `emberformer features verify --fix` on the store, then `snakemake extract_features`; or copy it again",
        )  # fmt: skip
    dataset = xr.open_zarr(str(location), consolidated=True, zarr_format=3, chunks=None)
    if dataset.attrs.get("key") != (key or stem(location)):
        raise InputError(
            location, f"a store of key {dataset.attrs.get('key')}", f"key {key or stem(location)}",
            "do not rename stores; name a store of these feature settings, or run `snakemake extract_features`",
        )  # fmt: skip
    if not is_remote(location):
        _check_blocks(Path(location), dataset)
    return dataset


def _check_blocks(store: Path, dataset: xr.Dataset) -> None:
    """Each block that holds a row in use is there; their contents are checked when they are read."""
    for array, used in (("frame_patches", dataset.frame_of.values), ("terrain_patches", dataset.terrain_index.values)):
        block = dataset[array].encoding.get("shards", dataset[array].encoding["chunks"])[0]
        missing = [n for n in np.unique(used // block) if not block_path(store, array, int(n)).exists()]
        if missing:
            raise InputError(
                block_path(store, array, int(missing[0])), "no file", "a block of features",
                "run `emberformer features verify --fix` on the store, then `snakemake extract_features`",
            )  # fmt: skip
