"""The grid of a new fire: where its pixels lie, and how masks come onto it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from pyproj.aoi import AreaOfInterest
from pyproj.database import query_utm_crs_info
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import array_bounds
from rasterio.warp import Resampling, reproject, transform_bounds

from emberformer.data.landscape_raster import METRES_PER_DEGREE
from emberformer.errors import InputError

Bounds = tuple[float, float, float, float]  # left, bottom, right, top
SAME = 1e-3  # of a pixel: grids that differ by less are one
COARSER = 1.5  # pixels that grow by more take what most of the old ones show, not what the nearest does
MOST_PIXELS = 10_000  # a side: a larger grid is a mistaken cell or coordinate


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a raster lie.

    Args:
        crs: coordinate reference system.
        transform: corner of pixel (column, row) -> map (x, y).
        height: rows.
        width: columns.
    """

    crs: CRS
    transform: Affine
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def bounds(self) -> Bounds:
        """Left, bottom, right and top in units of the CRS."""
        return array_bounds(self.height, self.width, self.transform)

    @property
    def metres_per_unit(self) -> float:
        """Of the CRS; of degrees, along the meridian."""
        return METRES_PER_DEGREE if self.crs.is_geographic else self.crs.linear_units_factor[1]

    @property
    def cell_m(self) -> float:
        """Side of a pixel in metres; of pixels that are not square, of a square of their area at the centre."""
        area = abs(self.transform.determinant) * self.metres_per_unit**2
        if self.crs.is_geographic:
            area *= math.cos(math.radians((self.bounds[1] + self.bounds[3]) / 2))
        return math.sqrt(area)

    @property
    def is_regular(self) -> bool:
        """Whether it is one that a fire can be forecast on: projected, north-up, with square pixels."""
        a, b, _, d, e, _ = self.transform[:6]
        return not self.crs.is_geographic and b == d == 0 and a > 0 and math.isclose(a, -e, rel_tol=1e-3)

    def part(self, row: int, column: int, height: int, width: int) -> Grid:
        """The grid of the same pixels that begins at (row, column), which may lie outside."""
        return Grid(self.crs, self.transform * Affine.translation(column, row), height, width)

    def offset(self, other: Grid) -> tuple[int, int] | None:
        """Row and column of this grid at which another of the same pixels begins; None if the pixels are others."""
        if self.crs != other.crs:
            return None
        into = ~self.transform * other.transform
        same = np.allclose(into[:2] + into[3:5], (1, 0, 0, 1), rtol=0, atol=SAME / max(other.shape))
        row, column = round(into.f), round(into.c)
        return (row, column) if same and max(abs(into.f - row), abs(into.c - column)) < SAME else None

    def describe(self) -> str:
        """In words, for notes."""
        return f"{self.height} x {self.width} pixels of {self.cell_m:.4g} m, {name_crs(self.crs)}"


