"""Geometry of the front: hand-worked cases, and laws against a search over all pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emberformer.geometry import distance_to, nearest_pixel, share_nearby, surroundings

regions = arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(regions)
def test_nearest_pixel_is_the_nearest(region):
    distance, row, column = nearest_pixel(region)
    np.testing.assert_array_equal(distance, distance_to(region))
    if not region.any():
        assert np.isinf(distance).all()
        return
    rows, columns = np.indices(region.shape)
    burned = np.argwhere(region)
    search = np.hypot(rows[..., None] - burned[:, 0], columns[..., None] - burned[:, 1]).min(-1)
    np.testing.assert_allclose(distance, search)
    assert region[row, column].all()
    np.testing.assert_allclose(np.hypot(rows - row, columns - column), distance)


@given(regions, st.integers(0, 4))
def test_surroundings_hold_the_region_and_its_margin(region, margin):
    part = surroundings(region, margin)
    assert region[part].sum() == region.sum()
    near = distance_to(region) <= margin
    outside = np.ones_like(region)
    outside[part] = False
    assert not (near & outside).any()
    if region.any():
        assert surroundings(region, 100) == (slice(0, region.shape[0]), slice(0, region.shape[1]))


def test_share_nearby_by_hand():
    region = np.zeros((5, 5), bool)
    region[0, 0] = region[2, 2] = True
    share = share_nearby(region, 3)
    np.testing.assert_allclose(share[1, 1], 2 / 9, rtol=1e-6)
    np.testing.assert_allclose(share[0, 0], 1 / 9, rtol=1e-6)  # beyond the edge there is none of it
    np.testing.assert_allclose(share[4, 0], 0, atol=1e-7)
