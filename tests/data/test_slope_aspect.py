"""Horn's slope and aspect: exact on a plane, by hand on a bump, the same as GDAL's."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emberformer.data.slope_aspect import horn_slope_aspect


@given(st.floats(-2, 2), st.floats(-2, 2))
@example(2.220446049250313e-16, -1.0)
def test_a_plane_has_its_slope_and_falls_against_its_rise(east, north):
    row, column = np.mgrid[:6, :7]
    slope, aspect = horn_slope_aspect(500 + 30 * (east * column - north * row), 30.0)
    assert slope.shape == (4, 5)
    np.testing.assert_allclose(slope, np.degrees(np.arctan(np.hypot(east, north))), atol=1e-9)
    if np.hypot(east, north) > 1e-6:
        downslope = np.degrees(np.arctan2(-east, -north))
        np.testing.assert_allclose(np.cos(np.deg2rad(aspect - downslope)), 1, atol=1e-9)
        assert ((aspect >= 0) & (aspect < 360)).all()


def test_weights_by_hand():
    # East: (0 + 2 * 8 + 0 - 0) / 8 = 2 m; north: 4 / 8 = 0.5 m up to the north-west corner.
    z = np.array([[4.0, 0, 0], [0, 7, 8], [0, 0, 0]])
    slope, aspect = horn_slope_aspect(z, 1.0)
    east, north = (16 - 4) / 8, 4 / 8
    assert slope[0, 0] == pytest.approx(np.degrees(np.arctan(np.hypot(east, north))))
    assert aspect[0, 0] == pytest.approx(np.degrees(np.arctan2(-east, -north)) % 360)


def test_level_ground_has_no_aspect_and_unknown_ground_nothing():
    z = np.full((3, 4), 100.0)
    slope, aspect = horn_slope_aspect(z, 30.0)
    assert (slope == 0).all()
    assert np.isnan(aspect).all()
    z[1, 1] = np.nan
    slope, aspect = horn_slope_aspect(z, 30.0)
    assert np.isnan(slope).tolist() == [[True, True]]
