"""Crops and turns with which the WildfireSpreadTS protocol trains and validates; its tests know neither.

References:
    Gerard et al. (2023), https://openreview.net/forum?id=RgdGkPRQ03, and its code,
    https://github.com/SebastianGer/WildfireSpreadTS (`FireSpreadDataset.augment`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from emberformer.data.wsts.samples import SIDE
from emberformer.data.wsts.statistics import ANGLES

DRAWS = 10
TARGET_WEIGHT = 1000


class Turn(NamedTuple):
    """Mirrored left to right, then upside down, then turned anticlockwise by quarters."""

    left_right: bool
    up_down: bool
    quarters: int


def draw_crop(
    hours: Float32[np.ndarray, "day y x"], target: UInt8[np.ndarray, "y x"], random: np.random.Generator
) -> tuple[slice, slice]:
    """The best of ten crops of 128 x 128 pixels: the one of most fire in the target, then of most in the known days.

    What is best is the mean hour of detection plus 1000 times the share of the target that burns; the first of equal
    ones is taken. As in the protocol's own code, the last row and the last column of a raster are never drawn.

    Args:
        hours: hour of detection on the known days, 0 = none.
        target: whether a pixel burns on the day after.
        random: where chance comes from.

    Raises:
        ValueError: the raster has no more than 128 rows or columns.
    """
    height, width = target.shape
    if min(height, width) <= SIDE:
        raise ValueError(f"a raster of {height} x {width} pixels; crops of {SIDE} need a larger one")
    crops = []
    for _ in range(DRAWS):
        top, left = int(random.integers(height - SIDE)), int(random.integers(width - SIDE))
        crops.append((slice(top, top + SIDE), slice(left, left + SIDE)))
    return max(crops, key=lambda crop: hours[:, *crop].mean() + TARGET_WEIGHT * target[crop].mean())


def draw_turn(random: np.random.Generator) -> Turn:
    """Each mirroring by half the chances, each number of quarters by a fourth."""
    return Turn(bool(random.random() > 0.5), bool(random.random() > 0.5), int(random.integers(4)))


def turned(
    bands: Float32[np.ndarray, "day band y x"], target: UInt8[np.ndarray, "y x"], turn: Turn
) -> tuple[Float32[np.ndarray, "day band y2 x2"], UInt8[np.ndarray, "y2 x2"]]:
    """A sample mirrored and turned, with its directions.

    An angle a clockwise from north becomes 360 - a left to right, 180 - a upside down, and a - 90 by a quarter
    anticlockwise. So does the forecast's wind direction, as in the protocol's own code, though it is no such angle.

    Args:
        bands: the 23 bands in the source's units, directions in degrees.
        target: of the same pixels.
        turn: what is done.
    """
    bands = bands.copy()
    angles = bands[:, ANGLES]
    if turn.left_right:
        angles = 360 - angles
    if turn.up_down:
        angles = (180 - angles) % 360
    bands[:, ANGLES] = (angles - 90 * turn.quarters) % 360 if turn.quarters else angles
    flipped = tuple(axis for axis, wanted in [(-2, turn.up_down), (-1, turn.left_right)] if wanted)
    bands, target = (np.rot90(np.flip(values, flipped), turn.quarters, (-2, -1)) for values in (bands, target))
    return bands, target
