"""The digest of a data set's raw files follows from their names and contents alone."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from emberformer.data import sources
from emberformer.data.sources import DEEP_CROWN, source_digest

LONG_AGO = 1_600_000_000


@pytest.fixture
def root(tmp_path) -> Path:
    """Two fires of two frames, with isochrones and a landscape; nothing was changed of late."""
    root = tmp_path / "raw"
    for folder in ("fire_frames/sequence_001", "fire_frames/sequence_002", "isochrones/sequence_001", "landscape"):
        (root / folder).mkdir(parents=True)
        for name in ("a_000.png", "a_001.png"):
            (root / folder / name).write_text(f"{folder} {name}")
    return root


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "results" / "sources.json"


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """Folders whose files were read."""
    folders, content = [], sources._content

    def reading(folder, files):
        folders.append(folder.name)
        return content(folder, files)

    monkeypatch.setattr(sources, "_content", reading)
    return folders


@pytest.fixture
def settled(monkeypatch) -> None:
    """As if all files had been there for a while: nobody can set back the time of the last change of a file."""
    monkeypatch.setattr(sources, "SETTLED_NS", -10 * 10**9)


def edit(root: Path) -> None:
    (root / "fire_frames/sequence_001/a_001.png").write_text("another picture")


def edit_behind_its_time(root: Path) -> None:
    path = root / "fire_frames/sequence_001/a_001.png"
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def add(root: Path) -> None:
    (root / "isochrones/sequence_001/a_002.png").write_text("one more")


def remove(root: Path) -> None:
    (root / "landscape/a_000.png").unlink()


def remove_folder(root: Path) -> None:
    shutil.rmtree(root / "fire_frames/sequence_002")


def rename(root: Path) -> None:
    (root / "fire_frames/sequence_002").rename(root / "fire_frames/sequence_003")


def swap(root: Path) -> None:
    folder = root / "fire_frames/sequence_001"
    (folder / "a_000.png").rename(folder / "kept")
    (folder / "a_001.png").rename(folder / "a_000.png")
    (folder / "kept").rename(folder / "a_001.png")


def put_deeper(root: Path) -> None:
    (root / "landscape/Weathers/more").mkdir(parents=True)
    (root / "landscape/Weathers/more/table.csv").write_text("1,2")


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", [edit, edit_behind_its_time, add, remove, remove_folder, rename, swap, put_deeper])
def test_every_change_is_seen(change, root, cache):
    before = source_digest(root, cache, DEEP_CROWN)
    change(root)
    assert source_digest(root, cache, DEEP_CROWN) != before


def touch(root: Path) -> None:
    for path in root.rglob("*.png"):
        os.utime(path, (LONG_AGO, LONG_AGO))


def write_again(root: Path) -> None:
    for path in root.rglob("*.png"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)


def hide(root: Path) -> None:
    (root / "landscape/.picture.png.swp").write_text("of an editor")
    (root / "landscape/.cache").mkdir()
    (root / "landscape/.cache/picture").write_text("of a viewer")


def put_beside(root: Path) -> None:
    (root / "README.txt").write_text("nothing reads it")


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("change", [touch, write_again, hide, put_beside])
def test_what_changes_no_content_changes_nothing(change, root, cache):
    before = source_digest(root, cache, DEEP_CROWN)
    change(root)
    assert source_digest(root, cache, DEEP_CROWN) == before


def test_copy_elsewhere_has_the_same_digest(root, cache, tmp_path):
    shutil.copytree(root, tmp_path / "copy")
    (tmp_path / "linked").symlink_to(root)
    digests = {source_digest(tmp_path / name, cache.with_name(name), DEEP_CROWN) for name in ("raw", "copy", "linked")}
    assert len(digests) == 1


@pytest.mark.usefixtures("settled")
def test_only_folders_that_changed_are_read_again(root, cache, read):
    source_digest(root, cache, DEEP_CROWN)
    assert sorted(read) == ["landscape", "sequence_001", "sequence_001", "sequence_002"]
    read.clear()
    source_digest(root, cache, DEEP_CROWN)
    assert read == []
    (root / "fire_frames/sequence_002/a_000.png").write_text("another picture")
    source_digest(root, cache, DEEP_CROWN)
    assert read == ["sequence_002"]


def test_young_files_are_read_again(root, cache, read):
    source_digest(root, cache, DEEP_CROWN)
    read.clear()
    source_digest(root, cache, DEEP_CROWN)
    assert len(read) == 4


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("content", ["", "[1, 2]", '{"landscape": 3}', '{"landscape": ["", ""]}', "\0" * 90])
def test_damaged_cache_is_replaced(content, root, cache):
    before = source_digest(root, cache, DEEP_CROWN)
    good = cache.read_text()
    cache.write_text(content)
    assert source_digest(root, cache, DEEP_CROWN) == before
    assert json.loads(cache.read_text()) == json.loads(good)


def test_cache_that_cannot_be_written_does_not_matter(root, tmp_path):
    (tmp_path / "file").write_text("no folder")
    assert source_digest(root, tmp_path / "file" / "sources.json", DEEP_CROWN) == source_digest(
        root, tmp_path / "sources.json", DEEP_CROWN
    )


@pytest.mark.usefixtures("settled")
def test_nothing_but_the_cache_is_left(root, cache):
    source_digest(root, cache, DEEP_CROWN)
    assert list(cache.parent.iterdir()) == [cache]


@pytest.mark.usefixtures("settled")
def test_several_may_ask_at_once(root, cache):
    expected = source_digest(root, cache, DEEP_CROWN)

    def ask(_: int) -> str:
        cache.unlink(missing_ok=True)
        found = source_digest(root, cache, DEEP_CROWN)
        with suppress(FileNotFoundError):  # another one has just removed it
            json.loads(cache.read_text())  # whole at every instant
        return found

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(ask, range(80))) == {expected}
    assert [path.name for path in cache.parent.iterdir()] in ([], [cache.name])


def test_missing_folder_counts_as_empty(root, cache):
    shutil.rmtree(root / "isochrones")
    without = source_digest(root, cache, DEEP_CROWN)
    (root / "isochrones").mkdir()
    assert source_digest(root, cache, DEEP_CROWN) == without
