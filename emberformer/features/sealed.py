"""The builder's own small files: JSON that is written whole or not at all, and in which a changed byte is noticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from emberformer.atomic import write_whole
from emberformer.errors import InputError
from emberformer.features.block import write_error

SEAL = "sha256"  # of all other keys


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write a file with its checksum; one that stands there is replaced.

    Raises:
        InputError: the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, seal(content))
    except OSError as error:
        raise write_error(path, error) from error


def read_sealed(path: Path, expected: str, remedy: str) -> dict[str, Any]:
    """Read what `write_sealed` wrote.

    Args:
        path: the file.
        expected: what it is, for the error.
        remedy: what to do where it is missing or damaged.

    Raises:
        InputError: there is no such file, or it is not as it was written.
    """
    try:
        return unseal(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(path, "no file", expected, remedy) from error
    except (OSError, ValueError) as error:
        raise InputError(path, str(error), expected, remedy) from error


def seal(content: dict[str, Any]) -> bytes:
    """JSON of a content and its checksum."""
    return json.dumps({**content, SEAL: _digest(content)}).encode()


def unseal(data: bytes) -> dict[str, Any]:
    """The content that was sealed.

    Raises:
        ValueError: the data are not as they were written.
    """
    content = json.loads(data)
    if not isinstance(content, dict) or content.pop(SEAL, None) != _digest(content):
        raise ValueError("not what was written (SHA-256)")
    return content


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
