"""The history of a new fire: what had burned by each of regular times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from emberformer.data.fire_grid import Grid
from emberformer.errors import InputError

LATE = 0.05  # of a step: a perimeter that much later than a frame still counts as of it
MOST_FRAMES = 1000


@dataclass(frozen=True)
class Observations:
    """Perimeters as they were observed.

    Args:
        where: what they were read from, for messages.
        burned: 0, 1, 255 = unknown [observation, y, x].
        time: datetime64[s], increasing [observation].
        dated: whether the source tells the time; else it is counted from 1970-01-01.
        grid: where the pixels lie; None if the source does not say.
        notes: what was done to them that whoever reads the forecast should know.
    """

    where: str
    burned: UInt8[np.ndarray, "n y x"]
    time: np.ndarray
    dated: bool
    grid: Grid | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class History:
    """A fire at regular times: 0, 1, 255 = unknown [frame, y, x], datetime64[s] [frame]; the newest frame is last."""

    burned: UInt8[np.ndarray, "frame y x"]
    time: np.ndarray
    notes: tuple[str, ...]


def regular_history(observations: Observations, minutes: float, frames: int | None = None) -> History:
    """What had burned by times that are `minutes` apart and end with the newest observation.

    The newest perimeter is never moved; a frame at time t holds the union of all observations up to t. Frames before
    the first burned pixel are left out.

    Args:
        observations: masks and their times.
        minutes: length of a step.
        frames: newest frames to keep; None: 1000.

    Raises:
        InputError: nothing is burned in the newest observation.
    """
    where, time = observations.where, observations.time
    if not (observations.burned[-1] == 1).any():
        raise InputError(
            where,
            f"no burned pixel in the newest of {len(time)} perimeters ({time[-1]})",
            "a fire: a forecast starts from what has burned",
            "remove this perimeter, or correct what stands for burned (values above 0 in rasters; of images what "
            "--encoding of `forecast` says), or give polygons smaller pixels (--cell; cell_m of a data set)",
        )
    burned, notes = accumulate(observations.burned, [str(moment) for moment in time])
    step, available = np.timedelta64(round(60 * minutes), "s"), count_frames(time, minutes)
    kept = min(available, frames or MOST_FRAMES)
    chosen = time[-1] - np.arange(kept - 1, -1, -1) * step
    if available > kept:
        notes.append(f"the newest {kept} of {available} frames are kept")
    rows = np.searchsorted(time, chosen + (LATE * step).astype("timedelta64[s]"), side="right") - 1
    notes += _describe_steps(time, rows, minutes)
    history = burned[rows]
    empty = int(np.argmax((history == 1).any(axis=(1, 2))))
    if empty:
        notes.append(f"{empty} frames before the first burned pixel are left out")
    return History(history[empty:], chosen[empty:], tuple(notes))


def count_frames(time: np.ndarray, minutes: float) -> int:
    """Frames that are `minutes` apart, end with the newest time and do not begin before the first.

    >>> count_frames(np.array(["2024-01-31T12:00", "2024-01-31T13:20"], "datetime64[s]"), 30)
    3
    """
    step = np.timedelta64(round(60 * minutes), "s")
    return 1 + int((time[-1] - time[0] + LATE * step) // step)


def accumulate(burned: UInt8[np.ndarray, "n y x"], names: list[str]) -> tuple[UInt8[np.ndarray, "n y x"], list[str]]:
    """Burned stays burned: each mask joined with all before it, and notes on what had vanished.

    >>> accumulate(np.array([[[1, 0, 255]], [[0, 255, 0]]], np.uint8), ["12:00", "12:30"])[0][1].tolist()
    [[1, 255, 0]]
    """
    total, notes = burned.copy(), []
    for place in range(1, len(burned)):
        vanished = (total[place - 1] == 1) & (burned[place] != 1)
        lost = int((vanished & (burned[place] == 0)).sum())
        if lost:
            share = 100 * lost / int((total[place - 1] == 1).sum())
            notes.append(
                f"{names[place]}: {lost} pixels ({share:.2g} % of what had burned) are no longer burned; "
                "they are kept burned"
            )
        total[place][vanished] = 1
    return total, notes


def _describe_steps(time: np.ndarray, rows: np.ndarray, minutes: float) -> list[str]:
    """Notes on frames that repeat the one before them, and on perimeters that lie between frames."""
    repeated = int((np.diff(rows) == 0).sum())
    since = int(rows[-1] - rows[0]) + 1  # perimeters from the first frame on; those before it are not missed
    between = since - len(np.unique(rows))
    notes = []
    if repeated:
        longest = float(np.diff(time).max() / np.timedelta64(1, "m"))
        notes.append(
            f"{repeated} of {len(rows)} frames repeat the frame before them, for no perimeter is from those "
            f"{minutes:g} minutes; the longest time between two perimeters is {longest:g} minutes"
        )
    if between:
        notes.append(
            f"{between} of {since} perimeters lie between frames, which are {minutes:g} minutes apart; each is "
            "part of the next frame"
        )
    return notes
