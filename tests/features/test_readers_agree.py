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

READS_WITH_ZARRS = """
import sys, numpy as np, zarr, zarrs
zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
def compared(group, right):
    for name in right:
        array = group[name]
        assert type(array._async_array.codec_pipeline).__name__ == "ZarrsCodecPipeline", "zarrs is not in use"
        values = np.asarray(array[:])
        assert values.dtype == right[name].dtype and values.tobytes() == right[name].tobytes(), name
        assert np.asarray(array[2:5]).tobytes() == right[name][2:5].tobytes(), name
    return f"same {len(right.files)}"
for line in sys.stdin:
    store, right = line.rstrip("\\n").split("\\t")
    try:
        print(compared(zarr.open_group(store, mode="r"), np.load(right)), flush=True)
    except Exception as error:
        print(repr(error), flush=True)
"""


@pytest.fixture(scope="module")
def zarrs():
    """Another process that compares: zarrs runs threads that do not outlive a fork of this one."""
    pytest.importorskip("zarrs")
    command = [sys.executable, "-W", "ignore", "-c", READS_WITH_ZARRS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


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


def check(zarrs, store, values, folder):
    np.savez(folder / "right.npz", **values)
    print(store, folder / "right.npz", sep="\t", file=zarrs.stdin, flush=True)
    assert zarrs.stdout.readline() == f"same {len(values)}\n"


@pytest.mark.slow
def test_zarr_python_and_xarray_read_the_same_bits(store):
    right = by_blocks(store)
    for name, values in right.items():
        assert same_bits(np.asarray(zarr.open_array(store, path=name, mode="r")[:]), values)
        assert same_bits(xr.open_zarr(store)[name].values, values)


@pytest.mark.slow
def test_zarrs_reads_the_same_bits_of_a_store_and_of_its_compressed_copy(store, zarrs, tmp_path):
    right = by_blocks(store)
    check(zarrs, store, right, tmp_path)
    check(zarrs, copy_store(store, tmp_path, "zstd"), right, tmp_path)


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
