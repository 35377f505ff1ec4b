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
# 20240131T1230-0700, 20240131T12, 2024-01-31_12Z, 20240131_12h, 2024-01-31.
DATE = r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)"
ZONE = r"(Z|[+-](?:0\d|1[0-4]):?(?:00|15|30|45))?"
CLOCK = r"[T _.-]?(\d\d)[-_:hH.]?(\d\d)(?:[-_:m.]?(\d\d))?"
HOUR = r"[ _.-]([01]\d|2[0-3])(?=Z|UTC|[hH](?![A-Za-z\d]))"
STAMP = re.compile(DATE + rf"(?:(?:{CLOCK}|T(\d\d)|{HOUR}){ZONE})?(?!\d)")
# An hour, or the number of a frame: two digits that no minutes and no letter follow.
DOUBTFUL = re.compile(DATE + r"[ _.-](\d\d)(?!\d|[-_:.]\d\d(?:[-_:m.]?\d\d)?(?!\d)|[A-Za-z])")


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

    Two digits alone behind a date are an hour if a T stands before them or Z, UTC or h behind; else they may be a
    number, and the name tells no time (`told_time`).

    >>> str(time_in("fire_20240131T1230")), time_in("fire_003")
    ('2024-01-31T12:30:00', None)
    """
    if re.match(DATE, name) and not DOUBTFUL.match(name) and (whole := _moment(name)) is not None:
        return whole
    for match in STAMP.finditer(name):
        year, month, day, *clock, zone = match.groups()
        hour, minute, second = clock[0] or clock[3] or clock[4] or "00", clock[1] or "00", clock[2] or "00"
        if DOUBTFUL.match(name, match.start()):
            continue
        time = _moment(f"{year}-{month}-{day}T{hour}:{minute}:{second}{zone or ''}")
        if time is not None:  # a month 13 is another number
            return time
    return None


def _moment(words: str) -> np.datetime64 | None:
    time = pd.to_datetime(words, format="ISO8601", utc=True, errors="coerce")
    return None if pd.isna(time) else time.tz_localize(None).to_datetime64().astype("datetime64[s]")


def told_time(words: Sequence[str], where: object, start: np.datetime64 | None) -> np.datetime64 | None:
    """Time of a frame: that of the first of its words that tells one.

    Args:
        words: tags, names and descriptions, the one that counts most first.
        where: the frame, for messages.
        start: time of the first frame, or None; with it, words in which an hour may be a number tell nothing.

    Raises:
        InputError: without a start, two digits behind a date may be an hour or a number, and no word before them tells
            a time. What stands behind them is no way out: it may be the time of saving.
    """
    for word in words:
        if (time := time_in(word)) is not None:
            return time
        if doubtful := DOUBTFUL.search(word):
            if start is not None:
                return None
            expected = "an hour as in 20240131T12, or a date with nothing behind it"
            remedy = "write it so; a number of the frame goes before the date; `forecast` also takes --start"
            raise InputError(where, f"{doubtful[0]!r}: an hour or a number?", expected, remedy)
    return None


def count_times(frames: int, start: np.datetime64 | None, minutes: float) -> np.ndarray:
    """Times of frames that are `minutes` apart, datetime64[s] [frame]; from 1970-01-01 on without a start."""
    steps = np.round(np.arange(frames) * minutes * 60).astype("timedelta64[s]")
    return (FIRST_TIME if start is None else start) + steps


def sort_files(paths: Sequence[Path]) -> list[Path]:
    """Files by the times in their names, else by the numbers at the end of their names, else as they are given.

    Names that all have a date and behind it an hour or a number go by both.
    """
    times = [time_in(path.stem) for path in paths]
    if all(time is not None for time in times):
        return [paths[place] for place in np.argsort(np.array(times, "datetime64[s]"), kind="stable")]
    dates = [DOUBTFUL.search(path.stem) for path in paths]
    if all(dates):
        return [path for _, path in sorted(zip([date.groups() for date in dates if date], paths, strict=True))]
    numbers = [_number(path) for path in paths]
    if all(number is not None for number in numbers):
        return [paths[place] for place in np.argsort(np.array(numbers, int), kind="stable")]
    return list(paths)


def check_numbers(paths: Sequence[Path], minutes: float) -> None:
    """Sorted files whose times are counted have numbers without a gap, or none has a number.

    Args:
        paths: the files.
        minutes: length of a step; what may be hours behind dates may also be this far apart.

    Raises:
        InputError: some names end in a number and others do not, two end in one number, or one is missing.
    """
    numbers, apart = [_number(path) for path in paths], _hours_apart(paths, minutes)
    if all(number is None for number in numbers) or (apart is not None and apart.all()):
        return
    where, expected = paths[0].parent, "frames numbered without a gap, such as fire_000 and fire_001"
    if None in numbers:
        bare = paths[numbers.index(None)].name
        raise InputError(where, f"{bare} without a number among numbered files", expected, "number it, or remove it")
    steps = np.diff(np.array(numbers, int))
    wrong = steps != 1
    if wrong.any():
        if apart is not None:
            wrong = wrong & ~apart if (wrong & ~apart).any() else ~apart
        first = int(np.argmax(wrong))
        fault = "of one number" if steps[first] == 0 else "and frames missing between them"
        if apart is not None:
            fault = f"neither {minutes:g} minutes apart nor numbered without a gap"
        found = f"{paths[first].name} and {paths[first + 1].name}, {fault}"
        remedy = "supply the frames, or write each frame's time into its name (fire_20240131T1230.tif)"
        raise InputError(where, found, expected, remedy)


def _number(path: Path) -> int | None:
    match = re.search(r"(\d+)$", path.stem)
    return int(match[1]) if match else None


def _hours_apart(paths: Sequence[Path], minutes: float) -> np.ndarray | None:
    """Which frames are `minutes` behind the one before, if two digits behind the dates are hours; None: not all are."""
    dates = [DOUBTFUL.search(path.stem) for path in paths]
    times = [_moment("{}-{}-{}T{}:00".format(*date.groups())) for date in dates if date]
    if len(times) < len(paths) or None in times:
        return None
    return np.diff(np.array(times, "datetime64[s]")) == np.timedelta64(round(60 * minutes), "s")


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
            "correct the times or remove the frame; `forecast` counts them from --start, whatever they say",
        )
