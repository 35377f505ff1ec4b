"""A first look at every day of every fire: can it be used, was it seen before, what wind blew."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from emberformer.data.weather import usable_wind, wind_towards
from emberformer.data.wsts.bands import PLACE, TERRAIN_PLACES
from emberformer.data.wsts.days import SourceFire, check_dates
from emberformer.data.wsts.finding import open_fire
from emberformer.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SurveyedFire:
    """A fire all of whose days can be read.

    Args:
        fire: the fire.
        wind: mean wind of each day, m s-1 towards east and north [day, 2]; NaN = unknown.
        digest: of all its pixels.
        terrain_changes: whether terrain or land cover differ from day to day.
    """

    fire: SourceFire
    wind: Float32[np.ndarray, "day 2"]
    digest: str
    terrain_changes: bool


def survey(
    dataset: str,
    paths: Iterable[Path],
    on_error: Literal["stop", "skip"],
    missing_attributes: Literal["refuse", "unknown"],
) -> tuple[list[SurveyedFire], dict[str, str]]:
    """Read all days of all fires once, one day in memory.

    Args:
        dataset: name of the data set, for the progress bar.
        paths: fires, as `find_fires` gives them.
        on_error: whether a fire that cannot be read stops the survey or is skipped.
        missing_attributes: whether HDF5 files that tell no dates or no place are refused or read.

    Returns:
        Fires of two days or more, each content once; fire_id -> why the others are left out.

    Raises:
        InputError: naming the first file that cannot be used, if such fires are not skipped.
    """
    surveyed: dict[str, SurveyedFire] = {}  # by digest
    skipped: dict[str, str] = {}
    for path in tqdm(list(paths), desc=f"check {dataset}", unit="fire"):
        fire_id = f"{path.parent.name}_{path.stem}"
        try:
            found = survey_fire(open_fire(path, missing_attributes))
        except InputError as error:
            if on_error == "stop":
                raise
            where = error.where.removeprefix(f"{path.parent.parent}/")  # elsewhere the same data say the same
            skipped[fire_id] = f"{where}: {error.found} instead of {error.expected}"
            continue
        if found.fire.days < 2:
            skipped[fire_id] = f"{found.fire.days} day(s); a forecast needs two"
        elif found.digest in surveyed:
            skipped[fire_id] = f"same content as {surveyed[found.digest].fire.fire_id}"
        else:
            surveyed[found.digest] = found
    for fire_id, reason in skipped.items():
        log.warning("%s: %s is skipped: %s", dataset, fire_id, reason)
    return list(surveyed.values()), skipped


def survey_fire(fire: SourceFire) -> SurveyedFire:
    """Read all days of a fire once.

    Raises:
        InputError: naming the first day that cannot be used.
    """
    if fire.dates is not None:
        check_dates(fire.dates, fire.path)
    digest = hashlib.sha256(repr(fire.shape).encode())
    wind = np.full((fire.days, 2), np.nan, "float32")
    first: np.ndarray | None = None
    changes = False
    for number in range(fire.days):
        day = fire.read(number)
        digest.update(day.burned.tobytes())
        digest.update(day.bands.tobytes())
        wind[number] = mean_wind(day.bands)
        terrain = day.bands[TERRAIN_PLACES]
        first = terrain if first is None else first
        changes |= not np.array_equal(terrain, first, equal_nan=True)
    return SurveyedFire(fire, wind, digest.hexdigest(), changes)


def mean_wind(bands: Float32[np.ndarray, "band y x"]) -> Float32[np.ndarray, "uv=2"]:
    """Mean of the wind vectors of all pixels where speed and direction are known and can be true.

    A mean of directions would have no meaning: winds from 350 and from 10 degrees blow to the south, not to the north.

    Args:
        bands: the 23 bands of a day; wind in m s-1 and degrees clockwise from north that it blows from.

    Returns:
        m s-1 towards east and north; NaN where no pixel is known.
    """
    speed, direction = (bands[PLACE[name]].ravel() for name in ("wind_speed", "wind_direction"))
    usable = usable_wind(speed, direction)
    if not usable.any():
        return np.full(2, np.nan, "float32")
    return wind_towards(speed[usable], direction[usable]).mean(0, dtype="float64").astype("float32")
