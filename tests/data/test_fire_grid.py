"""The grid of a new fire: corners on multiples of the cell, codes that are never mixed, windows around the fire."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.crs import CRS

from emberformer.data.fire_grid import (
    Grid,
    choose_grid,
    grid_over,
    move_burned,
    name_crs,
    parse_crs,
    suitable_crs,
    window_around,
)
from emberformer.errors import InputError
from tests.new_fires import SHAPE, TRANSFORM, grow

UTM = CRS.from_epsg(32719)
GRID = Grid(UTM, TRANSFORM, *SHAPE)


def test_grid_over_a_rectangle_begins_and_ends_at_multiples_of_the_cell():
    grid = grid_over((340_001.0, 6_159_990.0, 340_061.0, 6_160_020.0), UTM, 30.0, 30.0)
    assert grid.bounds == (339_960, 6_159_960, 340_110, 6_160_050)
    assert grid.shape == (3, 5)


def test_cells_are_metres_where_the_crs_is_in_feet():
    feet = CRS.from_epsg(2227)
    grid = grid_over((6_000_000, 2_000_000, 6_001_000, 2_001_000), feet, 30.0)
    assert grid.transform.a == pytest.approx(30 / (1200 / 3937))
    assert grid.cell_m == pytest.approx(30)


def test_a_grid_of_a_planet_is_refused():
    with pytest.raises(InputError, match=r"(?s)the fire's grid.*at most 10000 pixels.*--cell"):
        grid_over((0, 0, 4e6, 1), UTM, 30.0)


def test_a_place_beyond_every_map_is_refused():
    with pytest.raises(InputError, match=r"(?s)no place in EPSG:32719"):
        grid_over((0, 0, np.inf, 1), UTM, 30.0)
    with pytest.raises(InputError, match=r"(?s)latitude 88\.5, in no UTM zone.*--crs"):
        suitable_crs(CRS.from_epsg(4326), (10.0, 88.0, 11.0, 89.0))


def test_degrees_lie_in_their_zone_and_metres_stay():
    assert suitable_crs(CRS.from_epsg(4326), (-70.8, -34.0, -70.7, -33.9)).to_epsg() == 32719
    assert suitable_crs(CRS.from_epsg(4326), (-113.8, 51.0, -113.7, 51.1)).to_epsg() == 32612
    assert suitable_crs(CRS.from_epsg(5070), (0, 0, 1, 1)).to_epsg() == 5070


def test_cell_of_degrees_is_that_of_the_square_of_equal_area():
    grid = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 10, 0, -0.001, 60), 2, 2)
    assert grid.cell_m == pytest.approx(111.32 * np.sqrt(np.cos(np.deg2rad(59.999))))
    assert not grid.is_regular


def test_regular_raster_keeps_its_grid_unless_another_is_asked_for():
    assert choose_grid(GRID) is GRID
    assert choose_grid(GRID, UTM, 30.0) is GRID
    assert choose_grid(GRID, UTM, 60.0).shape == (12, 15)
    assert choose_grid(GRID, CRS.from_epsg(32718)).crs.to_epsg() == 32718


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_cut_and_padded_and_back_is_what_lay_in_both(row, column):
    burned = grow(2)
    other = GRID.part(row, column, 20, 20)
    moved = move_burned(burned, GRID, other)
    for y in range(20):
        for x in range(20):
            inside = 0 <= y + row < SHAPE[0] and 0 <= x + column < SHAPE[1]
            assert moved[1, y, x] == (burned[1, y + row, x + column] if inside else 0)


def test_warping_keeps_codes_whole():
    burned = np.repeat(np.repeat(np.array([[[0, 1], [255, 0]]], np.uint8), 8, 1), 8, 2)
    native = Grid(UTM, TRANSFORM, 16, 16)
    coarse = Grid(UTM, TRANSFORM * Affine.scale(4), 4, 4)
    assert move_burned(burned, native, coarse)[0].tolist() == [[0, 0, 1, 1]] * 2 + [[255, 255, 0, 0]] * 2
    fine = Grid(UTM, TRANSFORM * Affine.scale(0.5), 32, 32)
    assert (move_burned(burned, native, fine) == burned.repeat(2, 1).repeat(2, 2)).all()


def test_window_lies_around_what_has_burned():
    newest = np.zeros(SHAPE, np.uint8)
    newest[10:14, 20:22] = 1
    window = window_around(newest, GRID, 8)
    assert GRID.offset(window) == (8, 17)
    assert window.shape == (8, 8)
    assert GRID.offset(window_around(newest, GRID, 40)) == (-8, 1)


def test_grids_of_other_pixels_have_no_offset():
    assert GRID.offset(GRID.part(3, -2, 5, 5)) == (3, -2)
    assert GRID.offset(Grid(UTM, TRANSFORM * Affine.translation(0.5, 0), *SHAPE)) is None
    assert GRID.offset(Grid(CRS.from_epsg(32718), TRANSFORM, *SHAPE)) is None
    assert GRID.offset(Grid(UTM, TRANSFORM * Affine.scale(2), *SHAPE)) is None


@pytest.mark.parametrize("words", ["EPSG:4326", "EPSG:999999", "nonsense"])
def test_crs_must_be_known_and_projected(words):
    with pytest.raises(InputError, match=r"(?s)--crs.*projected"):
        parse_crs(words)
    assert name_crs(parse_crs("EPSG:32719")) == "EPSG:32719"
