"""Times of perimeters: from words, from the names of files, and by counting."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emberformer.data.weather import FIRST_TIME
from emberformer.errors import InputError

# A date, and perhaps a time of day and a zone, that no other digits touch: 20240131T1230, 2024-01-31_12-30-00,
# 20240131T1230-0700, 20240131T12, 2024-01-31_12Z, 2024-01-31.
DATE = r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)"
ZONE = r"(Z|[+-](?:0\d|1[0-4]):?(?:00|15|30|45))?"
CLOCK = r"[T _-]?(\d\d)[-_:h.]?(\d\d)(?:[-_:m.]?(\d\d))?"
STAMP = re.compile(DATE + rf"(?:(?:{CLOCK}|T(\d\d)|[ _-](\d\d)(?=Z)){ZONE})?(?!\d)")
DOUBTFUL = re.compile(DATE + r"[ _-]\d\d(?![-_:.]?\d|[A-Za-z])")  # an hour, or the number of a frame


def parse_time(words: str, where: object) -> np.datetime64:
    """A time in ISO 8601, as datetime64[s] in UTC; without a zone it is taken to be UTC.

    Raises:
        InputError: it is none.
    """
    time = pd.to_datetime(pd.Series([words]), format="ISO8601", utc=True, errors="coerce")
    if time.isna().any():
        remedy = "write the time as in 2024-01-31T12:30"
        raise InputError(where, repr(words), "a time in ISO 8601", remedy)
    return time.dt.tz_localize(None).to_numpy("datetime64[s]")[0]


def time_in(name: str) -> np.datetime64 | None:
    """Time that stands in the name of a file or in a tag, datetime64[s] in UTC; None if there is none.

    Two digits alone behind a date are an hour if a T stands before them or a Z behind; else they may be a number, and
    the name tells no time (`check_doubtful`).

    >>> str(time_in("fire_20240131T1230")), time_in("fire_003")
    ('2024-01-31T12:30:00', None)
    """
    if re.match(DATE, name):
        whole = pd.to_datetime(name, format="ISO8601", utc=True, errors="coerce")
        if not pd.isna(whole) and not DOUBTFUL.match(name):
            return whole.tz_localize(None).to_datetime64().astype("datetime64[s]")
    for match in STAMP.finditer(name):
        year, month, day, *clock, zone = match.groups()
        hour, minute, second = clock[0] or clock[3] or clock[4] or "00", clock[1] or "00", clock[2] or "00"
        if DOUBTFUL.match(name, match.start()):
            continue
        words = f"{year}-{month}-{day}T{hour}:{minute}:{second}"
        time = pd.to_datetime(words + (zone or ""), format="ISO8601", utc=True, errors="coerce")
        if not pd.isna(time):  # a month 13 is another number
            return time.tz_localize(None).to_datetime64().astype("datetime64[s]")
    return None


def check_doubtful(names: Sequence[str]) -> None:
    """No name has two digits behind a date that may be an hour or a number.

    Raises:
        InputError: naming the first that has.
    """
    for name in names:
        if found := DOUBTFUL.search(Path(name).name):
            expected = "an hour as in 20240131T12, or a date with nothing behind it"
            remedy = "rename the file; a number of the frame goes before the date; or say --start"
            raise InputError(name, f"{found[0]!r}: an hour or a number?", expected, remedy)


def count_times(frames: int, start: np.datetime64 | None, minutes: float) -> np.ndarray:
    """Times of frames that are `minutes` apart, datetime64[s] [frame]; from 1970-01-01 on without a start."""
    steps = np.round(np.arange(frames) * minutes * 60).astype("timedelta64[s]")
    return (FIRST_TIME if start is None else start) + steps


def sort_files(paths: Sequence[Path]) -> list[Path]:
    """Files by the times in their names, else by the numbers at the end of their names, else as they are given."""
    times = [time_in(path.stem) for path in paths]
    if all(time is not None for time in times):
        return [paths[place] for place in np.argsort(np.array(times, "datetime64[s]"), kind="stable")]
    numbers = [_number(path) for path in paths]
    if all(number is not None for number in numbers):
        return [paths[place] for place in np.argsort(np.array(numbers, int), kind="stable")]
    return list(paths)


def check_numbers(paths: Sequence[Path]) -> None:
    """Sorted files whose times are counted have numbers without a gap, or none has a number.

    Raises:
        InputError: some names end in a number and others do not, two end in one number, or one is missing.
    """
    numbers = [_number(path) for path in paths]
    if all(number is None for number in numbers):
        return
    where, expected = paths[0].parent, "frames numbered without a gap, such as fire_000 and fire_001"
    if None in numbers:
        bare = paths[numbers.index(None)].name
        raise InputError(where, f"{bare} without a number among numbered files", expected, "number it, or remove it")
    steps = np.diff(np.array(numbers, int))
    if (steps != 1).any():
        first = int(np.argmax(steps != 1))
        pair = f"{paths[first].name} and {paths[first + 1].name}"
        found = f"{pair}, {'of one number' if steps[first] == 0 else 'and frames missing between them'}"
        remedy = "supply the frames, or write each frame's time into its name (fire_20240131T1230.tif)"
        raise InputError(where, found, expected, remedy)


def _number(path: Path) -> int | None:
    match = re.search(r"(\d+)$", path.stem)
    return int(match[1]) if match else None


def check_increasing(times: np.ndarray, names: Sequence[str], where: object) -> None:
    """Every frame is later than the one before it.

    Raises:
        InputError: naming the first pair that is not.
    """
    wrong = np.flatnonzero(np.diff(times) <= np.timedelta64(0, "s"))
    if wrong.size:
        first = int(wrong[0])
        before, after = (f"{names[place]} at {times[place]}" for place in (first, first + 1))
        relation = "the same time as" if times[first] == times[first + 1] else "earlier than"
        raise InputError(
            where,
            f"{after}, {relation} {before}",
            "each frame later than the one before it",
            "correct the times or remove the frame; --start makes times be counted from there, whatever they say",
        )
