"""Fronts and spots: hand-worked boxes, distances and joins; nothing is lost in a window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from emberformer.detection.fire_objects import FRONT, SPOT, ClusterRule, FireObjects, fire_objects, objects_new_in
from tests.small_fires import small_fires

ALONE = ClusterRule(reach=0, least_front=1)


def _masks(*areas: tuple, shape=(20, 30)) -> np.ndarray:
    burned = np.zeros(shape, np.uint8)
    for area in areas:
        burned[area] = 1
    return burned


BEFORE = _masks(np.s_[8:12, 2:6])


def test_a_front_touches_the_fire_and_a_spot_is_away_from_it():
    after = _masks(np.s_[8:12, 2:9], np.s_[3:5, 20:24])
    found = fire_objects(after, BEFORE, ALONE).boxes(ALONE)
    assert found.boxes.tolist() == [[6, 8, 9, 12], [20, 3, 24, 5]]
    assert found.labels.tolist() == [FRONT, SPOT]
    assert found.pixels.tolist() == [12, 8]


@pytest.mark.parametrize(("away", "kind"), [(3, FRONT), (4, SPOT)])
def test_a_spot_has_no_burned_pixel_within_r(away, kind):
    after = BEFORE | _masks(np.s_[8:12, 5 + away : 12])
    assert fire_objects(after, BEFORE, ALONE).labels.tolist() == [kind]


def test_across_a_corner_lies_at_1_41():
    after = BEFORE | _masks(np.s_[12, 6])
    assert fire_objects(after, BEFORE, ClusterRule(spot_distance=1)).labels.tolist() == [SPOT]
    assert fire_objects(after, BEFORE, ClusterRule(spot_distance=1.5)).labels.tolist() == [FRONT]


@pytest.mark.parametrize(("between", "count"), [(4, 1), (5, 2)])
def test_fronts_with_up_to_twice_the_reach_between_them_are_one(between, count):
    before = _masks(np.s_[10, :])
    after = before | _masks(np.s_[8:10, 2:5], np.s_[8:10, 5 + between : 9 + between])
    assert len(fire_objects(after, before, ClusterRule(reach=2)).labels) == count


def test_a_spot_near_a_new_front_stays_a_spot():
    after = BEFORE | _masks(np.s_[8:12, 6:9], np.s_[8:12, 10:12])
    found = fire_objects(after, BEFORE, ClusterRule(reach=4))
    assert found.labels.tolist() == [FRONT, SPOT]


def test_pixels_that_touch_at_a_corner_are_one_object_of_eight_neighbours():
    before = _masks(np.s_[10, :])
    after = before | _masks(np.s_[9, 4], np.s_[8, 5])
    assert len(fire_objects(after, before, ClusterRule(reach=0)).labels) == 1
    assert len(fire_objects(after, before, ClusterRule(reach=0, connectivity=4)).labels) == 2


def test_what_burns_in_the_first_frame_is_an_ignition():
    found = fire_objects(_masks(np.s_[3, 4], np.s_[12:14, 20:25]), None, ClusterRule())
    assert found.labels.tolist() == [SPOT, SPOT]
    assert found.boxes(ClusterRule()).boxes.tolist() == [[4, 3, 5, 4], [20, 12, 25, 14]]


def test_unknown_ground_is_not_new_and_makes_no_spot():
    before = BEFORE.copy()
    before[3:5, 20:24] = 255
    after = BEFORE | _masks(np.s_[3:5, 20:25])
    found = fire_objects(after, before, ALONE)
    assert found.boxes(ALONE).boxes.tolist() == [[24, 3, 25, 5]]
    assert found.labels.tolist() == [FRONT]


def test_fronts_below_the_least_size_are_no_objects_and_spots_have_their_own():
    after = BEFORE | _masks(np.s_[8:11, 6], np.s_[3, 20])
    assert fire_objects(after, BEFORE, ClusterRule()).boxes(ClusterRule()).labels.tolist() == [SPOT]
    assert not fire_objects(BEFORE, BEFORE, ClusterRule()).boxes(ClusterRule()).labels.size


def test_frames_of_a_store_and_its_fires_first_frames():
    fires = small_fires({"a": [BEFORE, BEFORE | _masks(np.s_[8:12, 6:9])], "b": [_masks(np.s_[0:2, 0:2])]})
    kinds = [objects_new_in(fires, row, ClusterRule()).labels.tolist() for row in range(3)]
    assert kinds == [[SPOT], [FRONT], [SPOT]]


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1.5, 3.0]), st.sampled_from([0, 1, 3]))
def test_objects_hold_every_new_pixel_once_and_spots_are_farther_than_r(seed, distance, reach):
    rng = np.random.default_rng(seed)
    before = (rng.random((24, 31)) < 0.02).astype(np.uint8)
    after = before | (rng.random(before.shape) < 0.05).astype(np.uint8)
    found = fire_objects(after, before, ClusterRule(reach=reach, spot_distance=distance))
    new = (after == 1) & (before == 0)
    assert np.array_equal(found.clusters > 0, new)
    away = np.full(new.shape, np.inf) if not before.any() else np.asarray(distance_transform_edt(before == 0))
    for number, kind in enumerate(found.labels, 1):
        nearest = away[found.clusters == number].min()
        assert (nearest > distance) if kind == SPOT else nearest <= distance


def test_a_window_of_the_clusters_has_the_boxes_of_what_is_in_it():
    after = BEFORE | _masks(np.s_[8:12, 6:12])
    whole = fire_objects(after, BEFORE, ALONE)
    part = FireObjects(whole.clusters[9:16, 4:8], whole.labels)
    assert part.boxes(ALONE).boxes.tolist() == [[2, 0, 4, 3]]
