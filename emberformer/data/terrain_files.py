"""Terrain of a new fire: rasters of any CRS and resolution on the fire's grid, slope and aspect from elevation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rasterio
import rasterio.windows
from jaxtyping import Bool, Float, Float32
from pyproj import Transformer
from rasterio import Affine
from rasterio.errors import RasterioError
from rasterio.warp import Resampling, reproject, transform_bounds

from emberformer.data.fire_grid import Grid, name_crs
from emberformer.data.fires import Band
from emberformer.data.perimeter_rasters import place_of
from emberformer.data.raster_files import opened_raster, read_known
from emberformer.data.slope_aspect import horn_slope_aspect
from emberformer.data.terrain_given import KNOWN_BANDS, GivenBand, to_model_unit
from emberformer.errors import InputError

MATERIAL_TURN = 0.05  # degrees: a smaller angle between the norths of two grids is not worth a note


@dataclass(frozen=True)
class Warped:
    """A raster on the fire's grid: values (NaN = no data), which pixels it covers, and what was done."""

    values: Float32[np.ndarray, "y x"]
    covered: Bool[np.ndarray, "y x"]
    notes: list[str]


def read_terrain(
    given: dict[str, GivenBand], wanted: Sequence[Band], grid: Grid, newest: Bool[np.ndarray, "y x"]
) -> tuple[Float32[np.ndarray, "band y x"], list[str]]:
    """Terrain bands of the model on the fire's grid, and notes.

    Continuous bands are warped bilinearly, categories and binaries take the nearest pixel, angles go by their sine and
    cosine and are turned with the grid's north. `slope_deg` and `aspect_deg` are derived from `elevation` where they
    are wanted and not given.

    Args:
        given: by the model's names.
        wanted: bands that the model takes, in its order.
        grid: the fire's grid.
        newest: what has burned.

    Returns:
        float32 [band, y, x], NaN = no data; angles in degrees downslope clockwise from the grid's north.

    Raises:
        InputError: a band is missing, or does not cover what has burned.
    """
    _check_complete(given, wanted)
    bands, notes = [], []
    for band in wanted:
        if band.name in given:
            values, told = _read_band(given[band.name], band, grid, newest)
        else:
            values, told = _derive(given["elevation"], band, grid, newest)
        values = values.astype(np.float32)
        bands.append(values % np.float32(360) if band.kind == "angle" else values)  # 359.999999 is 360 in float32
        notes += [note for note in told if note not in notes]
    return np.stack(bands), notes


def _check_complete(given: dict[str, GivenBand], wanted: Sequence[Band]) -> None:
    derivable = {"slope_deg", "aspect_deg"} if "elevation" in given else set()
    missing = [band.name for band in wanted if band.name not in given and band.name not in derivable]
    if missing:
        taken = ", ".join(f"{band.name} ({band.kind}, {band.unit})" for band in wanted)
        raise InputError(
            "the terrain",
            f"no band {', '.join(missing)}; given: {', '.join(given) or 'none'}",
            f"all bands that the model takes: {taken}",
            f"give --terrain {missing[0]}=FILE, or {missing[0]}=NUMBER where it is the same everywhere (`file` of the "
            "band of a data set); slope_deg and aspect_deg follow from elevation",
        )


def _read_band(
    given: GivenBand, band: Band, grid: Grid, newest: Bool[np.ndarray, "y x"]
) -> tuple[np.ndarray, list[str]]:
    if given.path is None:
        constant = to_model_unit(np.full(grid.shape, given.value, np.float32), given, band, "")
        known = "unknown" if np.isnan(given.value) else f"{given.value:g} {band.unit}"
        return constant, [f"{band.name} is {known} everywhere"]
    warped = warp_band(given, band, grid)
    return warped.values, warped.notes + _check_cover(given, warped, newest)


