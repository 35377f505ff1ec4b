"""Imports: which files of the package a module's results follow from."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
FROM_IMPORT = re.compile(r"^[ \t]*from emberformer((?:\.\w+)*) import (?:\(([^)]*)\)|(.+))$", re.MULTILINE)
COMMENT = re.compile(r"#.*")


def imported_files(module: str, leave_out: Collection[str] = ()) -> list[Path]:
    """Files of the package that a module imports, directly or not, and its own; nothing is run.

    Snakemake reruns a rule when one of its input files changes, but does not see the code behind a shell command. With
    these files among the inputs it does.

    Args:
        module: name inside the package, for example "data.split".
        leave_out: modules, or packages with all that is in them, that are neither listed nor followed.

    Returns:
        Sorted paths. Imports inside functions count; `__init__.py` of a package counts where it is imported itself.

    Raises:
        ValueError: there is no such module.
    """
    if _file(module) is None:
        raise ValueError(f"emberformer.{module} is no module of the package")
    found: dict[str, Path] = {}
    todo = {module}
    while todo:
        name = todo.pop()
        file = _file(name)
        if name in found or file is None or any(f"{name}.".startswith(f"{left}.") for left in leave_out):
            continue
        found[name] = file
        todo |= _imported(file)
    return sorted(found.values())


def _file(module: str) -> Path | None:
    path = PACKAGE.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.exists()), None)


@cache
def _imported(file: Path) -> frozenset[str]:
    """Names inside the package that a file imports; a name that is no module is the module's it comes from.

    Read by a pattern, for Snakemake asks for hundreds of files at each start: to parse them took as long as all else.
    """
    names = set()
    for source, bracketed, plain in FROM_IMPORT.findall(file.read_text()):
        for name in re.findall(r"(\w+)(?: as \w+)?", COMMENT.sub("", bracketed or plain)):
            inner = f"{source[1:]}.{name}".lstrip(".")
            names.add(inner if _file(inner) else source[1:])
    return frozenset(names - {""})
