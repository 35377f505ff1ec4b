"""The grid of a forecast on the map and on the ground: place, area and direction of its pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from pyproj import CRS, Geod, Transformer
from rasterio import Affine

from emberformer.outputs.fire_forecast import north_up

DISTORTED = 0.01  # share by which an area on the map may differ from the one on the ground and still be used


class Grid(NamedTuple):
    """A north-up raster: transform from (column, row) of corners to the map, shape (rows, columns), CRS."""

    transform: Affine
    shape: tuple[int, int]
    crs: CRS | None


def grid_of(forecast: xr.Dataset) -> Grid:
    """The grid of a forecast, first row in the north; `forecast` may lie either way."""
    upright = north_up(forecast)
    y, x = upright.y.values.astype(float), upright.x.values.astype(float)
    height, width = (y[-1] - y[0]) / (len(y) - 1), (x[-1] - x[0]) / (len(x) - 1)
    transform = Affine(width, 0.0, x[0] - width / 2, 0.0, height, y[0] - height / 2)
    crs = upright.rio.crs
    return Grid(transform, (len(y), len(x)), None if crs is None else CRS.from_user_input(crs))


def cell_areas(grid: Grid) -> Float[np.ndarray, "y x"]:
    """Area of each pixel on the ground in m2.

    In a projected CRS width times height, as agencies compute GIS acres. In degrees, and in a projection that shows
    areas more than 1 % too large or small (Web Mercator), the area on the ellipsoid, from the corners in a cylindrical
    equal-area projection. Without a CRS coordinates are metres.
    """
    planar = abs(grid.transform.a * grid.transform.e)
    if grid.crs is None:
        return np.full(grid.shape, planar)
    if grid.crs.is_geographic:
        return np.broadcast_to(_areas_on_the_ellipsoid(grid, 0, 1), grid.shape).copy()
    planar *= grid.crs.axis_info[0].unit_conversion_factor ** 2
    middle = grid.shape[1] // 2
    true = _areas_on_the_ellipsoid(grid, middle, middle + 1)
    if abs(planar / true.mean() - 1) <= DISTORTED:
        return np.full(grid.shape, planar)
    return _areas_on_the_ellipsoid(grid, 0, grid.shape[1])


def on_map(grid: Grid, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Map coordinates (x, y) of places in pixels, counted from the upper left corner."""
    return grid.transform.c + grid.transform.a * columns, grid.transform.f + grid.transform.e * rows


def ground_scale(grid: Grid) -> tuple[float, float]:
    """Metres on the ground to one unit of x and of y, at the centre of the map."""
    if grid.crs is None:
        return 1.0, 1.0
    (x, y), (a, e) = _centre(grid), (grid.transform.a, grid.transform.e)
    to_degrees = _to_degrees(grid.crs)
    geod = _geod(grid.crs)
    lengths = []
    for step_x, step_y in ((a / 2, 0.0), (0.0, e / 2)):
        ends = to_degrees.transform([x - step_x, x + step_x], [y - step_y, y + step_y])
        lengths.append(abs(geod.line_length(*ends)))
    return float(lengths[0] / abs(a)), float(lengths[1] / abs(e))


def north(grid: Grid) -> tuple[float, float]:
    """Where true north points at the centre of the map: unit vector towards (right, up) on the map."""
    if grid.crs is None:
        return 0.0, 1.0
    x, y = _centre(grid)
    to_degrees = _to_degrees(grid.crs)
    longitude, latitude = to_degrees.transform(x, y)
    step = 1e-4 if latitude < 89 else -1e-4
    x_north, y_north = to_degrees.transform(longitude, latitude + step, direction="INVERSE")
    scale_x, scale_y = ground_scale(grid)
    right, up = np.sign(step) * (x_north - x) * scale_x, np.sign(step) * (y_north - y) * scale_y
    length = float(np.hypot(right, up))
    return float(right) / length, float(up) / length


def _areas_on_the_ellipsoid(grid: Grid, start: int, stop: int) -> Float[np.ndarray, "y part"]:
    """Areas of the pixels of the columns start to stop, m2."""
    crs = grid.crs
    assert crs is not None
    columns, rows = np.meshgrid(np.arange(start, stop + 1), np.arange(grid.shape[0] + 1))
    x, y = on_map(grid, columns, rows)
    longitude = _to_degrees(crs).transform(*_centre(grid))[0]
    geod = _geod(crs)
    equal_area = CRS.from_dict({"proj": "cea", "lon_0": longitude, "a": geod.a, "b": geod.b, "units": "m"})
    x, y = Transformer.from_crs(crs, equal_area, always_xy=True).transform(x, y)
    down_right = x[1:, 1:] - x[:-1, :-1], y[1:, 1:] - y[:-1, :-1]
    up_right = x[:-1, 1:] - x[1:, :-1], y[:-1, 1:] - y[1:, :-1]
    return np.abs(down_right[0] * up_right[1] - down_right[1] * up_right[0]) / 2


def _centre(grid: Grid) -> tuple[float, float]:
    return grid.transform * (grid.shape[1] / 2, grid.shape[0] / 2)


def _to_degrees(crs: CRS) -> Transformer:
    """From the map to longitude and latitude on the same ellipsoid."""
    return Transformer.from_crs(crs, crs.geodetic_crs or crs, always_xy=True)


def _geod(crs: CRS) -> Geod:
    geod = crs.get_geod()
    assert geod is not None  # the CRS of a place on Earth has an ellipsoid
    return geod