def _derive(given: GivenBand, band: Band, grid: Grid, newest: Bool[np.ndarray, "y x"]) -> tuple[np.ndarray, list[str]]:
    """Slope or aspect from elevation, which is read with a pixel more on every side."""
    if given.path is None:
        level = 0.0 if band.name == "slope_deg" else np.nan
        return np.full(grid.shape, level, np.float32), [f"{band.name} is that of level ground: elevation is one number"]
    wide = warp_band(given, KNOWN_BANDS["elevation"], grid.part(-1, -1, grid.height + 2, grid.width + 2))
    own = Warped(wide.values[1:-1, 1:-1], wide.covered[1:-1, 1:-1], wide.notes)
    notes = own.notes + _check_cover(given, own, newest)
    # Where the raster ends with the grid, the ground goes on as it ends.
    beyond = np.pad(own.values, 1, mode="reflect", reflect_type="odd")
    slope, aspect = horn_slope_aspect(np.where(np.isnan(wide.values), beyond, wide.values), grid.cell_m)
    notes.append(f"{band.name} is derived from elevation ({given.path.name}) by Horn's formula on the fire's grid")
    return (slope if band.name == "slope_deg" else aspect), notes


def _check_cover(given: GivenBand, warped: Warped, newest: Bool[np.ndarray, "y x"]) -> list[str]:
    """A note where the raster ends within the grid.

    Raises:
        InputError: it does not reach all of what has burned, or knows nothing there and around.
    """
    share, fire = float(warped.covered.mean()), float(warped.covered[newest].mean())
    if fire < 1:
        raise InputError(
            given.where,
            f"it covers {100 * fire:.3g} % of the burned pixels, {100 * share:.3g} % of the fire's grid",
            "a raster that reaches over the whole fire",
            "supply a larger raster; if it should be large enough, check the CRS of both (gdalinfo, ogrinfo)",
        )
    if not np.isfinite(warped.values).any():
        remedy = "supply another raster, or correct its nodata value"
        raise InputError(given.where, "no data anywhere on the fire's grid", "values", remedy)
    if share < 1:
        return [f"{given.path.name if given.path else ''} covers {100 * share:.3g} % of the fire's grid; the rest is "
                f"unknown in {given.name}"]  # fmt: skip
    return []


def warp_band(given: GivenBand, band: Band, grid: Grid) -> Warped:
    """One band of a file on the fire's grid, in the unit of the model.

    Pixels that are the same are taken as they are; a raster that is finer by a whole factor is averaged first.

    Args:
        given: the file and its band.
        band: what the model takes.
        grid: the fire's grid.

    Raises:
        InputError: the file is unreadable, has no CRS, or another unit.
    """
    assert given.path is not None
    with opened_raster(given.path, "supply the raster again") as raster:
        native = place_of(raster)
        if native is None:
            remedy = "gdal_edit.py -a_srs EPSG:<code> -a_ullr <left> <top> <right> <bottom> writes them into the file"
            raise InputError(given.path, "neither CRS nor transform", "a georeferenced raster", remedy)
        part, raw = _read_near(raster, given, native, grid)
        unit = raster.units[given.number - 1] or ""
    values = to_model_unit(raw, given, band, unit)
    if (start := part.offset(grid)) is not None:
        return Warped(*_cut(values, start, grid), [])
    nearest = band.kind in ("categorical", "binary")
    method = Resampling.nearest if nearest else Resampling.bilinear
    covered = _warp(np.ones(part.shape, np.float32), part, grid, Resampling.nearest) == 1
    notes = [
        f"{band.name} ({given.path.name}: {name_crs(native.crs)}, {native.cell_m:.4g} m) is warped to the fire's grid "
        f"({name_crs(grid.crs)}, {grid.cell_m:.4g} m), by {'nearest pixel' if nearest else 'bilinear sampling'}"
    ]
    if band.kind != "angle":
        return Warped(_warp(values, part, grid, method), covered, notes)
    turn = north_turn(native, grid)
    if abs(turn) > MATERIAL_TURN:
        notes.append(f"{band.name} is turned by {turn:.2f} degrees, from north in {name_crs(native.crs)} to the grid's")
    angle = np.deg2rad(values + turn)
    east, north = (_warp(part_of(angle), part, grid, method) for part_of in (np.sin, np.cos))
    # NaN, too, where opposite directions cancel: none is right.
    turned = np.where(np.hypot(east, north) > 1e-6, np.degrees(np.arctan2(east, north)) % 360, np.nan)
    return Warped(turned.astype(np.float32), covered, notes)


