"""The landscape raster of the deep_crown layout: declared bands, read by window, in SI, NaN = no data."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import rasterio.windows
from jaxtyping import Float32
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from emberformer.data.fires import Band, Window
from emberformer.data_settings import BandSettings
from emberformer.errors import InputError

log = logging.getLogger(__name__)
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
        with _opened(self.path) as raster:
            stack = [raster.read(source.number, window=part, masked=True) for source in self.sources]
        return np.stack([read_band(raw, source, self.path) for raw, source in zip(stack, self.sources, strict=True)])


def open_landscape(path: Path, bands: dict[str, BandSettings]) -> Landscape:
    """Find the declared bands and the place of a landscape raster; reads no pixels.

    Args:
        path: a raster that GDAL reads.
        bands: name (or number, from 1) in the raster -> how it is read.

    Raises:
        InputError: the raster is missing or unreadable, lacks a declared band, or is not north-up with square pixels.
    """
    with _opened(path) as raster:
        names = [name or f"band_{number}" for number, name in enumerate(raster.descriptions, 1)]
        crs, transform, shape = raster.crs, raster.transform, raster.shape
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


@contextmanager
def _opened(path: Path) -> Iterator[rasterio.DatasetReader]:
    """The open raster; what GDAL says about a missing or damaged file becomes an InputError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # `_cell_size` says it better
            raster = rasterio.open(path)
        with raster:
            yield raster
    except RasterioError as error:
        remedy = "supply the landscape raster, or correct `root` of the data set"
        raise InputError(path, str(error), "a raster that GDAL reads", remedy) from error


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
        turn = 180.0 if source.settings.points == "upslope" else 0.0
        return np.where(values >= 0, (values + turn) % 360, np.nan).astype("float32")
    if source.settings.is_slope_in_percent(source.band.name):
        return np.rad2deg(np.arctan(values / 100))
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
