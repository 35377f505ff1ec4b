"""Perimeters as polygons with times: GeoPackage, GeoJSON or shapefile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import shapely
from pyogrio.errors import DataSourceError
from rasterio.crs import CRS
from rasterio.features import rasterize

from emberformer.data.fire_grid import Bounds, Grid
from emberformer.data.fire_history import Observations
from emberformer.data.perimeter_times import time_in
from emberformer.data.weather import FIRST_TIME
from emberformer.errors import InputError

TIME_COLUMNS = ("valid_time", "time", "datetime", "date_time", "timestamp", "date", "perimeter_time",
                "firedate", "poly_datecurrent", "datecurrent", "perimeterdatetime", "perimeterd")  # fmt: skip
MOST_MINUTES = 1e6  # two years: larger numbers are no minutes since the start


@dataclass(frozen=True)
class Outlines:
    """Polygons of a fire: what had burned by each time is the union of all polygons up to it.

    Args:
        where: the file, for messages.
        polygons: valid polygons [polygon].
        time: datetime64[s] [polygon].
        dated: whether the file tells the time; else it is counted from 1970-01-01.
        crs: coordinate reference system.
        notes: what was repaired or left out.
    """

    where: str
    polygons: np.ndarray
    time: np.ndarray
    dated: bool
    crs: CRS
    notes: tuple[str, ...]

    def bounds_in(self, crs: CRS) -> Bounds:
        """Left, bottom, right and top in another CRS."""
        left, bottom, right, top = geopandas.GeoSeries(self.polygons, crs=self.crs).to_crs(crs).total_bounds
        return float(left), float(bottom), float(right), float(top)


def read_outlines(path: Path, time_column: str | None, start: np.datetime64 | None, layer: str | None) -> Outlines:
    """Read the polygons of a fire.

    The time stands in `time_column`, or in the one column whose name says so: ISO 8601 (UTC where there is no zone), or
    a number of minutes since `start`; or, without such a column, in the name of the file. Invalid polygons are repaired
    (`shapely.make_valid`), empty ones left out.

    Args:
        path: a vector file that GDAL reads.
        time_column: name of the column, or None.
        start: time from which minutes count, or None.
        layer: layer of a file that has several, or None.

    Raises:
        InputError: the file is unreadable or has no polygon, time or CRS.
    """
    return _outlines(path, _read_table(path, layer), time_column, start)


@dataclass(frozen=True)
class FireTable:
    """Features of one fire in a table of many.

    Args:
        path: the vector file.
        fire: its name.
        features: its rows.
        time_column: name of the column of times, or None.
    """

    path: Path
    fire: str
    features: geopandas.GeoDataFrame
    time_column: str | None

    def outlines(self) -> Outlines:
        """Its polygons.

        Raises:
            InputError: see `read_outlines`; or no file can have the fire's name.
        """
        if "/" in self.fire or self.fire.startswith("."):
            expected = "names that files can have: no / in them, and no . before"
            raise InputError(self.path, f"a fire named {self.fire!r}", expected, "rename it in the table")
        try:
            found = _outlines(self.path, self.features, self.time_column, None)
        except InputError as error:
            where = f"{error.where}, fire {self.fire}"
            raise InputError(where, error.found, error.expected, error.remedy) from error
        return replace(found, where=f"{self.path}, fire {self.fire}")


def read_fire_tables(path: Path, fire_column: str, time_column: str | None, layer: str | None) -> dict[str, FireTable]:
    """Features of many fires in one file: fire -> its own, sorted by name; none of them is checked yet.

    Args:
        path: a vector file that GDAL reads.
        fire_column: column that says which fire a polygon is of.
        time_column: name of the column of times, or None.
        layer: layer of a file that has several, or None.

    Raises:
        InputError: the file is unreadable, there is no such column, or a polygon is of no fire.
    """
    table = _read_table(path, layer)
    if fire_column not in table:
        remedy = "correct fire_column"
        raise InputError(path, f"no column {fire_column!r}; columns {list(table)}", "which fire each is of", remedy)
    names = table[fire_column].astype(str)
    if missing := int((table[fire_column].isna() | (names.str.strip() == "")).to_numpy().sum()):
        found, remedy = f"no fire in {missing} of {len(table)} features", "fill it in, or remove these features"
        raise InputError(f"{path}, column {fire_column!r}", found, "the fire of each polygon", remedy)
    return {
        str(fire): FireTable(path, str(fire), geopandas.GeoDataFrame(rows), time_column)
        for fire, rows in table.groupby(names)
    }


def _outlines(
    path: Path, table: geopandas.GeoDataFrame, time_column: str | None, start: np.datetime64 | None
) -> Outlines:
    if table.crs is None:
        remedy = "supply the .prj beside the .shp, or ogr2ogr -a_srs EPSG:<code> fixed.gpkg file.shp"
        raise InputError(path, "no coordinate reference system", "one, so that the fire has its place", remedy)
    polygons, notes = _valid_polygons(path, table.geometry.to_numpy())
    present = ~(shapely.is_missing(polygons) | shapely.is_empty(polygons))
    if not present.any():
        remedy = "supply perimeters as polygons"
        raise InputError(path, f"{len(polygons)} features without an area", "polygons of what has burned", remedy)
    if not present.all():
        notes.append(f"{path.name}: {(~present).sum()} features without an area are left out")
    columns = pd.DataFrame(table.drop(columns=table.geometry.name)[present])
    named = None if time_column or _time_columns(columns) else time_in(path.stem)
    if named is not None:
        time, dated = np.full(len(columns), named), True
    else:
        time, dated = _read_times(path, columns, time_column, start)
    crs = CRS.from_wkt(table.crs.to_wkt())
    _check_degrees(path, crs, polygons[present])
    return Outlines(str(path), polygons[present], time, dated, crs, tuple(notes))


def read_many_outlines(
    paths: Sequence[Path], time_column: str | None, start: np.datetime64 | None, layer: str | None
) -> Outlines:
    """Polygons of one or several files as of one, in the CRS of the first.

    Raises:
        InputError: of the first file that does not fit, or if only some tell the time.
    """
    read = [read_outlines(path, time_column, start, layer) for path in paths]
    first = read[0]
    for other in read[1:]:
        if other.dated != first.dated:
            found = (
                f"{'dates' if other.dated else 'minutes'}, but {'dates' if first.dated else 'minutes'} in {first.where}"
            )
            raise InputError(other.where, found, "times of one kind in all files", "write all of them in ISO 8601")
    moved = [geopandas.GeoSeries(one.polygons, crs=one.crs).to_crs(first.crs).to_numpy() for one in read]
    times, notes = np.concatenate([one.time for one in read]), tuple(note for one in read for note in one.notes)
    where = first.where if len(read) == 1 else str(paths[0].parent)
    return Outlines(where, np.concatenate(moved), times, first.dated, first.crs, notes)


def rasterise(outlines: Outlines, grid: Grid) -> Observations:
    """Masks of the fire on a grid, one a distinct time: burned is a pixel whose centre lies in a polygon up to then."""
    moved = geopandas.GeoSeries(outlines.polygons, crs=outlines.crs).to_crs(grid.crs)
    times = np.unique(outlines.time)
    masks = np.zeros((len(times), *grid.shape), np.uint8)
    for burned, time in zip(masks, times, strict=True):
        rasterize(moved[outlines.time == time], out=burned, transform=grid.transform)
    # Union of all up to a time; what is not repeated in a later perimeter has not un-burned.
    masks = np.maximum.accumulate(masks)
    return Observations(outlines.where, masks, times, outlines.dated, grid, outlines.notes)


def _read_table(path: Path, layer: str | None) -> geopandas.GeoDataFrame:
    expected, remedy = "a GeoPackage, GeoJSON or shapefile with polygons", "supply the file again"
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        if layer not in layers if layer else len(layers) != 1:
            found = f"layers {layers}" + (f", none called {layer!r}" if layer else "")
            raise InputError(path, found, "one layer, or the name of one", "give --layer (layer of a data set)")
        table = geopandas.read_file(path, layer=layer or layers[0], datetime_as_string=True)
    except (DataSourceError, ValueError, OSError) as error:
        raise InputError(path, str(error), expected, remedy) from error
    if not len(table):
        raise InputError(path, "no features", expected, remedy)
    return table


def _valid_polygons(path: Path, geometries: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Valid polygons [feature], None or empty where there is no area, and what was repaired."""
    polygons, notes = shapely.force_2d(geometries), []
    kinds = shapely.get_type_id(polygons)
    wrong = ~np.isin(kinds, (-1, 3, 6))  # none, polygon, multipolygon
    if wrong.any():
        remedy = "supply perimeters as polygons, for example with ogr2ogr -nlt MULTIPOLYGON"
        raise InputError(path, f"a {polygons[wrong][0].geom_type}", "polygons of what has burned", remedy)
    invalid = (kinds >= 0) & ~shapely.is_valid(polygons)
    if invalid.any():
        reason = shapely.is_valid_reason(polygons[invalid][0])
        count = f"{invalid.sum()} of {len(polygons)} polygons"
        notes.append(f"{path.name}: {count} are invalid ({reason}); they are repaired")
        polygons[invalid] = shapely.make_valid(polygons[invalid], method="structure", keep_collapsed=False)
    return polygons, notes


