"""Reader of one new fire that is in no data set: perimeters, terrain and wind as an analyst has them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from emberformer.data.fire_grid import Grid, move_burned, name_crs, window_around
from emberformer.data.fire_history import History, regular_history
from emberformer.data.fires import Band, Fire, FireSource, Frame, Ground, Window
from emberformer.data.perimeter_times import parse_time
from emberformer.data.perimeters import PerimeterOptions, read_perimeters
from emberformer.data.source_provenance import made_by
from emberformer.data.terrain_files import read_terrain
from emberformer.data.terrain_given import find_bands
from emberformer.data.weather_given import Wind, constant_wind, read_wind
from emberformer.data_settings import EncodingSettings, WindUnit
from emberformer.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NewFire:
    """A new fire, ready for `write_fires`.

    Args:
        source: the one fire; its last frame is the newest perimeter, from which the forecast starts.
        lead_weather: SI [lead, weather_variable]: row j drives lead j to lead j + 1; the first is the newest frame's.
        notes: what was warped, derived, resampled, repaired or left out, for whoever reads the forecast.
    """

    source: FireSource
    lead_weather: Float32[np.ndarray, "lead weather_variable"]
    notes: tuple[str, ...]


def read_new_fire(
    perimeters: Path | Sequence[Path],
    *,
    minutes: float,
    bands: Sequence[Band],
    terrain: Sequence[str],
    weather: Path | None = None,
    wind_speed: float | None = None,
    wind_direction: float | None = None,
    wind_unit: WindUnit | None = None,
    needs_wind: bool = True,
    leads: int = 1,
    start: str | None = None,
    time_column: str | None = None,
    layer: str | None = None,
    encoding: EncodingSettings | None = None,
    crs: str | None = None,
    cell_m: float | None = None,
    margin_m: float = 3000.0,
    template: Path | None = None,
    window: int | None = None,
    history: int | None = None,
    name: str = "new_fire",
) -> NewFire:
    """Read one fire, as docs/new-fire.md describes it.

    Args:
        perimeters: what had burned: GeoTIFFs or PNG images (files or a folder), a multi-band GeoTIFF, a GeoPackage,
            GeoJSON or shapefile of polygons, or a NetCDF file.
        minutes: length of a step of the model.
        bands: terrain bands that the model takes, in its order.
        terrain: `NAME=FILE[:BAND][@UNIT]`, `NAME=NUMBER`, or a file with named bands; each of any CRS and resolution.
        weather: CSV table of the wind over time, or
        wind_speed: one wind for all steps, in `wind_unit` (by default m s-1), and
        wind_direction: degrees clockwise from north that it blows FROM.
        wind_unit: of the speed, where the table does not say.
        needs_wind: False: a model that takes no wind; without weather it is then NaN.
        leads: steps to forecast.
        start: time of the first perimeter (ISO 8601), or from which minutes in the source count.
        time_column: column of the polygons' times; by default found by its name.
        layer: layer of the polygons, where the file has several.
        encoding: what stands for burned in images; by default all but black in grey ones.
        crs: projected CRS to forecast in; by default the perimeters' own, or their UTM zone.
        cell_m: side of a pixel in metres; by default that of raster perimeters.
        margin_m: ground around polygons, in metres.
        template: a raster whose grid is taken.
        window: side in pixels of a square around the fire that is cut, or to which the grid is extended.
        history: newest frames to keep.
        name: of the data set and of the fire.

    Raises:
        InputError: naming what does not fit, and what to do.
    """
    _check_number("--minutes", minutes, 1 / 60)
    _check_number("--leads", leads, 1)
    _check_number("--cell", cell_m, 1e-3)
    _check_number("--margin", margin_m, 0)
    _check_number("--window", window, 1)
    _check_number("history", history, 1)
    given, notes = find_bands(terrain, bands)
    rasters = list(dict.fromkeys(band.path for band in given.values() if band.path))
    begin = None if start is None else parse_time(start, "--start")
    options = PerimeterOptions(minutes, begin, time_column, layer, encoding, crs, cell_m, margin_m, template)
    observed, grid = read_perimeters(perimeters, options, rasters)
    past = regular_history(observed, minutes, history)
    past, grid, cut = _cut_window(past, grid, window)
    ground, warped = read_terrain(given, bands, grid, past.burned[-1] == 1)
    wind = _read_wind(weather, wind_speed, wind_direction, wind_unit, needs_wind, past, observed.dated, minutes, leads)
    undated = [] if observed.dated else ["the perimeters tell no time: it is counted from 1970-01-01; --start sets it"]
    notes = (*observed.notes, *undated, *past.notes, *cut, *notes, *warped, *wind.notes)
    for note in notes:
        log.info("%s", note)
    return NewFire(_source(name, past, grid, bands, ground, wind, minutes, notes), wind.leads, notes)


def _check_number(option: str, number: float | None, least: float) -> None:
    if number is not None and not least <= number < np.inf:
        raise InputError(option, f"{number:g}", f"{least:.3g} or more", "correct it")


def _source(
    name: str,
    past: History,
    grid: Grid,
    bands: Sequence[Band],
    ground: Float32[np.ndarray, "band y x"],
    wind: Wind,
    minutes: float,
    notes: tuple[str, ...],
) -> FireSource:
    def terrain(window: Window) -> Float32[np.ndarray, "band y x"]:
        return ground[:, window.row :, window.column :][:, : window.height, : window.width]

    return FireSource(
        dataset=name,
        fires=(Fire(name, Window(0, 0, grid.height, grid.width), wind.frames, past.time),),
        frames=[Frame(burned, None) for burned in past.burned],
        bands=tuple(bands),
        grounds=(Ground(grid.crs.to_wkt(), grid.transform[:6], terrain),),
        weather_variables={"wind_u": "m s-1", "wind_v": "m s-1"},
        cell_m=grid.cell_m,
        seconds_per_frame=60 * minutes,
        provenance={
            **made_by("new_fire"),
            "crs": name_crs(grid.crs),
            "notes": list(notes),
        },
    )


def _cut_window(past: History, grid: Grid, side: int | None) -> tuple[History, Grid, list[str]]:
    """The square window around the newest perimeter, and notes on what lies outside or was added."""
    if side is None:
        return past, grid, []
    window = window_around(past.burned[-1], grid, side)
    burned = move_burned(past.burned, grid, window)
    notes = [f"a window of {side} x {side} pixels around the fire is taken"]
    lost = int((past.burned[-1] == 1).sum() - (burned[-1] == 1).sum())
    if lost:
        notes.append(f"{lost} burned pixels lie outside the window: it is smaller than the fire")
    known = move_burned(np.ones((1, *grid.shape), np.uint8), grid, window)[0]
    if added := int((known == 0).sum()):
        notes.append(f"{added} pixels of the window lie beyond the perimeters' grid: they are taken as not burned")
    return History(burned, past.time, past.notes), window, notes


def _read_wind(
    weather: Path | None,
    speed: float | None,
    direction: float | None,
    unit: WindUnit | None,
    needed: bool,
    past: History,
    dated: bool,
    minutes: float,
    leads: int,
) -> Wind:
    frames, expected = len(past.time), "--weather FILE, or --wind-speed and --wind-direction"
    constant = speed is not None or direction is not None
    if weather is not None and constant:
        raise InputError("--weather", "a table and one wind", expected, "leave one of the two out")
    if weather is not None:
        return read_wind(weather, past.time, dated, minutes, leads, unit)
    if speed is not None and direction is not None:
        return constant_wind(speed, direction, unit or "m s-1", frames, leads)
    if constant or needed:
        found = "no wind" if not constant else f"no wind {'speed' if speed is None else 'direction'}"
        raise InputError("--weather", found, expected, "give the wind that drives the steps to be forecast")
    unknown = np.full((max(frames, leads), 2), np.nan, np.float32)
    return Wind(unknown[:frames], unknown[:leads], [])
