"""Blocks: plain Zarr v3 shards, resumable, and damage is found."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import Crc32cCodec

from emberformer.errors import InputError
from emberformer.features.block import Block, BlockWriter

SHAPE, CAPACITY = (2, 3, 4), 5


def write(folder, records, name="0"):
    writer = BlockWriter(
        folder / "x" / "c" / name / "0" / "0" / "0", folder / f"partial-{name}", SHAPE, "float16", CAPACITY
    )
    writer.append(records[writer.records :])
    writer.finish()
    return folder / "x" / "c" / name / "0" / "0" / "0"


def some_records(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype("float16")


@pytest.mark.parametrize("count", [1, 4, 5])
def test_zarr_python_reads_what_was_written(tmp_path, count):
    records = some_records(count)
    array = zarr.create_array(
        tmp_path / "x", shape=(count, *SHAPE), dtype="float16", chunks=(1, *SHAPE), shards=(CAPACITY, *SHAPE),
        compressors=Crc32cCodec(), filters=None, fill_value=np.nan,
    )  # fmt: skip
    write(tmp_path, records)
    assert np.array_equal(array[:], records)
    assert np.array_equal(zarr.open_array(tmp_path / "x")[count - 1], records[-1])


def test_a_block_is_byte_for_byte_what_zarr_python_writes_up_to_the_order_of_keys(tmp_path):
    records = some_records(CAPACITY)
    array = zarr.create_array(
        tmp_path / "z", shape=(CAPACITY, *SHAPE), dtype="float16", chunks=(1, *SHAPE), shards=(CAPACITY, *SHAPE),
        compressors=Crc32cCodec(), filters=None, fill_value=np.nan,
    )  # fmt: skip
    array[:] = records
    codecs = json.loads((tmp_path / "z" / "zarr.json").read_text())["codecs"]
    assert codecs[0]["configuration"]["index_location"] == "end"
    assert (tmp_path / "z" / "c" / "0" / "0" / "0" / "0").read_bytes() == write(tmp_path, records).read_bytes()


@settings(max_examples=20)
@given(st.integers(0, 3000))
def test_a_torn_block_is_taken_up_after_its_last_whole_record(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("torn")
    records = some_records(CAPACITY)
    whole = write(folder, records, "1").read_bytes()
    (folder / "partial-0").write_bytes(whole[: min(cut, CAPACITY * 52)])
    assert write(folder, records).read_bytes() == whole


def test_a_record_spoilt_in_an_unfinished_block_is_written_again(tmp_path):
    records = some_records(CAPACITY)
    whole = write(tmp_path, records, "1").read_bytes()
    torn = bytearray(whole[: 3 * 52])
    torn[60] ^= 1
    (tmp_path / "partial-0").write_bytes(torn)
    assert write(tmp_path, records).read_bytes() == whole


@pytest.mark.parametrize("position", [0, 51, 52, 130, -1, -30])
def test_every_flipped_byte_is_found(tmp_path, position):
    path = write(tmp_path, some_records(4))
    assert Block(path, SHAPE, "float16", CAPACITY).damaged() == []
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)
    assert Block(path, SHAPE, "float16", CAPACITY).damaged() != []


def test_a_cut_or_missing_block_is_refused(tmp_path):
    path = write(tmp_path, some_records(4))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="verify --fix"):
        Block(path, SHAPE, "float16", CAPACITY)
    path.unlink()
    with pytest.raises(InputError, match="no file"):
        Block(path, SHAPE, "float16", CAPACITY)


def test_two_processes_cannot_write_one_block(tmp_path):
    first = BlockWriter(tmp_path / "0", tmp_path / "partial", SHAPE, "float16", CAPACITY)
    with pytest.raises(InputError, match="another process"):
        BlockWriter(tmp_path / "0", tmp_path / "partial", SHAPE, "float16", CAPACITY)
    first.close()
    BlockWriter(tmp_path / "0", tmp_path / "partial", SHAPE, "float16", CAPACITY).close()
