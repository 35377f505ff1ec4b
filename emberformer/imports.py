"""Imports: which files of the package a module's results follow from."""

from __future__ import annotations

import ast
from collections.abc import Collection
from pathlib import Path

PACKAGE = Path(__file__).parent


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


def _imported(file: Path) -> set[str]:
    """Names inside the package that a file imports; a name that is no module is the module's it comes from."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("emberformer."):
            source = str(node.module).partition(".")[2]
            within = {alias.name: f"{source}.{alias.name}".lstrip(".") for alias in node.names}
            names |= {inner if _file(inner) else source for inner in within.values()}
    return names - {""}
