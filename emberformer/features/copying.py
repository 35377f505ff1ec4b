"""Copies of a finished store: to another folder or to object storage, as it is or compressed, verified on the way.

Blocks come first and the root last, so that half a copy is never taken for a store. A compressed copy keeps every
value; its records are encoded by `bytes`, `blosc` (bits transposed before compression) and `crc32c`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
import zarr
from tqdm import tqdm

from emberformer.errors import InputError
from emberformer.features.block import CHECKSUM_BYTES, EMPTY, checksum_holds
from emberformer.features.location import (
    CHECKSUMS,
    checksums,
    read_files,
    remove,
    sizes,
    stem,
    write_failed,
    write_files,
)
from emberformer.features.rows import is_missing, used_rows
from emberformer.features.shape import AXES, StoreShape, block_path
from emberformer.features.store import open_features

Codec = Literal["none", "lz4", "zstd"]
LEVEL = 5  # of blosc
BEGUN = ".copying.json"  # what an unfinished copy is a copy of


def copy_store(source: Path | str, target: Path | str, codec: Codec = "none") -> str:
    """Copy a finished feature store; a copy that was interrupted goes on where it stopped.

    One block at a time is in memory.

    Args:
        source: the store, a folder or a URL.
        target: a folder or URL into which `<key>.zarr` is put, or all of the copy's name ending in `<key>.zarr`.
        codec: 'none' copies byte for byte; 'lz4' and 'zstd' compress the records without loss.

    Returns:
        Where the copy lies.

    Raises:
        InputError: the source is damaged, the target is there already or holds something else, or it cannot be written.
    """
    features = open_features(source)
    place = named(target, features.attrs["key"])
    told = read_files(source, [CHECKSUMS])[CHECKSUMS]
    there = _begin(place, json.dumps({"source": hashlib.sha256(told).hexdigest(), "codec": codec}).encode())
    small = read_files(source, json.loads(told))
    blocks = _blocks(features)
    if codec != "none":
        small = compressed_metadata(small, dict.fromkeys(array for array, _ in blocks), codec)
        write_files(place, {name: data for name, data in small.items() if name.endswith("/zarr.json")})
    whole = sizes(source) if there else {}
    for array, block in tqdm(blocks, desc=f"copy {stem(source)}", unit="block", mininterval=1):
        name, capacity = block_path(Path(), array, block).as_posix(), features[array].encoding["shards"][0]
        if name not in there or (codec == "none" and there[name] != whole.get(name)):
            if codec == "none":
                write_files(place, {name: _read_block(source, name, capacity)})
            else:
                _compress_block(source, place, array, range(block * capacity, (block + 1) * capacity))
    root = small.pop("zarr.json")
    write_files(place, small)
    write_files(place, {CHECKSUMS: checksums({**small, "zarr.json": root})})
    write_files(place, {"zarr.json": root})
    remove(f"{place}/{BEGUN}")
    open_features(place)
    return place


def named(target: Path | str, key: str) -> str:
    """Name of a copy: the target itself where it ends in `<key>.zarr`, else `<key>.zarr` in it.

    >>> named("s3://bucket/features/", "dinov2-small-1a2b3c4d")
    's3://bucket/features/dinov2-small-1a2b3c4d.zarr'

    Raises:
        InputError: the target is named as another store.
    """
    whole = str(target).rstrip("/")
    if not whole.endswith(".zarr"):
        return f"{whole}/{key}.zarr"
    if stem(whole) != key:
        raise InputError(
            target, f"a name of another key than the store's, {key}", f"a folder, or a name ending in {key}.zarr",
            "readers find a store by the key in its name: do not rename it",
        )  # fmt: skip
    return whole


def _begin(place: str, begun: bytes) -> dict[str, int]:
    """Sizes of the files of an unfinished copy of the same store and codec; else the place is made ready for one.

    Raises:
        InputError: a finished store, or files that are no copy.
    """
    there = sizes(place)
    if "zarr.json" in there:
        raise InputError(
            place, "a finished store", "a place without one", "delete it first, or name another folder or bucket"
        )
    if there and BEGUN not in there:
        raise InputError(
            place, "files that are no copy of a store", "nothing, or a copy that was interrupted",
            "name another folder or bucket",
        )  # fmt: skip
    if there and read_files(place, [BEGUN]).get(BEGUN) == begun:
        return there
    if there:
        remove(place)
    write_files(place, {BEGUN: begun})
    return {}


def _blocks(features: xr.Dataset) -> list[tuple[str, int]]:
    """Arrays along `frame` and `terrain`, each with the numbers of its blocks that hold something."""
    found = []
    for axis in AXES:
        held = np.flatnonzero(features[f"{axis}_digest"].values != "")
        for array in StoreShape.of(features.attrs).arrays(axis):
            capacity = features[array.name].encoding["shards"][0]
            found += [(array.name, block) for block in np.unique(held // capacity).tolist()]
    return found


def _read_block(source: Path | str, name: str, capacity: int) -> bytes:
    """A block as it is, once its checksums hold."""
    data = read_files(source, [name]).get(name)
    if data is None or not holds(data, capacity):
        raise _damaged(source, name, "no file" if data is None else "not what was written (checksum)")
    return data


def _damaged(source: Path | str, name: str, found: str) -> InputError:
    return InputError(
        f"{source}, {name}", found, "an undamaged store to copy",
        "run `emberformer features verify --fix` on the store, then `snakemake extract_features`; a copy is made anew",
    )  # fmt: skip


def holds(shard: bytes, capacity: int) -> bool:
    """Whether a shard is what was written: the checksums of its index and of all its records, however encoded."""
    tail = capacity * 16 + CHECKSUM_BYTES
    if len(shard) < tail or not checksum_holds(memoryview(shard)[-tail:]):
        return False
    index = np.frombuffer(shard, "<u8", capacity * 2, len(shard) - tail).reshape(-1, 2)
    for offset, size in index[index[:, 0] != EMPTY].tolist():
        if offset + size > len(shard) - tail or not checksum_holds(memoryview(shard)[offset : offset + size]):
            return False
    return True


def _compress_block(source: Path | str, place: str, array: str, rows: range) -> None:
    """Read one block through zarr-python, which checks it, and write it with the codecs of the copy's metadata."""
    name = block_path(Path(), array, rows.start // len(rows)).as_posix()
    try:
        values = np.asarray(zarr.open_array(str(source), path=array, mode="r")[rows.start : rows.stop])
    except Exception as error:  # storage libraries and codecs raise errors of their own kinds
        raise _damaged(source, name, f"{type(error).__name__}: {error}") from error
    target = zarr.open_array(place, path=array, mode="r+")
    used = used_rows(source, array)
    needed = used[(used >= rows.start) & (used < rows.stop)] - rows.start
    if is_missing(values[needed], target.metadata.to_dict()["fill_value"]).any():
        raise _damaged(source, name, "a record is missing")
    try:
        target[rows.start : rows.start + len(values)] = values
    except Exception as error:
        raise write_failed(place, error) from error


def compressed_metadata(small: dict[str, bytes], arrays: Iterable[str], codec: Codec) -> dict[str, bytes]:
    """Metadata of a store whose records are compressed: of the arrays, and the root that repeats it."""
    changed = dict(small)
    root = json.loads(small["zarr.json"])
    for array in arrays:
        metadata = json.loads(small[f"{array}/zarr.json"])
        for told in (metadata, root["consolidated_metadata"]["metadata"][array]):
            inner = told["codecs"][0]["configuration"]["codecs"]
            blosc = {
                "typesize": np.dtype(told["data_type"]).itemsize, "cname": codec, "clevel": LEVEL,
                "shuffle": "bitshuffle", "blocksize": 0,
            }  # fmt: skip
            plain = [each for each in inner if each["name"] not in ("blosc", "crc32c")]
            inner[:] = [*plain, {"name": "blosc", "configuration": blosc}, {"name": "crc32c"}]
            told["attributes"].pop("records_in_order", None)
        changed[f"{array}/zarr.json"] = json.dumps(metadata).encode()
    changed["zarr.json"] = json.dumps(root).encode()
    return changed
