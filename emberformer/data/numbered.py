"""Files and folders that are numbered: fires, and frames in the order of time."""

from __future__ import annotations

import re
from pathlib import Path

from emberformer.errors import InputError


def numbered(folder: Path, pattern: str, expected: str) -> dict[int, Path]:
    """Entries of a folder by the number at the end of their names, sorted as integers; other entries do not count."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(folder, str(error), f"a folder with {expected}", "check `root` of the data set") from error
    numbered: dict[int, Path] = {}
    for entry in entries:
        if entry.name.startswith(".") or not (match := re.search(pattern, entry.name)):
            continue
        if (number := int(match[1])) in numbered:
            found = f"{numbered[number].name} and {entry.name}, both number {number}"
            raise InputError(folder, found, "one entry a number", "remove or renumber one of the two")
        numbered[number] = entry
    return dict(sorted(numbered.items()))


def check_contiguous(folder: Path, numbers: list[int], first: int) -> None:
    """Refuse sorted numbers with a gap, or that begin after the first.

    Raises:
        InputError: naming the first numbers that are missing.
    """
    if missing := sorted(set(range(first, numbers[-1])) - set(numbers)):
        found, expected = f"frames {missing[:5]} are missing", f"frames without a gap, from {first} on"
        remedy = "supply the frames, or renumber: the n-th frame goes with the n-th line of the weather"
        raise InputError(folder, found, expected, remedy)
