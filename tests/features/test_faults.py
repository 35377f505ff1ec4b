"""Faults: kills, flipped bytes, second processes, torn and missing files; nothing is lost and nothing read wrong."""

import errno
import os
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.flips import Flips
from benchmarks.kills import Jobs, Kills, Outcome
from benchmarks.small_store import SHARDS, contents, is_block, make_small_store
from emberformer.data.fires import open_fires
from emberformer.errors import InputError
from emberformer.features.block import Block, BlockWriter
from emberformer.features.extraction import extract
from emberformer.features.plan import PLAN, plan_folder, read_plan, write_plan
from emberformer.features.rendering import render_frame
from emberformer.features.shape import block_path
from emberformer.features.store import open_features, write_index
from emberformer.features.verify import verify


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole store; tests break copies of it."""
    return make_small_store(tmp_path_factory.mktemp("whole"), fires=4)


@pytest.fixture
def small(whole, tmp_path):
    """A copy of the whole store."""
    copy = whole.at(tmp_path)
    shutil.copytree(whole.store, copy.store)
    return copy


@pytest.fixture
def empty(whole, tmp_path):
    """Where the same store could be made."""
    return whole.at(tmp_path)


def flip(path, position=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 1
    path.write_bytes(data)


def refusal(action, *arguments):
    with pytest.raises(InputError) as caught:
        action(*arguments)
    return str(caught.value)


@pytest.fixture(scope="module")
def kills(whole, tmp_path_factory):
    """How long each job takes is measured once."""
    return Kills(whole, tmp_path_factory.mktemp("kills"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["make", "both", "index", "fix"])
def test_killed_jobs_leave_nothing_or_finished_blocks_and_go_on_to_the_same_bytes(kills, kind):
    kills.outcome, kills.rng = Outcome(), np.random.default_rng(1)
    while kills.outcome.kills < 3:
        kills.trial(kind)
    told = kills.outcome
    assert (told.wrong_blocks, told.recomputed, told.encoded_again) == (0, 0, 0)
    assert (told.damaged_reads, told.not_identical) == (0, 0)


@pytest.mark.slow
def test_a_flipped_byte_is_found_or_harmless(small, tmp_path):
    told = Flips(small, tmp_path / "again", seed=1).run(20)
    assert (told.wrong, told.unclear, told.unnamed) == ([], [], [])
    assert told.found + told.harmless == told.flips


def test_a_flip_that_nothing_looks_for_is_read_wrong(small, tmp_path, monkeypatch):
    flips = Flips(small, tmp_path / "again")
    monkeypatch.setattr(Block, "holds", lambda block, number: True)
    flips.flip(block_path(small.store, "frame_patches", 0), 200, 64)
    assert len(flips.outcome.wrong) >= 1


def test_two_processes_write_one_store_and_no_file_twice(whole, empty, tmp_path):
    empty.plan()
    jobs = Jobs()
    processes = [jobs.start(empty, shard)[0] for shard in range(SHARDS)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    empty.index()
    assert contents(empty.store) == contents(whole.store)
    alone = []
    for shard in range(SHARDS):
        small = whole.at(tmp_path / str(shard))
        small.plan()
        small.extract(shard)
        alone.append({name for name in contents(small.store) if is_block(name)})
    assert alone[0].isdisjoint(alone[1])
    assert alone[0] | alone[1] == {name for name in contents(whole.store) if is_block(name)}


def stopped_at_work(small):
    """A process that holds a block that it has begun to write; it stands still until it is told to go on."""
    partial, jobs = plan_folder(small.store) / "partial" / "frame_patches-0", Jobs()
    for _ in range(20):
        shutil.rmtree(small.store, ignore_errors=True)
        small.plan()
        process, _ = jobs.start(small, 0)
        assert process.pid is not None
        while process.is_alive() and not (partial.exists() and partial.stat().st_size):
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGSTOP)
        if partial.exists():
            return process, process.pid
        os.kill(process.pid, signal.SIGCONT)  # it was too fast
        process.join()
    raise AssertionError("no process was seen at work")


def test_a_second_process_on_the_same_blocks_is_told_so_and_harms_nothing(whole, empty):
    process, pid = stopped_at_work(empty)
    assert "another process writes this block" in refusal(empty.extract, 0)
    os.kill(pid, signal.SIGCONT)
    process.join()
    assert process.exitcode == 0
    empty.extract(1)
    empty.index()
    assert contents(empty.store) == contents(whole.store)


def test_a_block_that_is_finished_between_open_and_lock_is_left_alone(tmp_path, monkeypatch):
    def finished_meanwhile(file, operation):
        os.replace(tmp_path / "partial", tmp_path / "block")

    (tmp_path / "partial").write_bytes(b"what the other process wrote")
    monkeypatch.setattr("emberformer.features.block.fcntl.flock", finished_meanwhile)
    assert "another process" in refusal(BlockWriter, tmp_path / "block", tmp_path / "partial", (2, 3), "float16", 4)
    assert (tmp_path / "block").read_bytes() == b"what the other process wrote"


def test_a_file_system_without_locks_is_not_called_another_process(tmp_path, monkeypatch):
    def unsupported(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("emberformer.features.block.fcntl.flock", unsupported)
    assert "No locks available" in refusal(BlockWriter, tmp_path / "block", tmp_path / "partial", (2, 3), "float16", 4)


@pytest.mark.parametrize("damage", ["cut", "tail", "flip", "another batch"])
def test_a_torn_unfinished_block_goes_on_to_the_same_bytes(whole, empty, monkeypatch, damage):
    empty.plan()
    calls = []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return render_frame(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("emberformer.features.images.render_frame", dies)
        with pytest.raises(KeyboardInterrupt):
            empty.extract(0)
    partial = plan_folder(empty.store) / "partial" / "frame_patches-0"
    data = partial.read_bytes()
    assert data
    if damage == "cut":
        partial.write_bytes(data[: len(data) * 2 // 3])
    elif damage == "tail":
        partial.write_bytes(data + bytes(range(256)) * 40)
    elif damage == "flip":
        flip(partial)
    else:
        monkeypatch.setattr("benchmarks.small_store.BATCH_TOKENS", 170)
    empty.make()
    assert contents(empty.store) == contents(whole.store)


@pytest.mark.parametrize("name", ["frame_of/c/0", "window_y/zarr.json", "frame_patches/zarr.json", ".checksums.json"])
def test_a_missing_small_file_is_named_and_comes_back(whole, small, name):
    (small.store / name).unlink()
    assert name in refusal(open_features, small.store)
    assert [found.file for found in verify(small.store)] == [name]
    small.fix()
    assert "no finished feature store" in refusal(open_features, small.store)
    small.make()
    assert contents(small.store) == contents(whole.store)


@pytest.mark.parametrize("moves", [1, 6, 20])
def test_a_half_installed_index_is_no_store_and_is_installed_again(whole, small, monkeypatch, moves):
    replace, left = os.replace, [moves]

    def dies(source, target):
        if ".plan/metadata" in str(source) and ".plan" not in str(target):
            left[0] -= 1
            if not left[0]:
                raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("emberformer.features.store.os.replace", dies)
        with pytest.raises(KeyboardInterrupt):
            small.index()
    assert "no finished feature store" in refusal(open_features, small.store)
    small.index()
    assert contents(small.store) == contents(whole.store)


def test_what_killed_jobs_left_behind_is_not_taken_for_anything(whole, empty):
    folder = plan_folder(empty.store)
    empty.plan()
    (folder / "metadata" / "frame_of").mkdir(parents=True)
    (folder / "metadata" / "zarr.json").write_text("{")
    for name in ("plan.json.partial", "catalogue.json.partial", "identity.json.partial", "shard-0.json.partial"):
        (folder / name).write_text("half")
    (folder / "encoding.npz.partial").write_bytes(b"half")
    empty.make()
    assert contents(empty.store) == contents(whole.store)


@pytest.mark.parametrize("content", [b"not JSON", b"{}", b"[]", b"", b"\xff"])
def test_a_damaged_manifest_is_named_and_comes_back(whole, small, content):
    path = plan_folder(small.store) / "shard-0.json"
    path.write_bytes(content)
    assert str(path) in refusal(small.index)
    assert [found.file for found in verify(small.store)] == [".plan/shard-0.json"]
    small.fix()
    assert not path.exists()
    small.make()
    assert contents(small.store) == contents(whole.store)


@pytest.mark.parametrize("name", ["identity.json", "encoding.npz"])
def test_what_says_how_a_store_is_written_is_never_trusted_when_damaged(small, name):
    path = plan_folder(small.store) / name
    flip(path)
    assert str(path) in refusal(small.index)
    block_path(small.store, "frame_patches", 0).unlink()  # now there is something to encode
    for action in (small.make, small.fix):
        assert str(path) in refusal(action)


def test_plan_and_catalogue_restore_each_other(whole, small):
    folder = plan_folder(small.store)
    flip(folder / "plan.json")
    assert "emberformer features plan" in refusal(verify, small.store)
    small.make()
    assert verify(small.store) == []
    flip(folder / "catalogue.json")
    assert "verify --fix" in refusal(small.plan)
    assert [found.file for found in verify(small.store)] == [".plan/catalogue.json"]
    small.fix()
    small.make()
    assert contents(small.store) == contents(whole.store)


def test_fires_that_changed_since_the_plan_are_not_taken_for_the_planned_ones(small):
    fires = open_fires(small.fires).assign_attrs(content_digest="changed")
    for path in small.store.glob("*_patches/c/0"):
        shutil.rmtree(path)
    assert "emberformer features plan" in refusal(extract, small.store, fires, small.features, 0, 1, 0, "cpu")
    assert "emberformer features plan" in refusal(write_index, small.store, fires)


def test_damage_is_thrown_out_also_when_a_fire_was_planned_since_the_tables(small):
    """The tables do not name the fires of the new plan, so that these are numbers."""
    plan = read_plan(plan_folder(small.store) / PLAN)
    write_plan(replace(plan, frame_of=(*plan.frame_of, plan.frame_of[-1]), fires="one fire more"), small.store)
    flip(block_path(small.store, "frame_patches", 0))
    (damage,) = verify(small.store, fix=True)
    assert damage.names[0] == "fire 0"
    assert not block_path(small.store, "frame_patches", 0).exists()
