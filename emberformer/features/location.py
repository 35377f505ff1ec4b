"""Where a finished store lies: a folder, or a URL of object storage that fsspec opens."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emberformer.atomic import write_whole
from emberformer.errors import InputError
from emberformer.features.sealed import seal, unseal

CHECKSUMS = ".checksums.json"  # SHA-256 of every small file of a store; the blocks carry their own


def is_remote(location: Path | str) -> bool:
    """Whether a location is a URL.

    >>> is_remote("s3://bucket/portillo/dinov2-small-1a2b3c4d.zarr"), is_remote(Path("results"))
    (True, False)
    """
    return "://" in str(location)


def stem(location: Path | str) -> str:
    """Last part of a location without `.zarr`: the key that a store carries in its name."""
    return str(location).rstrip("/").rsplit("/", 1)[-1].removesuffix(".zarr")


def file_system(location: Path | str) -> tuple[Any, str]:
    """The fsspec file system of a location, and the location's path on it.

    Credentials and the endpoint come from the environment, as for every program of the same storage (AWS_ACCESS_KEY_ID,
    AWS_ENDPOINT_URL ...).

    Raises:
        InputError: the package for this kind of storage is not installed.
    """
    import fsspec

    try:
        return fsspec.core.url_to_fs(str(location))
    except (ImportError, ValueError) as error:
        raise InputError(
            location, str(error), "a folder, or a URL whose storage is installed",
            "for s3:// run `pip install 'emberformer[s3]'`",
        ) from error  # fmt: skip


def read_files(location: Path | str, names: Iterable[str]) -> dict[str, bytes]:
    """Contents of files of a store by their names; a file that is not there is left out.

    Raises:
        InputError: the storage cannot be reached.
    """
    if not is_remote(location):
        paths = {name: Path(location) / name for name in names}
        return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
    system, root = file_system(location)
    try:
        found = system.cat([f"{root.rstrip('/')}/{name}" for name in names], on_error="return")
    except Exception as error:  # storage libraries raise errors of their own kinds
        raise storage_error(location, error) from error
    for error in found.values():
        if isinstance(error, Exception) and not isinstance(error, FileNotFoundError):
            raise storage_error(location, error) from error
    return {path[len(root.rstrip("/")) + 1 :]: data for path, data in found.items() if isinstance(data, bytes)}


def write_files(location: Path | str, files: dict[str, bytes]) -> None:
    """Write files of a store; each appears under its name only when it is whole.

    Raises:
        InputError: they cannot be written.
    """
    try:
        if is_remote(location):
            system, root = file_system(location)
            system.pipe({f"{root.rstrip('/')}/{name}": data for name, data in files.items()})
            return
        for name, data in files.items():
            path = Path(location) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
    except InputError:
        raise
    except Exception as error:  # storage libraries raise errors of their own kinds
        raise write_failed(location, error) from error


def sizes(location: Path | str) -> dict[str, int]:
    """Bytes of every file at a location by its name; empty where there is none.

    Raises:
        InputError: the storage cannot be reached.
    """
    system, root = file_system(location)
    try:
        system.invalidate_cache()
        found = system.find(root, detail=True)
    except FileNotFoundError:
        return {}
    except Exception as error:
        raise storage_error(location, error) from error
    return {path[len(root.rstrip("/")) + 1 :]: about["size"] for path, about in found.items()}


def remove(location: Path | str) -> None:
    """Remove a file, or a folder with all that is in it.

    Raises:
        InputError: it cannot be removed.
    """
    system, root = file_system(location)
    try:
        system.rm(root, recursive=True)
    except Exception as error:
        raise write_failed(location, error) from error


def write_failed(location: Path | str, error: Exception) -> InputError:
    """What a failed write means to people; what was written before stays."""
    if is_remote(location) or not isinstance(error, OSError):
        return storage_error(location, error)
    remedies = {errno.ENOSPC: "free some space", errno.EDQUOT: "free some of the quota", errno.EFBIG: "raise the limit"}
    remedy = remedies.get(error.errno or 0, "make the folder writable")
    return InputError(
        location, f"it cannot be written: {error.strerror or error}", "a folder with room that may be written to",
        f"{remedy}, then run the same again: it goes on where it stopped",
    )  # fmt: skip


def storage_error(location: Path | str, error: Exception) -> InputError:
    """What a failure of object storage means to people."""
    return InputError(
        location, f"{type(error).__name__}: {error}", "storage that answers, and a bucket that is there",
        "check the URL, AWS_ENDPOINT_URL and the credentials",
    )  # fmt: skip


def checksums(files: dict[str, bytes]) -> bytes:
    """Content of the file of checksums."""
    return seal({name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())})


def damaged_files(location: Path | str) -> list[str]:
    """Small files of a store that are not as they were written: metadata, coordinates and the checksums themselves.

    Raises:
        InputError: the storage cannot be reached.
    """
    try:
        told = unseal(read_files(location, [CHECKSUMS])[CHECKSUMS])
    except (KeyError, ValueError):
        return [CHECKSUMS]
    files = read_files(location, told)
    return [name for name, right in told.items() if hashlib.sha256(files.get(name, b"")).hexdigest() != right]
