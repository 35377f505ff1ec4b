"""Disks that are full or may not be written to: one clear error, and the store goes on to the same bytes."""

import errno
import os
import resource
import shutil
import subprocess
from contextlib import ExitStack

import pytest

from benchmarks.small_store import SmallStore, contents, make_small_store
from emberformer.errors import InputError
from emberformer.features.shape import block_path
from emberformer.features.store import open_features
from emberformer.features.verify import verify
from tests.command_line import command_line
from tests.stores import ingest_all, save_settings, tiny_experiment


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole store."""
    return make_small_store(tmp_path_factory.mktemp("whole"), fires=4)


@pytest.fixture
def disk(tmp_path):
    """A small disk that can be resized and made read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        return subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
        )

    if mount("size=16k").returncode:
        pytest.skip("no right to mount a file system here")
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
        yield folder, lambda options: mount(f"remount,{options}").check_returncode()


def test_a_disk_that_fills_up_again_and_again_is_told_each_time_and_nothing_is_lost(whole, disk):
    folder, remount = disk
    small, told = whole.at(folder / "features"), []
    for kilobytes in range(4, 4000, 24):
        remount(f"size={kilobytes}k")
        try:
            small.make()
            break
        except InputError as error:
            told.append(error)
    assert all(error.where.startswith(str(small.store)) and "free some space" in error.remedy for error in told)
    told = [error.where for error in told]
    assert any(".plan/partial" in where or "/c/" in where for where in told)
    assert any(where.endswith(("plan.json", "catalogue.json")) for where in told)
    assert str(small.store) in told  # the index
    assert contents(small.store) == contents(whole.store)
    assert verify(small.store) == []


def test_a_read_only_store_is_one_clear_error_of_every_command(disk, tmp_path, monkeypatch, capsys):
    folder, remount = disk
    remount("size=16m")
    settings, layout = tiny_experiment(tmp_path)
    ingest_all(settings, layout)
    store = layout.features("tiny")
    SmallStore(store, layout.fires("tiny"), settings.features).make()
    right = contents(store)
    shutil.copytree(store.parents[1], folder / "tiny")
    moved = settings.model_copy(update={"results": folder})
    config = save_settings(moved, tmp_path / "experiment.yaml")
    on_disk = folder / "tiny" / "features" / store.name
    path = block_path(on_disk, "frame_patches", 0)
    path.write_bytes(path.read_bytes()[:-1])
    block_path(on_disk, "frame_patches", 1).unlink()
    remount("ro")
    of_dataset = ("--config", config, "--dataset", "tiny")
    commands = [("plan", *of_dataset), ("extract", *of_dataset, "--device", "cpu"), ("verify", on_disk, "--fix")]
    for words in commands:
        code, printed = command_line(monkeypatch, capsys, "features", *words)
        assert code == 2
        assert "Traceback" not in printed
        assert str(folder) in printed
        assert "make the folder writable" in printed
    remount("rw")
    small = SmallStore(on_disk, layout.fires("tiny"), settings.features)
    small.fix()
    small.make()
    assert contents(small.store) == right


def test_a_limit_of_file_size_is_one_clear_error(whole, tmp_path):
    empty = whole.at(tmp_path)
    empty.plan()
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(InputError) as caught:
            empty.extract(0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))
    assert "raise the limit" in caught.value.remedy
    assert ".plan/partial/frame_" in caught.value.where
    empty.make()
    assert contents(empty.store) == contents(whole.store)


@pytest.mark.parametrize(("code", "remedy"), [(errno.ENOSPC, "free some space"), (errno.EROFS, "make the folder writ")])
def test_a_write_that_fails_through_the_command_line(tmp_path, monkeypatch, capsys, code, remedy):
    settings, layout = tiny_experiment(tmp_path)
    ingest_all(settings, layout)
    words = ("--config", save_settings(settings, tmp_path / "experiment.yaml"), "--dataset", "tiny")
    small = SmallStore(layout.features("tiny"), layout.fires("tiny"), settings.features)
    small.plan()
    write, calls = os.writev, []

    def fails(file, pieces):
        calls.append(file)
        if len(calls) == 5:  # some of it arrives, as on a real disk
            return write(file, [pieces[0][: len(pieces[0]) // 2]])
        if len(calls) > 5:
            raise OSError(code, os.strerror(code))
        return write(file, pieces)

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", fails)
        status, printed = command_line(
            patch, capsys, "features", "extract", *words, "--device", "cpu", "--batch-tokens", 28
        )
    assert status == 2
    assert "Traceback" not in printed
    assert str(small.store) in printed
    assert remedy in printed
    assert "snakemake extract_features" in printed
    small.make()
    again = small.at(tmp_path / "again")
    again.make()
    assert contents(small.store) == contents(again.store)
    assert open_features(small.store).sizes["frame"] == 30
