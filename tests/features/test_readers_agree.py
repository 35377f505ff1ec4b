"""Readers of Zarr v3 that other people wrote read every array of a finished store bit for bit as ours does."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from emberformer.features.block import Block
from emberformer.features.copying import copy_store
from emberformer.features.reading import Cut, FeatureReader
from emberformer.features.shape import AXES, StoreShape, block_path
from emberformer.features.store import open_features
from tests.kinds import KINDS, store_of_kind


@pytest.fixture(scope="module", params=KINDS)
def store(request, tmp_path_factory):
    return store_of_kind(tmp_path_factory.mktemp("kind"), request.param)


def by_blocks(store):
    """Every array along `frame` and `terrain`, from its mapped blocks."""
    shape, group = StoreShape.of(open_features(store).attrs), zarr.open_group(store, mode="r")
    found = {}
    for axis in AXES:
        for array in shape.arrays(axis):
            told = group[array.name]
            assert isinstance(told, zarr.Array)
            blocks, capacity = -(-told.shape[0] // told.shards[0]), told.shards[0]  # pyright: ignore[reportOptionalSubscript]
            parts = [
                Block(block_path(store, array.name, n), array.record, array.dtype, capacity) for n in range(blocks)
            ]
            found[array.name] = np.concatenate([part[:] for part in parts])
    return found


def same_bits(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def check(store, values, folder):
    """Compare in another process: zarrs runs threads that do not outlive a fork of this one."""
    np.savez(folder / "right.npz", **values)
    code = f"""
import sys, numpy as np, zarr, zarrs
zarr.config.set({{"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}})
group = zarr.open_group({str(store)!r}, mode="r")
right = np.load({str(folder / "right.npz")!r})
for name in right:
    array = group[name]
    assert type(array._async_array.codec_pipeline).__name__ == "ZarrsCodecPipeline", "zarrs is not in use"
    values = np.asarray(array[:])
    assert values.dtype == right[name].dtype and values.tobytes() == right[name].tobytes(), name
    assert np.asarray(array[2:5]).tobytes() == right[name][2:5].tobytes(), name
print("same", len(right.files))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"same {len(values)}\n", done.stderr


@pytest.mark.slow
def test_zarr_python_xarray_and_zarrs_read_the_same_bits(store, tmp_path):
    right = by_blocks(store)
    for name, values in right.items():
        assert same_bits(np.asarray(zarr.open_array(store, path=name, mode="r")[:]), values)
        assert same_bits(xr.open_zarr(store)[name].values, values)
    pytest.importorskip("zarrs")
    check(store, right, tmp_path)


@pytest.mark.slow
def test_tensorstore_reads_the_same_bits(store):
    tensorstore = pytest.importorskip("tensorstore")
    for name, values in by_blocks(store).items():
        opened = tensorstore.open(
            {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store}/{name}/"}}, open=True, read=True
        ).result()
        assert same_bits(np.asarray(opened.read().result()), values)


@pytest.mark.slow
def test_a_compressed_copy_is_read_by_all_of_them_too(store, tmp_path):
    right = by_blocks(store)
    copy = copy_store(store, tmp_path, "zstd")
    for name, values in right.items():
        assert same_bits(xr.open_zarr(copy)[name].values, values)
    pytest.importorskip("zarrs")
    check(copy, right, tmp_path)
    tensorstore = pytest.importorskip("tensorstore")
    for name, values in right.items():
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{copy}/{name}/"}}
        assert same_bits(np.asarray(tensorstore.open(spec, open=True, read=True).result().read().result()), values)


def test_the_readers_tokens_are_the_blocks(store):
    right, features = by_blocks(store), open_features(store)
    blank = features.blank.values if "blank" in features else None
    for axis in AXES:
        reader, patches = FeatureReader(store, axis, features.attrs, blank), right[f"{axis}_patches"]
        out = torch.empty(patches.shape, dtype=reader.dtype)
        whole = (slice(0, patches.shape[-3]), slice(0, patches.shape[-2]))
        reader.read([Cut(tuple(range(len(patches))), *whole)], [out])
        if features.attrs["dtype"] == "int8":
            patches = patches.astype("float32") * right[f"{axis}_scale"].astype("float32")[..., None]
            patches = patches if features.attrs["components"] else patches + blank
        bits = out.view(torch.uint16) if reader.dtype == torch.bfloat16 else out
        assert same_bits(bits.numpy(), patches)
