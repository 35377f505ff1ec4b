"""What isochrones are is measured: the same area, a cumulative area, a ring."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emberformer.data.fires import Frame
from emberformer.data.isochrones import FrameCounts, count_frame, isochrone_shares, shrinkage_shares, warn_about

AREAS = [np.arange(16).reshape(4, 4) < burned for burned in (2, 5, 9)]


def _count(areas, isochrones):
    frames = [
        Frame(area.astype("u1"), None if isochrone is None else isochrone.astype("u1"))
        for area, isochrone in zip(areas, isochrones, strict=True)
    ]
    counts = FrameCounts()
    for previous, frame in zip([None, *frames], frames, strict=False):
        counts += count_frame(previous, frame)
    return counts


def test_same_as_burned():
    counts = _count(AREAS, AREAS)
    assert counts.target_kind == "same_as_burned"
    shares = {"equal": 1, "contains": 1, "target_equal": 1, "target_ring": 0, "current_fire_inside_target": 1}
    assert isochrone_shares(counts) == shares


def test_first_isochrone_is_no_target():
    assert _count(AREAS, [~AREAS[0], *AREAS[1:]]).target_kind == "same_as_burned"


def test_ring_is_an_increment():
    counts = _count(AREAS, [AREAS[0], AREAS[1] & ~AREAS[0], AREAS[2] & ~AREAS[1]])
    assert counts.target_kind == "increment"
    shares = isochrone_shares(counts)
    assert (shares["target_ring"], shares["current_fire_inside_target"]) == (1, 0)
    assert shares["equal"] == pytest.approx(1 / 3)


def test_wider_area_is_cumulative():
    counts = _count(AREAS, [AREAS[1], AREAS[2], np.ones((4, 4), bool)])
    assert counts.target_kind == "cumulative"
    assert isochrone_shares(counts)["contains"] == 1
    assert isochrone_shares(counts)["target_equal"] == 0


def test_without_isochrones():
    counts = _count(AREAS, [None] * 3)
    assert counts.target_kind == "same_as_burned"
    assert isochrone_shares(counts) == {}


def test_shrinking_fire_is_measured_and_said(caplog):
    counts = _count([AREAS[0], AREAS[2], AREAS[1]], [None] * 3)  # 9 pixels become 5
    assert shrinkage_shares(counts) == {"steps": 1 / 2, "pixels": 4 / 11}
    with caplog.at_level(logging.WARNING):
        warn_about(counts, "land", "cumulative")
    assert "land: burned pixels go out in 50.00 % of the steps (36.364 % of the burned pixels)" in caplog.text


def test_doubtful_isochrones_are_said(caplog):
    half = np.zeros((4, 4), bool)
    half[0, 0] = True  # one of two burned pixels
    with caplog.at_level(logging.WARNING):
        warn_about(_count(AREAS[:2], [AREAS[0], half]), "land", "cumulative")
    assert "hold 50 % of the current fire, neither an area nor a ring" in caplog.text


@given(st.lists(arrays(bool, (3, 3)), min_size=1, max_size=6), st.data())
def test_counts_of_fires_add_up_and_bound_each_other(areas, data):
    isochrones = [data.draw(arrays(bool, (3, 3))) for _ in areas]
    counts = _count(areas, isochrones)
    assert counts + counts == _count(areas, isochrones) + _count(areas, isochrones)
    assert counts.equal <= counts.contains <= counts.frames == counts.steps + 1 == len(areas)
    assert max(counts.pixels_inside, counts.pixels_gone) <= counts.pixels
    assert all(0 <= share <= 1 for share in (isochrone_shares(counts) | shrinkage_shares(counts)).values())
