"""Provenance: which code and which versions made an artefact."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

import emberformer

# Packages whose version can change a number or a file's format; asked for without being imported.
PACKAGES = ("numpy", "torch", "transformers", "xarray", "zarr")


def provenance(*, with_time: bool = False) -> dict[str, str]:
    """Describe the code that is running.

    Args:
        with_time: add the time of the call. Leave it out where equal inputs must give equal files.

    Returns:
        `emberformer` and `python` (versions), `commit` (see `git_commit`), a version for each of `PACKAGES` ("" = not
        installed) and, if asked for, `time` (UTC, ISO 8601, whole seconds).
    """
    found = {
        "emberformer": emberformer.__version__,
        "commit": _own_commit(),
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }
    if with_time:
        found["time"] = datetime.now(UTC).isoformat(timespec="seconds")
    return found


@cache
def _own_commit() -> str:
    """Commit of the code that runs, as it was when first asked for: what is imported does not change."""
    return git_commit(Path(emberformer.__file__).parent)


def git_commit(folder: Path) -> str:
    """Commit that a folder of a git work tree stands at.

    Args:
        folder: a folder with Python files.

    Returns:
        The full hash, with "+dirty" where a tracked file of the folder differs from it; "" where git does not track the
        folder, as with a package that was installed into an environment inside some other work tree.
    """
    if not _git(folder, "ls-files", "--", "."):
        return ""
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return f"{commit}+dirty" if commit and changed else commit


def _git(folder: Path, *arguments: str) -> str:
    """What git answers, or "" where it is not installed or refuses."""
    try:
        answer = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer.stdout.strip()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
