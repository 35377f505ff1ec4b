"""Results that are there in whole or not at all, a folder or a file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give an empty folder to write in; when the block ends well, it takes the place of `path`.

    The folder lies beside `path` (`<name>.partial`), so that the last move is a rename within one file system. After an
    error `path` is as it was; the remains of an interrupted attempt are removed by the next one.

    Args:
        path: folder to write or to replace.

    Yields:
        The folder to write in.
    """
    partial, previous = path.with_name(f"{path.name}.partial"), path.with_name(f"{path.name}.previous")
    for remains in (partial, previous):
        shutil.rmtree(remains, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if path.exists():  # a folder that holds something cannot be renamed over
        path.rename(previous)
    partial.rename(path)
    shutil.rmtree(previous, ignore_errors=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file; after an error, or an interruption at any moment, it is as it was.

    What is written lies beside it first (`<name>.partial`), and is then renamed. Text is in UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(partial, path)
