"""Durations in words."""

from __future__ import annotations


def duration_text(seconds: float) -> str:
    """A duration in days, hours and minutes.

    >>> duration_text(5400)
    '1 h 30 min'
    """
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    parts = [f"{value} {unit}" for value, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if value]
    return " ".join(parts) or "0 min"
