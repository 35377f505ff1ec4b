"""Which days make a sample of the WildfireSpreadTS protocol, in which fold, and which pixels of it are scored.

References:
    Gerard et al. (2023), https://openreview.net/forum?id=RgdGkPRQ03, section 5, and its code,
    https://github.com/SebastianGer/WildfireSpreadTS (`FireSpreadDataModule.split_fires`, `FireSpreadDataset`).
"""

from __future__ import annotations

from itertools import combinations, permutations
from typing import NamedTuple

YEARS = (2018, 2019, 2020, 2021)
TEST_HISTORY = 5  # test samples are those that a history of five days leaves, however long the history is
MULTIPLE = 32  # of pixels, what a ResNet U-Net takes
SIDE = 128  # of the crops that models are trained on


class Fold(NamedTuple):
    """Years of one fold of the cross-validation."""

    train: tuple[int, int]
    validation: int
    test: int


FOLDS = tuple(
    Fold(train, validation, test)
    for train in combinations(YEARS, 2)
    for validation, test in permutations(sorted({*YEARS} - {*train}))
)


def first_days(days: int, history: int, test: bool = False) -> range:
    """First day of each sample of a fire, by position: days without a file do not count.

    The sample that starts at day s knows the days s to s + history - 1 and is scored on day s + history. Tests skip the
    first 5 - history samples, so that every history is scored on the same days.

    Args:
        days: number of days of the fire.
        history: days that are known, at least 1.
        test: whether the samples are for the test.

    >>> list(first_days(8, 5)), list(first_days(8, 1, test=True)), list(first_days(5, 5))
    ([0, 1, 2], [4, 5, 6], [])
    """
    if not 1 <= history <= TEST_HISTORY:
        raise ValueError(f"a history of {history} days; the protocol has 1 to {TEST_HISTORY}")
    return range(TEST_HISTORY - history if test else 0, days - history)


def whole_crop(height: int, width: int) -> tuple[slice, slice]:
    """Centre of a raster with sides that are multiples of 32, on which tests are scored.

    >>> whole_crop(65, 96)
    (slice(0, 64, None), slice(0, 96, None))
    """
    return _centre(height, height // MULTIPLE * MULTIPLE), _centre(width, width // MULTIPLE * MULTIPLE)


def small_crop(height: int, width: int) -> tuple[slice, slice]:
    """Centre of 128 x 128 pixels of a raster, on which the tests of WSTS+ are scored; what there is of a smaller one.

    >>> small_crop(131, 100)
    (slice(2, 130, None), slice(0, 100, None))
    """
    return _centre(height, min(height, SIDE)), _centre(width, min(width, SIDE))


def _centre(side: int, kept: int) -> slice:
    """Halves are rounded to the even number, as torchvision's centre crop rounds them."""
    start = round((side - kept) / 2)
    return slice(start, start + kept)