def _read_near(
    raster: rasterio.DatasetReader, given: GivenBand, native: Grid, grid: Grid
) -> tuple[Grid, Float32[np.ndarray, "y x"]]:
    """Part of a raster around the grid (at least a pixel, for coverage to be found missing), NaN = no data."""
    bounds = transform_bounds(grid.crs, native.crs, *grid.bounds)
    if not np.isfinite(bounds).all():
        remedy = "check the CRS of both (gdalinfo, ogrinfo)"
        found = f"the fire has no place in {name_crs(native.crs)}, the raster's CRS"
        raise InputError(given.where, found, "a raster that reaches over the whole fire", remedy)
    corners = [~native.transform * (x, y) for x in bounds[::2] for y in bounds[1::2]]
    columns, rows = zip(*corners, strict=True)
    span = []
    for ends, length, size in ((rows, native.height, grid.height), (columns, native.width, grid.width)):
        margin = 2 + int((max(ends) - min(ends)) / size)
        low = int(np.clip(np.floor(min(ends)) - margin, 0, length - 1))
        span.append((low, int(np.clip(np.ceil(max(ends)) + margin, low + 1, length))))
    (top, bottom), (left, right) = span
    window = rasterio.windows.Window(left, top, right - left, bottom - top)  # type: ignore[call-arg]
    try:
        values = read_known(raster, given.number, window)
    except RasterioError as error:
        raise InputError(given.path, str(error.__cause__ or error), "a complete raster", "supply it again") from error
    filled = np.ma.filled(values.astype(np.float32), np.nan)
    return native.part(top, left, bottom - top, right - left), filled


def _cut(
    values: np.ndarray, start: tuple[int, int], grid: Grid
) -> tuple[Float32[np.ndarray, "y x"], Bool[np.ndarray, "y x"]]:
    rows, columns = (np.arange(size) + begin for size, begin in zip(grid.shape, start, strict=True))
    inside = [(lines >= 0) & (lines < length) for lines, length in zip((rows, columns), values.shape, strict=True)]
    covered = inside[0][:, None] & inside[1][None, :]
    cut = np.full(grid.shape, np.nan, np.float32)
    cut[covered] = values[np.ix_(rows[inside[0]], columns[inside[1]])].ravel()
    return cut, covered


def _warp(values: Float[np.ndarray, "h w"], native: Grid, grid: Grid, method: Resampling) -> Float[np.ndarray, "y x"]:
    """Values on the fire's grid, NaN = no data; bilinear sampling leaves a plane as it is.

    GDAL's own averaging over larger pixels does not: its weights change from pixel to pixel, which makes steps in the
    slope. So pixels that are finer by a whole factor are averaged in blocks first, and GDAL is told of no other scale.
    """
    if method == Resampling.bilinear and (factor := int(grid.cell_m / native.cell_m + 1e-6)) > 1:
        values = _block_means(values, factor)
        native = Grid(native.crs, native.transform * Affine.scale(factor), *values.shape)
    warped = np.full(grid.shape, np.nan, np.float32)
    reproject(
        values.astype(np.float32), warped,
        src_transform=native.transform, src_crs=native.crs, src_nodata=np.nan,
        dst_transform=grid.transform, dst_crs=grid.crs, dst_nodata=np.nan,
        resampling=method, tolerance=0, XSCALE=1, YSCALE=1,
    )  # fmt: skip
    return warped


def _block_means(values: Float[np.ndarray, "h w"], factor: int) -> Float[np.ndarray, "y x"]:
    """Means of what is known in blocks of `factor` pixels a side; NaN where nothing is."""
    height, width = (-(-side // factor) * factor for side in values.shape)
    padded = np.full((height, width), np.nan)
    padded[: values.shape[0], : values.shape[1]] = values
    blocks = padded.reshape(height // factor, factor, width // factor, factor)
    known = np.isfinite(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def north_turn(native: Grid, grid: Grid) -> float:
    """Degrees to add to an angle from the north of one grid so that it counts from the north of another.

    Taken at the centre of the second; within a fire's window it changes by hundredths of a degree a kilometre at most.
    """
    middle = grid.transform * (grid.width / 2, grid.height / 2)
    to_native = Transformer.from_crs(grid.crs, native.crs, always_xy=True)
    x, y = to_native.transform(*middle)
    step = 1e-4 if native.crs.is_geographic else 10.0
    easting, northing = to_native.transform([x, x], [y, y + step], direction="INVERSE")
    return float(np.degrees(np.arctan2(easting[1] - easting[0], northing[1] - northing[0])))
