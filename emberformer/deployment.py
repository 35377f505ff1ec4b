"""Deployment: where the workflow's own files lie, and folders outside the repository that use it as a module."""

from __future__ import annotations

import shutil
from pathlib import Path

from emberformer.errors import InputError
from emberformer.imports import PACKAGE

# A wheel carries them inside the package; in a clone they stand beside it.
SOURCES = PACKAGE / "pipeline" if (PACKAGE / "pipeline").exists() else PACKAGE.parent
SNAKEFILE = SOURCES / "workflow" / "Snakefile"

# What a deployed folder holds, and what it is copied from.
DEPLOYED = {
    "workflow/Snakefile": "workflow/deployed.smk",
    **{
        (name := path.relative_to(SOURCES).as_posix()): name
        for pattern in ("config/*.yaml", "config/*.json", "profiles/*/[!_.]*")
        for path in sorted(SOURCES.glob(pattern))
    },
}


def deploy(folder: Path) -> list[Path]:
    """Write a folder that runs the workflow of the installed package, with configurations to start from.

    Its Snakefile asks the package where the rules lie, so that the folder outlives an upgrade and a move to another
    machine.

    Args:
        folder: made if it is missing; what else lies in it is left alone.

    Returns:
        The files that were written.

    Raises:
        InputError: one of the files is there already; nothing is written then.
    """
    for name in DEPLOYED:
        if (folder / name).exists():
            remedy = "name another folder, or move the file away"
            raise InputError(folder / name, "a file", "none: nothing is overwritten", remedy)
    for name, source in DEPLOYED.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SOURCES / source, folder / name)  # with its mode: one is a program
    return [folder / name for name in DEPLOYED]
