"""The generated valley: signs of the aspect, the river as a barrier, fuels that the table knows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.segmentation import flood

from emberformer.data.valley import FUELS, WATER, fractal_noise, generate_valley, generate_wind, slope_and_aspect


@pytest.mark.parametrize(
    ("row_rise", "column_rise", "downslope"),
    [(0, -30, 90), (0, 30, 270), (-30, 0, 180), (30, 0, 0), (30, 30, 315), (-30, 30, 225)],
)
def test_aspect_points_downslope_clockwise_from_north(row_rise, column_rise, downslope):
    row, column = np.mgrid[:5, :5]
    slope, aspect = slope_and_aspect(row * row_rise + column * column_rise + 900.0, 30.0)
    np.testing.assert_allclose(aspect, downslope, atol=1e-4)
    np.testing.assert_allclose(slope, np.degrees(np.arctan(np.hypot(row_rise, column_rise) / 30)), rtol=1e-6)


def test_level_ground_has_no_aspect():
    slope, aspect = slope_and_aspect(np.full((4, 6), 812.0), 30.0)
    assert (slope == 0).all()
    assert (aspect == -1).all()


@given(st.integers(8, 40), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 99))
def test_noise_is_standardised_and_smoother_with_a_larger_exponent(size, exponent, seed):
    rough, smooth = (fractal_noise(size, e, np.random.default_rng(seed)) for e in (exponent, exponent + 1))
    for noise in (rough, smooth):
        assert noise.mean() == pytest.approx(0, abs=1e-9)
        assert noise.std() == pytest.approx(1)
    assert np.diff(smooth, axis=0).std() < np.diff(rough, axis=0).std()


@pytest.mark.parametrize("seed", range(4))
def test_the_river_cuts_the_valley_in_two(seed):
    terrain = generate_valley(120, 30.0, np.random.default_rng(seed))
    # connected by sides only, as fire does not pass between two cells that touch at a corner
    land = terrain.fuel_model != WATER.code
    west, east = (flood(land, corner, connectivity=1) for corner in ((0, 0), (0, -1)))
    np.testing.assert_array_equal(west ^ east, land)


def test_bands_are_within_their_ranges():
    terrain = generate_valley(120, 30.0, np.random.default_rng(5))
    assert set(np.unique(terrain.fuel_model)) == {fuel.code for fuel in FUELS}
    assert terrain.elevation.min() == 500
    assert 0 <= terrain.slope_deg.min() <= terrain.slope_deg.max() < 60
    assert ((terrain.aspect_deg == -1) | ((terrain.aspect_deg >= 0) & (terrain.aspect_deg < 360))).all()
    assert 0 <= terrain.canopy_cover.min() <= terrain.canopy_cover.max() <= 95
    assert 0.8 < terrain.burnable.mean() < 1


def test_a_window_is_a_cut_of_every_band():
    terrain = generate_valley(60, 30.0, np.random.default_rng(1))
    window = terrain.window(7, 20, 28)
    for band in ("fuel_model", "elevation", "slope_deg", "aspect_deg", "canopy_cover"):
        np.testing.assert_array_equal(getattr(window, band), getattr(terrain, band)[7:35, 20:48])
    assert window.cell_m == terrain.cell_m


@given(st.integers(1, 30), st.integers(0, 999))
def test_wind_is_within_what_the_tables_hold(steps, seed):
    speed, direction = generate_wind(steps, np.random.default_rng(seed))
    assert speed.shape == direction.shape == (steps,)
    assert ((speed >= 2) & (speed <= 40)).all()
    assert ((direction >= 0) & (direction <= 359)).all()
    np.testing.assert_array_equal(speed, speed.round(1))
