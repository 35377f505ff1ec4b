"""Splits that the authors of a data set have made, so that a score can stand beside theirs."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from emberformer.data.ndws.tiles import published_split
from emberformer.data.wsts.samples import FOLDS
from emberformer.errors import InputError

OF_PUBLISHED = {"train": "train", "eval": "validation", "test": "test"}


def split_by_year(dataset: str, fire_ids: Sequence[str], fold: int) -> dict[str, str]:
    """Split of each fire of WildfireSpreadTS: two years train, one validates, one tests.

    Gerard et al. (2023), https://openreview.net/forum?id=RgdGkPRQ03, section 5.

    Args:
        dataset: name of the data set.
        fire_ids: such as 2018_fire_21458798, with the year first.
        fold: its number, see `FOLDS`.

    Raises:
        InputError: a fire of a year that has no place in the fold, or of none.
    """
    train, validation, test = FOLDS[fold]
    of_year = dict.fromkeys(map(str, train), "train") | {str(validation): "validation", str(test): "test"}
    found = {fire_id: of_year.get(fire_id.split("_")[0]) for fire_id in fire_ids}
    return _known(dataset, found, f"a name that begins with one of the years {', '.join(sorted(of_year))}",
                  "give the data set `years: [2018, 2019, 2020, 2021]`, or split by something else")  # fmt: skip


def split_as_published(dataset: str, fire_ids: Sequence[str]) -> dict[str, str]:
    """Split of each tile of Next Day Wildfire Spread, as the name of its file says.

    Tiles of one place in two of the published splits stay there: the audit of the split lists them.

    Args:
        dataset: name of the data set.
        fire_ids: such as train_00_000123, eval_01_000004, test_00_000000.

    Raises:
        InputError: a name that says no split.
    """
    told = {fire_id: re.match(r"(train|eval|test)_", fire_id) for fire_id in fire_ids}
    found = {fire_id: OF_PUBLISHED[published_split(fire_id)] if told[fire_id] else None for fire_id in fire_ids}
    return _known(dataset, found, "a name that begins with train_, eval_ or test_", "split by something else")


def split_by_sequence(
    dataset: str, fire_ids: Sequence[str], train: float, validation: float, seed: int
) -> dict[str, str]:
    """Split of each fire of a deep_crown data set by a shuffle of the numbers in their names.

    The numbers are sorted, shuffled by `random.Random(seed)`, and cut: the first int(train n) train, the next
    int(validation n) validate, the rest tests. Published are the shares 0.8, 0.1, 0.1, the seed 42 and the generator
    (https://github.com/tampueroc/thesis_experiments); that the numbers are sorted first and the cuts rounded down could
    not be verified, so that the fires of the original's test may be others.

    Args:
        dataset: name of the data set.
        fire_ids: such as sequence_0012; the digits at the end count.
        train: share of the fires.
        validation: share of the fires.
        seed: of the shuffle.

    Raises:
        InputError: a name without a number at its end, or two of one number.
    """
    told = {fire_id: re.search(r"(\d+)$", fire_id) for fire_id in fire_ids}
    numbers = {fire_id: int(number[1]) for fire_id, number in told.items() if number}
    if len(set(numbers.values())) < len(fire_ids):
        found = f"{len(fire_ids)} fires with {len(set(numbers.values()))} numbers"
        remedy = "split by something else"
        raise InputError(f"fires of data set {dataset!r}", found, "names that end in a number of their own", remedy)
    order = sorted(numbers, key=lambda fire_id: numbers[fire_id])
    random.Random(seed).shuffle(order)
    last_train = int(train * len(order))
    last_validation = last_train + int(validation * len(order))
    cut = order[:last_train], order[last_train:last_validation], order[last_validation:]
    parts = zip(("train", "validation", "test"), cut, strict=True)
    of_fire = {fire_id: split for split, part in parts for fire_id in part}
    return {fire_id: of_fire[fire_id] for fire_id in fire_ids}


def _known(dataset: str, found: dict[str, str | None], expected: str, remedy: str) -> dict[str, str]:
    """The same, if every fire has a split."""
    lost = [fire_id for fire_id, split in found.items() if split is None]
    if lost:
        raise InputError(f"fires of data set {dataset!r}", f"{len(lost)} such as {lost[0]!r}", expected, remedy)
    return {fire_id: split for fire_id, split in found.items() if split is not None}
