"""The landscape raster of the deep_crown layout: declared bands, read by window, in SI, NaN = no data."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import rasterio.windows
from jaxtyping import Float32
from rasterio import Affine
from rasterio.crs import CRS

from emberformer.data.fires import Band, Window
from emberformer.data.raster_files import opened_raster, read_known
from emberformer.data.slope_aspect import downslope, slope_in_degrees
from emberformer.data_settings import BandSettings
from emberformer.errors import InputError

log = logging.getLogger(__name__)
REMEDY = "supply the landscape raster, or correct `root` of the data set"
METRES_PER_DEGREE = 111_320.0  # of latitude


@dataclass(frozen=True)
class BandSource:
    """Where a band of the store comes from: number in the raster (from 1), and how it is read."""

    band: Band
    number: int
    settings: BandSettings


@dataclass(frozen=True)
class Landscape:
    """A landscape raster and what of it is read.

    Args:
        path: the raster.
        sources: the declared bands, in the order of the settings.
        left_out: bands of the raster that the settings do not declare.
        shape: rows and columns.
        crs_wkt: coordinate reference system, "" = unknown.
        transform: corner of pixel (column, row) -> map (x, y).
        cell_m: side of a pixel in metres.
    """

    path: Path
    sources: tuple[BandSource, ...]
    left_out: tuple[str, ...]
    shape: tuple[int, int]
    crs_wkt: str
    transform: Affine
    cell_m: float

    def read(self, window: Window) -> Float32[np.ndarray, "band y x"]:
        """Terrain of a window: float32 [band, y, x], NaN = no data, angles in degrees downslope, slope in degrees."""
        part = rasterio.windows.Window(window.column, window.row, window.width, window.height)  # type: ignore[call-arg]
        with opened_raster(self.path, REMEDY) as raster:
            stack = [read_known(raster, source.number, part) for source in self.sources]
        return np.stack([read_band(raw, source, self.path) for raw, source in zip(stack, self.sources, strict=True)])


def open_landscape(path: Path, bands: dict[str, BandSettings], crs: CRS | None = None) -> Landscape:
    """Find the declared bands and the place of a landscape raster; reads no pixels.

    Args:
        path: a raster that GDAL reads.
        bands: name (or number, from 1) in the raster -> how it is read.
        crs: of a raster that tells none.

    Raises:
        InputError: the raster is missing or unreadable, lacks a declared band, is not north-up with square pixels, or
            tells another CRS.
    """
    with opened_raster(path, REMEDY) as raster:
        names = [name or f"band_{number}" for number, name in enumerate(raster.descriptions, 1)]
        crs, transform, shape = _stated_crs(path, raster.crs, crs), raster.transform, raster.shape
    sources = tuple(_find_band(path, names, key, settings) for key, settings in bands.items())
    _check_names(path, [source.band.name for source in sources])
    used = {source.number for source in sources}
    left_out = tuple(name for number, name in enumerate(names, 1) if number not in used)
    if left_out:
        log.warning("%s: bands left out because the settings do not declare them: %s", path, ", ".join(left_out))
    if crs is None:
        log.warning("%s: no coordinate reference system; maps will have none and cells are taken to be in metres", path)
    crs_wkt = crs.to_wkt() if crs else ""
    return Landscape(path, sources, left_out, shape, crs_wkt, transform, _cell_size(path, crs, transform, shape))


def _stated_crs(path: Path, stated: CRS | None, told: CRS | None) -> CRS | None:
    """The CRS of a raster: its own, or the one that is told of it.

    Raises:
        InputError: they are two.
    """
    if stated and told and not same_crs(stated, told):
        remedy = "take the key out, or correct the raster: gdal_edit.py -a_srs <CRS> writes another CRS into it"
        raise InputError(path, f"the CRS {stated.to_string()}", f"{told.to_string()}, as settings `crs` say", remedy)
    return stated or told


def same_crs(one: CRS, other: CRS) -> bool:
    """Whether two are one, however they are written."""
    return one == other or (one.to_epsg() is not None and one.to_epsg() == other.to_epsg())


@cache
def crs_key(crs_wkt: str) -> str:
    """What texts of one CRS have in common, however they are written: its EPSG code, or the text where it has none.

    >>> crs_key(CRS.from_epsg(32610).to_wkt()), crs_key("")
    ('EPSG:32610', '')
    """
    code = CRS.from_wkt(crs_wkt).to_epsg() if crs_wkt else None
    return crs_wkt if code is None else f"EPSG:{code}"


def check_one_grid(landscapes: Sequence[Landscape], remedy: str) -> None:
    """All have the pixels of the first, to a thousandth of one, and its CRS; one that states none is taken as it is.

    Raises:
        InputError: naming the first raster that does not.
    """
    first = landscapes[0]
    for other in landscapes[1:]:
        near = other.transform.almost_equals(first.transform, 1e-3 * first.transform.a)
        if other.shape != first.shape or not near:
            found, expected = (f"{of.shape[0]} x {of.shape[1]} pixels, {of.transform[:6]}" for of in (other, first))
        elif other.crs_wkt and first.crs_wkt and not same_crs(CRS.from_wkt(other.crs_wkt), CRS.from_wkt(first.crs_wkt)):
            found, expected = (CRS.from_wkt(of.crs_wkt).to_string() for of in (other, first))
        else:
            continue
        raise InputError(other.path, found, f"{expected}, as {first.path.name}", remedy)


def _find_band(path: Path, names: list[str], key: str, settings: BandSettings) -> BandSource:
    matches = [number for number, name in enumerate(names, 1) if name == key]
    if not matches and key.isdecimal() and 1 <= int(key) <= len(names):
        matches = [int(key)]
    if len(matches) != 1:
        raise InputError(
            f"{path}, band {key!r}",
            f"{len(matches)} bands of this name among {len(names)}: {', '.join(names)}",
            "exactly one",
            "correct the key in `bands` of the data set; a band without a name goes by its number, from '1'",
        )
    name = settings.name or names[matches[0] - 1]
    if name == "slope_deg" and settings.unit not in ("deg", "percent"):
        remedy = "declare the unit of the slope in the raster; percent becomes degrees"
        raise InputError(f"settings `bands.{key}.unit`", repr(settings.unit), "'deg' or 'percent'", remedy)
    return BandSource(Band(name, settings.kind, settings.unit_in_store(name)), matches[0], settings)


def _check_names(path: Path, names: list[str]) -> None:
    if len(set(names)) < len(names):
        double = sorted({name for name in names if names.count(name) > 1})
        where, expected = f"{path}, settings `bands`", "a name of its own for each band"
        raise InputError(where, f"names used twice: {double}", expected, "give one of the bands another `name`")


def _cell_size(path: Path, crs: CRS | None, transform: Affine, shape: tuple[int, int]) -> float:
    """Side of a pixel in metres; of degrees, the mean of both sides at the centre of the raster."""
    width, height = transform.a, -transform.e
    geographic = crs is not None and crs.is_geographic
    square = math.isclose(width, height, rel_tol=0.01) or (geographic and height > 0)
    if transform.b or transform.d or width <= 0 or not square:
        raise InputError(
            f"{path}, transform",
            f"{tuple(transform)[:6]}",
            "north-up square pixels: (side, 0, x, 0, -side, y)",
            "georeference the raster: gdal_edit.py -a_srs <CRS> -a_ullr <left> <top> <right> <bottom>; or use gdalwarp",
        )
    if not geographic:
        return width * (crs.linear_units_factor[1] if crs else 1.0)
    latitude = transform.f - height * shape[0] / 2
    log.warning("%s: the raster is in degrees; distances and areas are approximate (gdalwarp it to metres)", path)
    return METRES_PER_DEGREE * math.sqrt(width * height * math.cos(math.radians(latitude)))


def read_band(raw: np.ma.MaskedArray, source: BandSource, path: Path) -> Float32[np.ndarray, "y x"]:
    """One band as it stands in the store.

    No data becomes NaN. An angle is turned to point downslope, in [0, 360) degrees clockwise from north, NaN where it
    is negative (the sources' sign for flat ground). A slope in percent becomes degrees: atan(percent / 100).

    Args:
        raw: values of the raster [y, x], masked where it says no data.
        source: the band.
        path: the raster, for messages.

    Raises:
        InputError: an angle above 360 degrees.
    """
    values = np.ma.filled(raw.astype("float32"), np.nan)
    if source.settings.nodata_value is not None:
        values[values == np.float32(source.settings.nodata_value)] = np.nan
    top = float(np.nanmax(values, initial=-np.inf))
    if source.band.kind == "angle":
        if top > 360:
            remedy = "declare another `kind` for this band, or its `nodata_value`"
            raise InputError(f"{path}, band {source.band.name!r}", f"an angle of {top:g}", "0 to 360 degrees", remedy)
        return downslope(values, source.settings.points == "upslope")
    if source.settings.is_slope_in_percent(source.band.name):
        return slope_in_degrees(values)
    return values


def read_windows(path: Path) -> dict[int, Window]:
    """Windows of `indices.json`, {"<sequence>": [row0, row1, column0, column1]}, ends excluded.

    Returns:
        Number of the sequence -> window.

    Raises:
        InputError: the file is missing or holds anything else.
    """
    expected = '{"<sequence>": [row0, row1, column0, column1], ...} with 0 <= row0 < row1 and 0 <= column0 < column1'
    try:
        entries = json.loads(path.read_text()).items()
        corners = {int(key): [int(corner) for corner in corners] for key, corners in entries}
        windows = {key: Window(y0, x0, y1 - y0, x1 - x0) for key, (y0, y1, x0, x1) in corners.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(path, str(error), expected, "supply or correct the file") from error
    for key, window in windows.items():
        if min(window) < 0 or not window.height or not window.width:
            raise InputError(f"{path}, sequence {key}", str(corners[key]), expected, "correct the window")
    return windows


def check_windows(path: Path, sequences: Iterable[int], windows: dict[int, Window], shape: tuple[int, int]) -> None:
    """Every sequence has a window, all have one size, and none leaves the raster.

    Args:
        path: `indices.json`, for messages.
        sequences: numbers of the sequences.
        windows: number of the sequence -> window.
        shape: rows and columns of the raster.

    Raises:
        InputError: naming the first sequence at fault.
    """
    size: tuple[int, int] | None = None
    for sequence in sequences:
        where = f"{path}, sequence {sequence}"
        if sequence not in windows:
            remedy = "add it, or remove the folders of the sequence"
            raise InputError(where, "no window", "a window for every sequence", remedy)
        window = windows[sequence]
        rows, columns = window.row + window.height, window.column + window.width
        if rows > shape[0] or columns > shape[1]:
            found = f"window [{window.row}, {rows}, {window.column}, {columns}] (rows, then columns)"
            expected = f"a window within the raster of {shape[0]} rows x {shape[1]} columns"
            raise InputError(where, found, expected, "correct the window")
        size = size or (window.height, window.width)
        if (window.height, window.width) != size:
            found = f"window of {window.height} x {window.width} pixels"
            remedy = "make a data set of each window size"
            raise InputError(where, found, f"{size[0]} x {size[1]}, as the sequences before it", remedy)
