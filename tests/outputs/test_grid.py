"""The grid on the ground: areas, lengths and north against geodesics and by hand."""

import numpy as np
import pytest
from pyproj import CRS, Geod, Transformer
from rasterio import Affine

from emberformer.outputs.grid import Grid, cell_areas, grid_of, ground_scale, north, on_map
from tests.outputs.forecasts import example, forecast_of, spreading


def test_the_grid_of_a_map_does_not_depend_on_the_order_of_its_rows():
    upright, turned = forecast_of(*spreading()), forecast_of(*spreading(), south_up=True)
    assert grid_of(upright) == grid_of(turned)
    assert grid_of(upright).transform == Affine(30, 0, 336_000, 0, -30, 6_157_000)


def test_in_a_projected_crs_a_pixel_is_width_times_height():
    assert (cell_areas(grid_of(example("ordinary"))) == 900).all()
    assert (cell_areas(grid_of(example("no CRS"))) == 900).all()
    us_survey_foot = 1200 / 3937
    np.testing.assert_allclose(cell_areas(grid_of(example("feet"))), (100 * us_survey_foot) ** 2, rtol=1e-12)


def geodesic_area(grid: Grid, row: int, column: int) -> float:
    """Area inside the pixel's outline, with 100 geodesics a side, m2."""
    share = np.linspace(0, 1, 100, endpoint=False)
    across = np.concatenate([share, np.ones(100), 1 - share, np.zeros(100)])
    down = np.concatenate([np.zeros(100), share, np.ones(100), 1 - share])
    x, y = on_map(grid, column + across, row + down)
    assert grid.crs is not None
    assert grid.crs.geodetic_crs is not None
    degrees = Transformer.from_crs(grid.crs, grid.crs.geodetic_crs, always_xy=True).transform(x, y)
    return abs(Geod(ellps="WGS84").polygon_area_perimeter(*degrees)[0])


@pytest.mark.parametrize("kind", ["degrees", "web mercator"])
def test_where_the_map_distorts_areas_are_those_on_the_ellipsoid(kind):
    grid = grid_of(example(kind))
    areas = cell_areas(grid)
    for row, column in [(0, 0), (11, 17), (23, 29)]:
        np.testing.assert_allclose(areas[row, column], geodesic_area(grid, row, column), rtol=1e-6)
    planar = abs(grid.transform.a * grid.transform.e)
    assert abs(areas.mean() / planar - 1) > 0.2  # what it would be to take the map for the ground


def test_the_sphere_is_covered_once():
    """All pixels of a map of the Earth in degrees have the area of the ellipsoid, 510 065 621 724 089 m2 (WGS 84)."""
    grid = Grid(Affine(10, 0, -180, 0, -10, 90), (18, 36), CRS.from_epsg(4326))
    np.testing.assert_allclose(cell_areas(grid).sum(), 510_065_621_724_089, rtol=1e-9)


def test_length_of_a_degree_and_of_a_metre():
    grid = Grid(Affine(0.001, 0, 10, 0, -0.001, 45.005), (10, 10), CRS.from_epsg(4326))
    np.testing.assert_allclose(ground_scale(grid), (78_847, 111_132), rtol=1e-4)  # m a degree at 45 N
    np.testing.assert_allclose(ground_scale(grid_of(example("ordinary"))), (1, 1), rtol=1e-3)
    assert ground_scale(grid_of(example("no CRS"))) == (1.0, 1.0)


def test_north_turns_with_the_meridians():
    """Convergence of UTM: tan(angle) = tan(longitude from the central meridian) sin(latitude)."""
    grid = grid_of(example("ordinary"))
    assert grid.crs is not None
    x, y = grid.transform * (15, 12)
    longitude, latitude = Transformer.from_crs(32719, 4326, always_xy=True).transform(x, y)
    angle = np.arctan(np.tan(np.radians(longitude + 69)) * np.sin(np.radians(latitude)))
    # West of the central meridian, in the south, true north lies left of grid north.
    np.testing.assert_allclose(north(grid), (-np.sin(angle), np.cos(angle)), atol=1e-5)
    assert north(grid_of(example("no CRS"))) == (0.0, 1.0)
    np.testing.assert_allclose(north(grid_of(example("degrees"))), (0, 1), atol=1e-9)