def _read_times(
    path: Path, table: pd.DataFrame, column: str | None, start: np.datetime64 | None
) -> tuple[np.ndarray, bool]:
    """Time of each feature as datetime64[s], and whether it is dated."""
    column = column or _find_column(path, table)
    if column not in table:
        remedy = "name the column (--time-column; time_column of a data set)"
        raise InputError(path, f"no column {column!r}; columns {list(table)}", "a column with times", remedy)
    values, where = table[column], f"{path}, column {column!r}"
    missing = values.isna().to_numpy()
    if missing.any():
        found = f"no time in {missing.sum()} of {len(values)} features"
        raise InputError(where, found, "a time for each perimeter", "fill it in, or remove these features")
    if pd.api.types.is_numeric_dtype(values):
        minutes = values.to_numpy(float)
        if (abs(minutes) > MOST_MINUTES).any():
            found, remedy = f"the number {abs(minutes).max():.0f}", "write times as in 2024-01-31T12:30"
            raise InputError(where, found, "minutes since the start, or times in ISO 8601", remedy)
        offset = np.round(minutes * 60).astype("timedelta64[s]")
        return (FIRST_TIME if start is None else start) + offset, start is not None
    words = values.astype(str).str.strip().str.replace("/", "-")
    times = pd.to_datetime(words, format="ISO8601", utc=True, errors="coerce")
    unread = times.isna().to_numpy()
    if unread.any():
        found, remedy = (
            repr(values.to_numpy()[unread][0]),
            "write times as in 2024-01-31T12:30, or minutes since the start",
        )
        raise InputError(where, found, "times in ISO 8601", remedy)
    return times.dt.tz_localize(None).to_numpy("datetime64[s]"), True


def _find_column(path: Path, table: pd.DataFrame) -> str:
    named = _time_columns(table)
    if len(named) != 1:
        found = f"{'columns' if named else 'no column'} {named or 'of a usual name'} among {list(table)}"
        remedy = "name the column (--time-column; time_column of a data set), or write the time into the file's name"
        raise InputError(path, found, f"one column with times, such as {TIME_COLUMNS[0]!r}", remedy)
    return named[0]


def _time_columns(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table if str(name).lower() in TIME_COLUMNS]


def _check_degrees(path: Path, crs: CRS, polygons: np.ndarray) -> None:
    left, bottom, right, top = shapely.total_bounds(polygons)
    if crs.is_geographic and (max(abs(left), abs(right)) > 360 or max(abs(bottom), abs(top)) > 90):
        raise InputError(
            path,
            f"coordinates up to {max(abs(right), abs(top)):.6g} in a CRS of degrees",
            "longitudes and latitudes",
            "the CRS is wrong: ogr2ogr -a_srs EPSG:<code> fixed.gpkg file; GeoJSON is in EPSG:4326 by definition",
        )
