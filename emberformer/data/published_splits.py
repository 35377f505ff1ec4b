"""Splits that a data set's own papers fix: by years, and those that its files are named for."""

from __future__ import annotations

import random
import re

import xarray as xr

from emberformer.data.ndws.tiles import published_split
from emberformer.data.wsts.samples import FOLDS
from emberformer.errors import InputError

OF_NAMES = {"train": "train", "eval": "validation", "test": "test"}


def split_by_years(fires: xr.Dataset, fold: int) -> dict[str, str]:
    """Split of each fire by the year that its name begins with, such as 2018_fire_21458798.

    Args:
        fires: an open fires store.
        fold: number of the fold, see `emberformer.data.wsts.samples.FOLDS`; fires of years that it does not name are in
            no split.

    Raises:
        InputError: a fire's name begins with no year.
    """
    years = FOLDS[fold]
    of_year = {**dict.fromkeys(years.train, "train"), years.validation: "validation", years.test: "test"}
    found = {}
    for fire_id in fires["fire_id"].values.tolist():
        if not (match := re.match(r"(\d{4})_", fire_id)):
            raise _unnamed(fires, fire_id, "a name that begins with its year, such as 2018_fire_21458798")
        if split := of_year.get(int(match[1])):
            found[fire_id] = split
    return found


def split_as_published(fires: xr.Dataset) -> dict[str, str]:
    """Split of each tile of Next Day Wildfire Spread by the file that it was published in.

    Raises:
        InputError: a fire's name tells none.
    """
    found = {}
    for fire_id in fires["fire_id"].values.tolist():
        if not re.match(r"(train|eval|test)_", fire_id):
            raise _unnamed(fires, fire_id, "a name such as train_00_000123, eval_... or test_...")
        found[fire_id] = OF_NAMES[published_split(fire_id)]
    return found


def split_shuffled(fires: xr.Dataset, seed: int, train: float, validation: float) -> dict[str, str]:
    """Split of each fire by a shuffle of all, as the code of the deep_crown data divides its sequences.

    That code shuffles the sequences with `random.Random(42)` and cuts at 80 and 90 %. That they are sorted before, and
    that shares are rounded down, is taken from its description; its split file was not at hand.

    Args:
        fires: an open fires store; its fires are sorted by number.
        seed: of the shuffle.
        train: share of the first part.
        validation: share of the second; the test is the rest.
    """
    names = fires["fire_id"].values.tolist()
    random.Random(seed).shuffle(names)
    first, second = int(train * len(names)), int((train + validation) * len(names))
    parts = {"train": names[:first], "validation": names[first:second], "test": names[second:]}
    of_fire = {fire_id: split for split, part in parts.items() for fire_id in part}
    return {fire_id: of_fire[fire_id] for fire_id in fires["fire_id"].values.tolist()}


def _unnamed(fires: xr.Dataset, fire_id: str, expected: str) -> InputError:
    where = f"settings `split.by`, data set {fires.attrs['dataset']!r}"
    return InputError(where, f"the fire {fire_id!r}", expected, "divide these fires by: fire, block or landscape")
