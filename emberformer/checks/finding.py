"""A finding: what was looked at, how it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["OK", "WARNING", "ERROR"]


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Args:
        level: ERROR: a training would be wrong or fail; WARNING: look at it; OK.
        subject: what was looked at.
        message: how it is, with units.
        remedy: what to do; "" where nothing is to be done.
        numbers: the same in figures, for `check.json`.
    """

    level: Level
    subject: str
    message: str
    remedy: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)


def worst(findings: list[Finding]) -> Level:
    """The gravest level among findings.

    >>> worst([Finding("OK", "a", ""), Finding("WARNING", "b", "")])
    'WARNING'
    """
    levels: tuple[Level, ...] = ("ERROR", "WARNING", "OK")
    return next(level for level in levels if level == "OK" or any(f.level == level for f in findings))


def table(findings: Mapping[str, list[Finding]]) -> str:
    """Findings as text, a line each under the name of what they are of; a remedy stands below its line.

    >>> print(table({"valley": [Finding("OK", "fires", "40"), Finding("WARNING", "steps", "2 unequal", "look")]}))
    valley
      OK       fires  40
      WARNING  steps  2 unequal
                      -> look
    """
    width = max((len(f.subject) for of in findings.values() for f in of), default=0)
    lines = []
    for name, of in findings.items():
        lines.append(name)
        for f in of:
            lines.append(f"  {f.level:7s}  {f.subject:{width}s}  {f.message}")
            lines += [f"{'':{13 + width}s}-> {f.remedy}"] if f.remedy else []
    return "\n".join(lines)
