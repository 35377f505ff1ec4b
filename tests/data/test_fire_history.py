"""Regular histories: the newest perimeter stays where it is, burned stays burned, and notes say what was done."""

import numpy as np
import pytest

from emberformer.data.fire_history import Observations, accumulate, regular_history
from emberformer.errors import InputError
from tests.new_fires import START, grow, times


def _observed(burned, minutes):
    moments = START + np.array(minutes) * np.timedelta64(60, "s")
    return Observations("fire.tif", burned, moments, True, None)


def test_regular_observations_are_the_frames():
    history = regular_history(Observations("fire.tif", grow(), times(), True, None), 30)
    assert (history.burned == grow()).all()
    assert (history.time == times()).all()
    assert history.notes == ()


def test_irregular_observations_by_hand():
    burned = grow(4)
    history = regular_history(_observed(burned, [0, 25, 40, 130]), 30)
    assert ((history.time - START) / np.timedelta64(60, "s")).tolist() == [10, 40, 70, 100, 130]
    assert (history.burned == burned[[0, 2, 2, 2, 3]]).all()
    repeated, between = history.notes
    assert "2 of 5 frames repeat" in repeated
    assert "90 minutes" in repeated
    assert "1 of 4 perimeters lie between" in between


def test_a_perimeter_a_little_late_counts_as_of_its_frame():
    history = regular_history(_observed(grow(3), [1, 29, 60]), 30)
    assert (history.burned == grow(3)).all()
    assert history.notes == ()


def test_longest_history_is_kept_from_its_end():
    history = regular_history(_observed(grow(4), [0, 30, 60, 90]), 30, frames=2)
    assert (history.burned == grow(4)[2:]).all()
    (kept,) = history.notes  # and nothing of the perimeters before them
    assert "newest 2 of 4" in kept
    far = regular_history(_observed(grow(2), [-10_000_000, 0]), 30)
    assert len(far.time) == 1000


def test_shrinking_fire_is_joined_and_told():
    burned = np.array([[[1, 1, 1, 1]], [[0, 1, 1, 255]], [[0, 1, 1, 1]]], np.uint8)
    history = regular_history(_observed(burned, [0, 30, 60]), 30)
    assert (history.burned == 1).all()
    assert len(history.notes) == 2
    assert "12:30:00: 1 pixels (25 % of what had burned)" in history.notes[0]


def test_unknown_stays_unknown_until_it_is_seen():
    burned = np.array([[[0, 1]], [[255, 1]], [[1, 1]]], np.uint8)
    assert accumulate(burned, ["a", "b", "c"])[0].tolist() == burned.tolist()


def test_frames_before_the_fire_are_left_out():
    burned = np.concatenate([np.zeros((2, *grow().shape[1:]), np.uint8), grow(2)])
    history = regular_history(_observed(burned, [0, 30, 60, 90]), 30)
    assert (history.burned == grow(2)).all()
    assert "2 frames before the first burned pixel" in history.notes[0]


def test_fire_without_a_burned_pixel_at_its_newest_is_none():
    with pytest.raises(InputError, match=r"(?s)fire\.tif.*no burned pixel in the newest of 2.*remove this perimeter"):
        regular_history(_observed(grow(2) * np.array([1, 0], np.uint8)[:, None, None], [0, 30]), 30)
