"""Crops and turns of the WildfireSpreadTS protocol's training."""

import itertools

import numpy as np
import pytest

from emberformer.data.slope_aspect import horn_slope_aspect
from emberformer.data.wsts.training_crops import Turn, draw_crop, draw_turn, turned

TURNS = [Turn(*turn) for turn in itertools.product((False, True), (False, True), range(4))]


def _sample(elevation):
    """A day whose aspect is that of its elevation, and a wind that blows from where the ground falls to."""
    bands = np.zeros((1, 23, elevation.shape[0] - 2, elevation.shape[1] - 2), "float32")
    bands[0, 14] = elevation[1:-1, 1:-1]
    bands[0, 7] = bands[0, 13] = horn_slope_aspect(elevation, 375.0)[1]
    return bands


@pytest.mark.parametrize("turn", TURNS)
def test_aspect_turns_with_the_ground(turn):
    """The aspect of turned ground is the turned aspect."""
    elevation = np.random.default_rng(0).random((7, 7)) * 400
    found, _ = turned(_sample(elevation), np.zeros((5, 5), "uint8"), turn)
    ground = elevation[:, ::-1] if turn.left_right else elevation
    ground = ground[::-1] if turn.up_down else ground
    expected = _sample(np.rot90(ground, turn.quarters))
    np.testing.assert_array_equal(found[0, 14], expected[0, 14])
    for band in (7, 13):
        away = (found[0, band] - expected[0, band] + 180) % 360 - 180
        assert np.abs(away).max() < 1e-3


def test_turns_by_hand():
    """A wind from the east (90): mirrored from the west, a quarter anticlockwise from the north."""
    bands = np.zeros((1, 23, 2, 2), "float32")
    bands[0, 7] = 90
    target = np.array([[1, 2], [3, 4]], "uint8")
    for turn, angle, corners in [
        (Turn(True, False, 0), 270, [[2, 1], [4, 3]]),
        (Turn(False, True, 0), 90, [[3, 4], [1, 2]]),
        (Turn(False, False, 1), 0, [[2, 4], [1, 3]]),
    ]:
        found, where = turned(bands, target, turn)
        assert found[0, 7, 0, 0] == angle
        assert where.tolist() == corners
    assert bands[0, 7, 0, 0] == 90  # the sample itself is left as it is


@pytest.mark.parametrize("seed", range(10))
def test_crop_is_the_best_of_ten(seed):
    """By hours / pixels of all days + 1000 burning pixels / pixels, over the ten corners that chance gives."""
    fires = np.random.default_rng(seed)
    hours = np.where(fires.random((2, 140, 150)) < 0.01, np.float32(12), np.float32(0))
    target = (fires.random((140, 150)) < 0.001).astype("uint8")
    random = np.random.default_rng(seed)
    scores = {}
    for _ in range(10):
        top, left = int(random.integers(12)), int(random.integers(22))
        inside = np.zeros((140, 150), bool)
        inside[top : top + 128, left : left + 128] = True
        scores[top, left] = hours[:, inside].sum() / (2 * 128**2) + 1000 * target[inside].sum() / 128**2
    found = draw_crop(hours, target, np.random.default_rng(seed))
    assert scores[found[0].start, found[1].start] == pytest.approx(max(scores.values()))
    assert [part.stop - part.start for part in found] == [128, 128]


def test_last_row_and_column_are_never_drawn():
    """With one row and one column to spare there is but one crop, at the corner."""
    found = draw_crop(np.zeros((1, 129, 129), "float32"), np.zeros((129, 129), "uint8"), np.random.default_rng(0))
    assert found == (slice(0, 128), slice(0, 128))


def test_raster_that_is_too_small():
    with pytest.raises(ValueError, match="128 x 200"):
        draw_crop(np.zeros((1, 128, 200), "float32"), np.zeros((128, 200), "uint8"), np.random.default_rng(0))


def test_every_turn_is_drawn():
    random = np.random.default_rng(0)
    assert {draw_turn(random) for _ in range(400)} == set(TURNS)
