"""Has a data set's raw folder changed? One digest of all its files, at the cost of looking at their sizes and times.

The workflow asks at every start, for hundreds of thousands of files. So the digest of each folder is kept in a cache
beside its state, and only folders whose state changed are read again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

DEEP_CROWN: tuple[str, ...] = ("landscape", "fire_frames", "isochrones")
# A file may change twice within one tick of its file system's clock. Younger files are read again the next time.
SETTLED_NS = 2_000_000_000
LARGE = 1 << 20

State = list[tuple[str, int, int, int]]


def source_digest(root: Path, cache: Path, folders: Collection[str] = (".",)) -> str:
    """Digest of the names and the contents of every file that the reader of a data set may open.

    It depends on nothing else: files that were touched, or copied to another place, have the digest that they had.
    Hidden files do not count; links are followed. A folder that is missing counts as an empty one.

    A folder is taken to be unchanged while its files keep their names, sizes and times of change, of the content
    (`mtime`) as well as of the file (`ctime`, which nobody can set back).

    Args:
        root: root folder of the data set.
        cache: JSON file that remembers the digest of each folder. It is replaced in one step, so that several processes
            may ask at once; where it cannot be written, or holds anything else, everything is read again.
        folders: of the root that the reader opens; by default all of it.

    Returns:
        32 hexadecimal digits.

    Raises:
        OSError: a file or folder cannot be read.
    """
    before, settled = _read_cache(cache), time.time_ns() - SETTLED_NS
    digests, kept = {}, {}
    for folder, files in _folders(root, folders):
        state = _digest(files)
        known_state, known_digest = before.get(folder, ("", ""))
        digests[folder] = known_digest if state == known_state else _content(root / folder, files)
        if all(max(changed, renewed) < settled for _, _, changed, renewed in files):
            kept[folder] = (state, digests[folder])
    if kept != before:
        _write_cache(cache, kept)
    return _digest(sorted(digests.items()))


def _folders(root: Path, folders: Collection[str]) -> Iterator[tuple[str, State]]:
    """Every folder with files in it, relative to the root, and their names, sizes in bytes, mtimes and ctimes in ns."""
    todo = list(folders)
    while todo:
        folder, files = todo.pop(), []
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(root / folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_file():
                    status = entry.stat()
                    files.append((entry.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
                elif entry.is_dir():
                    todo.append(f"{folder}/{entry.name}")
        if files:
            yield folder, sorted(files)


def _content(folder: Path, files: State) -> str:
    """Digest of the names and contents of a folder's files."""
    parts = []
    for name, size, _, _ in files:
        with open(folder / name, "rb", buffering=0) as file:
            content = hashlib.file_digest(file, "sha256") if size > LARGE else hashlib.sha256(file.read())
        parts.append((name, content.hexdigest()))
    return _digest(parts)


def _digest(content: object) -> str:
    return hashlib.sha256(ascii(content).encode()).hexdigest()[:32]


def _read_cache(path: Path) -> dict[str, tuple[str, str]]:
    try:
        return {folder: (state, digest) for folder, (state, digest) in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _write_cache(path: Path, content: dict[str, tuple[str, str]]) -> None:
    own = path.with_name(f".{path.name}.{uuid4().hex}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(json.dumps(content, indent=0))
        os.replace(own, path)
    with suppress(OSError):
        own.unlink()