def name_crs(crs: CRS) -> str:
    """Short name of a CRS: its EPSG code, or what it calls itself."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else crs.to_dict().get("proj", "own CRS")


def parse_crs(words: str) -> CRS:
    """A projected CRS that was asked for, such as 'EPSG:32719'.

    Raises:
        InputError: PROJ knows none of this name, or it is in degrees.
    """
    expected, remedy = "a projected CRS such as 'EPSG:32719'", "correct --crs (crs of a data set), or leave it out"
    try:
        crs = CRS.from_user_input(words)
    except CRSError as error:
        raise InputError("--crs", f"{words!r}: {error}", expected, remedy) from error
    if not crs.is_projected:
        raise InputError("--crs", f"{words!r}, which is not projected", expected, remedy)
    return crs


def suitable_crs(crs: CRS, bounds: Bounds) -> CRS:
    """The CRS itself where it is projected, else the UTM zone (WGS 84) that the centre lies in.

    Raises:
        InputError: it lies in none, as near the poles.
    """
    if crs.is_projected:
        return crs
    west, south, east, north = transform_bounds(crs, CRS.from_epsg(4326), *bounds)
    longitude, latitude = (west + east) / 2, (south + north) / 2
    zones = query_utm_crs_info("WGS 84", AreaOfInterest(longitude, latitude, longitude, latitude))
    if not zones:
        found = f"a fire at longitude {longitude:g}, latitude {latitude:g}, in no UTM zone"
        raise InputError(
            "the fire's grid", found, "a projected CRS", "give --crs (crs of a data set), or correct the perimeters"
        )
    return CRS.from_epsg(int(zones[0].code))


def grid_over(bounds: Bounds, crs: CRS, cell_m: float, margin_m: float = 0.0) -> Grid:
    """The smallest grid over a rectangle whose corners are multiples of the cell, so that equal fires get equal grids.

    Args:
        bounds: the rectangle, in units of the CRS.
        crs: a projected CRS.
        cell_m: side of a pixel in metres.
        margin_m: metres to add on every side.

    Raises:
        InputError: the rectangle is not finite, or has more than 10,000 pixels a side.
    """
    if not np.isfinite(bounds).all():
        remedy = "correct the coordinates or the CRS of the perimeters, or give another --crs (crs of a data set)"
        raise InputError("the fire's grid", f"a fire that has no place in {name_crs(crs)}", "one", remedy)
    unit = crs.linear_units_factor[1]
    cell, margin = cell_m / unit, margin_m / unit
    low = [math.floor(round((edge - margin) / cell, 6)) for edge in bounds[:2]]
    high = [math.ceil(round((edge + margin) / cell, 6)) for edge in bounds[2:]]
    width, height = high[0] - low[0], high[1] - low[1]
    if max(width, height) > MOST_PIXELS:
        raise InputError(
            "the fire's grid",
            f"{height} x {width} pixels of {cell_m:g} m",
            f"at most {MOST_PIXELS} pixels a side",
            "give a larger --cell (cell_m of a data set), or correct coordinates that lie far from the others",
        )
    return Grid(crs, Affine(cell, 0, low[0] * cell, 0, -cell, high[1] * cell), height, width)


def choose_grid(native: Grid, crs: CRS | None = None, cell_m: float | None = None) -> Grid:
    """Grid that a raster's fire is forecast on: its own where that is regular and nothing else is asked for.

    Args:
        native: the raster's own grid.
        crs: projected CRS that is asked for.
        cell_m: side of a pixel in metres that is asked for.
    """
    crs, cell_m = crs or suitable_crs(native.crs, native.bounds), cell_m or native.cell_m
    if native.is_regular and crs == native.crs and math.isclose(cell_m, native.cell_m, rel_tol=1e-3):
        return native
    return grid_over(transform_bounds(native.crs, crs, *native.bounds), crs, cell_m)


def move_burned(burned: UInt8[np.ndarray, "n y x"], native: Grid, grid: Grid) -> UInt8[np.ndarray, "n h w"]:
    """Masks on another grid: cut and padded where the pixels are the same, else warped.

    Codes are never mixed: a pixel shows what the nearest old one does, or most of the old ones if it is much larger.
    What lies outside the old grid is 0, not burned.

    Args:
        burned: 0, 1, 255 = unknown, on `native`.
        native: where they lie.
        grid: where they are to lie.
    """
    moved = np.zeros((len(burned), *grid.shape), np.uint8)
    if (start := native.offset(grid)) is not None:
        inside, own = _overlap(start, native.shape, grid.shape)
        moved[:, *inside] = burned[:, *own]
        return moved
    most = grid.cell_m > COARSER * native.cell_m
    for source, target in zip(burned, moved, strict=True):
        reproject(
            source,
            target,
            src_transform=native.transform,
            src_crs=native.crs,
            dst_transform=grid.transform,
            dst_crs=grid.crs,
            resampling=Resampling.mode if most else Resampling.nearest,
        )
    return moved


def _overlap(
    start: tuple[int, int], shape: tuple[int, int], other: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Common pixels of a raster and of one that begins at `start` in it: slices of the other, slices of the raster."""
    inside, own = [], []
    for begin, length, size in zip(start, shape, other, strict=True):
        low, high = max(begin, 0), max(min(begin + size, length), max(begin, 0))
        inside.append(slice(low - begin, high - begin))
        own.append(slice(low, high))
    return (inside[0], inside[1]), (own[0], own[1])


def window_around(newest: UInt8[np.ndarray, "y x"], grid: Grid, side: int) -> Grid:
    """Square of `side` pixels around the middle of what has burned; it may reach beyond the grid.

    Args:
        newest: the newest mask, on `grid`, with a burned pixel.
        grid: its grid.
        side: pixels.
    """
    rows, columns = (np.flatnonzero((newest == 1).any(axis=axis)) for axis in (1, 0))
    row, column = (int(lines[0] + lines[-1] + 1 - side) // 2 for lines in (rows, columns))
    return grid.part(row, column, side, side)
