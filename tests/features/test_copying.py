"""Copies: byte for byte or compressed, the same features, never half of a store, never a damaged one."""

import hashlib
import json
import resource
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks.small_store import CACHED_INPUTS
from emberformer.checkpoint import open_landscapes
from emberformer.cli import app
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.errors import InputError
from emberformer.features import copying
from emberformer.features.copying import Codec, copy_store, holds, named
from emberformer.features.location import write_files
from emberformer.features.rows import MappedRows, Memory, ZarrRows
from emberformer.features.store import open_features
from emberformer.network_sizes import Sizes
from tests.kinds import store_of_kind
from tests.stores import prepare, tiny_experiment


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    settings, layout = tiny_experiment(tmp_path_factory.mktemp("experiment"))
    prepare(settings, layout)
    return settings, layout


@pytest.fixture
def store(experiment, tmp_path):
    """A store that may be spoilt."""
    original = experiment[1].features("tiny")
    return shutil.copytree(original, tmp_path / "original" / original.name)


def contents(store):
    files = [p for p in sorted(store.rglob("*")) if p.is_file() and ".plan" not in p.parts]
    return {str(p.relative_to(store)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def with_features(settings, layout, location):
    """The same experiment with features that are read elsewhere."""
    dataset = settings.datasets["tiny"].model_copy(update={"features": str(location)})
    return type(layout)(settings.model_copy(update={"datasets": {"tiny": dataset}}))


def batches(layout, memory: Memory = "disk"):
    split = read_split(layout.split)
    landscapes = open_landscapes(layout, Sizes.of(layout, split), memory)
    data = FireSteps(landscapes, list_steps(landscapes, split, "train"), 3, crop=1, flip=True, inputs=CACHED_INPUTS)
    return [data.__getitems__([n, n + 1]) for n in range(0, len(data) - 1, 2)], landscapes[0].frame_reader.patches


def test_a_copy_is_byte_for_byte_the_store_without_its_plan(store, tmp_path):
    copy = tmp_path / "there" / store.name
    assert copy_store(store, tmp_path / "there") == str(copy)
    assert contents(copy) == contents(store)
    assert not (copy / ".plan").exists()
    assert not list(copy.rglob(copying.BEGUN))
    again = copy_store(copy, tmp_path / "a copy of the copy")
    assert contents(tmp_path / "a copy of the copy" / store.name) == contents(store)
    open_features(again)


@pytest.mark.parametrize("kind", ["bfloat16", "int8 components"])
def test_a_compressed_copy_holds_the_same_bits_and_copies_back_to_them(tmp_path, kind):
    store = store_of_kind(tmp_path / "made", kind)
    whole = open_features(store)
    codecs: tuple[Codec, ...] = ("lz4", "zstd")
    for codec in codecs:
        copy = open_features(copy_store(store, tmp_path / codec, codec))
        assert set(copy.variables) == set(whole.variables)
        assert all(copy[name].values.tobytes() == whole[name].values.tobytes() for name in numbers_of(whole))
    packed = tmp_path / "zstd" / store.name
    assert contents(tmp_path / "zstd" / store.name) == contents_of_copy(packed, tmp_path / "packed again")


def numbers_of(dataset):
    return [name for name in dataset.variables if dataset[name].dtype.kind in "fiu"]


def contents_of_copy(store, folder, codec: Codec = "none"):
    copy_store(store, folder, codec)
    return contents(folder / store.name)


@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("memory", ["disk", "ram"])
def test_training_on_a_copy_sees_the_same_batches(experiment, tmp_path, codec, memory):
    settings, layout = experiment
    copy = copy_store(layout.features("tiny"), tmp_path, codec)
    here, _ = batches(layout)
    there, rows = batches(with_features(settings, layout, copy), memory)
    assert memory == "ram" or isinstance(rows, MappedRows if codec == "none" else ZarrRows)
    assert len(here) == len(there) > 3
    assert all(torch.equal(a[key], b[key]) for a, b in zip(here, there, strict=True) for key in a)


@pytest.mark.parametrize("codec", ["none", "lz4"])
@pytest.mark.parametrize("position", [0, 1000, 1155, 1156, -1, -4, -5, -200])
def test_a_damaged_block_stops_the_copy_with_its_name(store, tmp_path, codec, position):
    flip(store / "frame_patches" / "c" / "1" / "0" / "0" / "0", position)
    with pytest.raises(InputError, match="frame_patches/c/1/0/0/0") as told:
        copy_store(store, tmp_path / "there", codec)
    assert "verify --fix" in told.value.remedy
    with pytest.raises(InputError, match="no finished feature store"):
        open_features(tmp_path / "there" / store.name)


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_a_missing_block_stops_the_copy_with_its_name(store, tmp_path, codec):
    (store / "frame_cls" / "c" / "1" / "0").unlink()
    with pytest.raises(InputError, match="frame_cls/c/1/0"):
        copy_store(store, tmp_path / "there", codec)


def test_a_damaged_compressed_copy_is_not_copied_on_nor_read(store, tmp_path):
    copy = copy_store(store, tmp_path / "there", "zstd")
    flip(tmp_path / "there" / store.name / "frame_patches" / "c" / "0" / "0" / "0" / "0", 40)
    with pytest.raises(InputError, match="frame_patches/c/0/0/0/0"):
        copy_store(copy, tmp_path / "further")
    with pytest.raises(InputError, match="undamaged features"):
        ZarrRows(
            copy,
            "frame_patches",
            json.loads((tmp_path / "there" / store.name / "frame_patches" / "zarr.json").read_text()),
        ).pieces(range(16))


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_an_interrupted_copy_is_no_store_and_goes_on_where_it_stopped(store, tmp_path, codec, monkeypatch):
    whole = contents_of_copy(store, tmp_path / "whole", codec)
    name = "_read_block" if codec == "none" else "_compress_block"
    original, done = getattr(copying, name), []

    def counted(*arguments):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(original(*arguments))
        return done[-1]

    monkeypatch.setattr(copying, name, counted)
    with pytest.raises(KeyboardInterrupt):
        copy_store(store, tmp_path / "there", codec)
    with pytest.raises(InputError, match="no finished feature store"):
        open_features(tmp_path / "there" / store.name)
    rest = []
    monkeypatch.setattr(copying, name, lambda *arguments: rest.append(1) or original(*arguments))
    copy_store(store, tmp_path / "there", codec)
    assert contents(tmp_path / "there" / store.name) == whole
    kinds = ("burned", "mean", "cls", "patches")
    blocks = [path for path in whole if "/c/" in path and path.split("/")[0].endswith(kinds)]
    assert len(rest) == len(blocks) - 3


def test_an_unfinished_copy_of_another_store_is_begun_anew(store, experiment, tmp_path):
    place = tmp_path / "there" / store.name
    other = {copying.BEGUN: b"of another store", "frame_patches/c/0/0/0/0": bytes(20_000), "stale": b"1"}
    write_files(place, {**other, "frame_cls/c/0/0": (store / "frame_cls/c/1/0").read_bytes()})
    copy_store(store, tmp_path / "there")
    assert contents(place) == contents(store)


def test_a_place_that_holds_something_else_stays_as_it_is(store, experiment, tmp_path):
    copy_store(store, tmp_path / "there")
    with pytest.raises(InputError, match="finished store"):
        copy_store(store, tmp_path / "there")
    unfinished = shutil.copytree(store, tmp_path / "begun" / store.name)
    (unfinished / "zarr.json").unlink()
    before = contents(unfinished)
    with pytest.raises(InputError, match="no copy of a store"):
        copy_store(store, tmp_path / "begun")
    assert contents(unfinished) == before


def test_a_copy_keeps_the_key_in_its_name():
    assert named("s3://bucket", "small-1a2b3c4d") == "s3://bucket/small-1a2b3c4d.zarr"
    assert named("folder/small-1a2b3c4d.zarr/", "small-1a2b3c4d") == "folder/small-1a2b3c4d.zarr"
    with pytest.raises(InputError, match="small-1a2b3c4d"):
        named("folder/other.zarr", "small-1a2b3c4d")


def test_a_disk_without_room_is_one_clear_error(store, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(InputError, match="cannot be written") as told:
            copy_store(store, tmp_path / "there")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "goes on where it stopped" in told.value.remedy
    copy_store(store, tmp_path / "there")
    assert contents(tmp_path / "there" / store.name) == contents(store)


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_a_folder_that_cannot_be_made_is_one_clear_error(store, tmp_path, codec):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="cannot be written"):
        copy_store(store, tmp_path / "file", codec)


def test_every_flipped_bit_of_a_block_is_seen(store):
    shard = (store / "frame_cls" / "c" / "1" / "0").read_bytes()
    assert holds(shard, 16)
    for position in np.random.default_rng(0).integers(0, len(shard), 300):
        spoilt = bytearray(shard)
        spoilt[position] ^= 4
        assert not holds(bytes(spoilt), 16)
    assert not holds(shard[:-1], 16)
    assert not holds(shard[:100], 16)


def test_the_command_says_where_the_copy_lies(store, tmp_path):
    said = CliRunner().invoke(app, ["features", "copy", str(store), str(tmp_path / "there"), "--codec", "zstd"])
    assert said.exit_code == 0, said.output
    assert str(tmp_path / "there" / store.name) in said.output
    assert open_features(tmp_path / "there" / store.name).frame_patches.encoding["compressors"][0].cname.name == "zstd"


def verified(location, *options):
    return CliRunner().invoke(app, ["features", "verify", str(location), *options])


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_copy_is_verified_row_by_row_without_its_builder(store, tmp_path, codec):
    copy = tmp_path / "there" / store.name
    copy_store(store, tmp_path / "there", codec)
    assert "every record is as it was written" in verified(copy).output
    path = copy / "frame_patches" / "c" / "0" / "0" / "0" / "0"
    flip(path, path.stat().st_size // 3)
    found = verified(copy)
    assert found.exit_code == 1
    assert "frame_patches, row " in found.output
    assert "1 damaged rows; make the copy again" in found.output
    assert isinstance(verified(copy, "--fix").exception, InputError)
    flip(path, path.stat().st_size // 3)
    (copy / "terrain_cls" / "c" / "0" / "0" / "0").unlink()
    missing = verified(copy)
    assert missing.exit_code != 0
    assert "terrain_cls" in missing.output + str(missing.exception)
