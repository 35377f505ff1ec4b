"""Results that are there in whole or not at all: a folder, or a file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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
    partial = path.with_name(f"{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    put_in_place(partial, path)


def put_in_place(partial: Path, path: Path) -> None:
    """Rename a finished folder to its name; the folder of this name goes."""
    previous = path.with_name(f"{path.name}.previous")
    shutil.rmtree(previous, ignore_errors=True)
    if path.exists():  # a folder that holds something cannot be renamed over
        path.rename(previous)
    partial.rename(path)
    shutil.rmtree(previous, ignore_errors=True)


@contextmanager
def replacing_file(path: Path, ending: str = "") -> Iterator[Path]:
    """Give the path of a file to write; when the block ends well, it takes the place of `path`.

    The file lies beside `path` (`<name>.partial`), whose folder is made. After an error `path` is as it was.

    Args:
        path: file to write or to replace.
        ending: of the file to write, where a format asks for one.

    Yields:
        The file to write; there is none yet.
    """
    partial = path.with_name(f"{path.name}.partial{ending}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, text in UTF-8; after an error, or an interruption at any moment, it is as it was."""
    with replacing_file(path) as partial:
        partial.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON without NaN, whole or not at all."""
    write_whole(path, json.dumps(content, allow_nan=False))
