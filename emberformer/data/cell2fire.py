"""Reader of simulations by Cell2Fire and C2F-W: an instance folder and the grids of its simulations.

    fuels.asc elevation.asc slope.asc saz.asc ...          the instance: one raster a band, .tif or .asc
    Weather.csv, or Weathers/Weather1.csv ...              one row a weather period
    <outputs>/Grids/Grids<k>/ForestGrid<NN>.csv            of simulation k: 1 burned, 0 not, -1 harvested (a firebreak)
    <outputs>/IgnitionsHistory/ignitions_log.csv           which weather drove which simulation, where there are several

A grid is written when the fire begins and then once a weather period, with `--grids`. A grid and the rasters have one
shape; their first line is the north.

References:
    Pais et al. (2021), Cell2Fire: A Cell-Based Forest Fire Growth Model to Support Strategic Landscape Management
    Planning, Frontiers in Forests and Global Change 4, doi:10.3389/ffgc.2021.692706
    C2F-W, https://github.com/fire2a/C2F-W (`outputGrid`, `printIgnitions`)
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
import pandas as pd
from jaxtyping import Float32, UInt8
from rasterio.crs import CRS
from rasterio.errors import CRSError
from tqdm import tqdm

from emberformer.data.fires import Fire, FireSource, Frame, Ground, Window
from emberformer.data.landscape_raster import Landscape, check_one_grid, open_landscape
from emberformer.data.numbered import check_contiguous, numbered
from emberformer.data.source_provenance import source_provenance
from emberformer.data.weather import (
    WeatherTable,
    common_columns,
    drive_steps,
    frame_times,
    read_history,
    read_weather,
    weather_variables,
)
from emberformer.dataset_settings import Cell2FireSettings
from emberformer.errors import InputError
from emberformer.settings import expand

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Instance:
    """The ground of an instance: one raster a band, all of one grid."""

    landscapes: tuple[Landscape, ...]
    crs_wkt: str

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.landscapes[0].shape

    def read(self, window: Window) -> Float32[np.ndarray, "band y x"]:
        """Terrain of a window, NaN = no data."""
        return np.concatenate([landscape.read(window) for landscape in self.landscapes])


def read_cell2fire(dataset: str, settings: Cell2FireSettings) -> FireSource:
    """Check the tables of an instance and of its simulations; grids are read with the frames, but for the first.

    Raises:
        InputError: naming the first file that does not fit.
    """
    root = expand(settings.root)
    instance = open_instance(root, settings)
    simulations, skipped = find_simulations(root / settings.outputs / "Grids", instance.shape, settings.on_error)
    for fire_id, reason in skipped.items():
        log.warning("%s: %s is skipped: %s", dataset, fire_id, reason)
    tables = _weather_of(root, list(simulations), settings)
    names, seconds = common_columns(list(tables.values())), 60 * settings.minutes_per_frame
    fires = []
    for number, grids in simulations.items():
        window = _window(read_grid(grids[0], instance.shape), instance.shape, settings.window)
        table = tables.get(number)
        if table and settings.weather:
            weather = drive_steps(table, names, len(grids), settings.weather)
        else:
            weather = np.full((len(grids), 2), np.nan, "float32")
        times = frame_times(table.time if table else None, len(grids), seconds)
        fires.append(Fire(f"simulation_{number}", window, weather, times))
    first = instance.landscapes[0]
    return FireSource(
        dataset=dataset,
        fires=tuple(fires),
        frames=_frames(dataset, list(simulations.values()), fires, instance.shape),
        bands=tuple(source.band for landscape in instance.landscapes for source in landscape.sources),
        grounds=(Ground(instance.crs_wkt, first.transform[:6], instance.read),),
        weather_variables=weather_variables(names, settings.weather),
        cell_m=first.cell_m,
        seconds_per_frame=seconds,
        fires_skipped=skipped,
        provenance=source_provenance(settings),
    )


def open_instance(root: Path, settings: Cell2FireSettings) -> Instance:
    """Find the rasters of the declared bands.

    Raises:
        InputError: one is missing, they are not of one grid, or tell another CRS than the settings.
    """
    landscapes, crs = [], _crs(settings.crs)
    for key, band in settings.bands.items():
        files = [path for suffix in (".tif", ".asc") if (path := root / f"{key}{suffix}").is_file()]
        if not files:
            found = ", ".join(sorted(path.name for path in root.glob("*") if path.suffix in (".tif", ".asc"))) or "none"
            remedy = "correct `bands` (a key is the name of a file) or `root` of the data set"
            raise InputError(root / f"{key}.tif, .asc", f"rasters {found}", f"a raster of the band {key!r}", remedy)
        named = band if band.name else band.model_copy(update={"name": key})
        landscapes.append(open_landscape(files[0], {"1": named}, crs))
    check_one_grid(landscapes, "supply the rasters that the simulations were made with")
    return Instance(tuple(landscapes), landscapes[0].crs_wkt)


def _crs(told: str | None) -> CRS | None:
    try:
        return CRS.from_user_input(told) if told else None
    except CRSError as error:
        raise InputError("settings `crs`", repr(told), "a CRS such as EPSG:32719", "correct it") from error


def find_simulations(
    grids: Path, shape: tuple[int, int], on_error: str
) -> tuple[dict[int, tuple[Path, ...]], dict[str, str]]:
    """Grids of each simulation by its number, and the simulations that are left out with the reason why.

    Args:
        grids: folder `Grids` of the outputs.
        shape: rows and columns of the instance.
        on_error: 'stop' or 'skip' where a simulation's grids do not fit.

    Raises:
        InputError: there is none, or (`stop`) a first grid does not fit.
    """
    found, skipped = {}, {}
    for number, folder in numbered(grids, r"^Grids(\d+)$", "folders such as Grids1").items():
        files = numbered(folder, r"^ForestGrid(\d+)\.csv$", "grids such as ForestGrid00.csv")
        try:
            if len(files) < 2:
                skipped[f"simulation_{number}"] = f"{len(files)} grid(s); a forecast needs two (--grids)"
                continue
            check_contiguous(folder, list(files), 0)
            first, *others = files.values()
            burned = read_grid(first, shape)
            for path in others if on_error == "skip" else ():  # else they are read but once, when they are stored
                read_grid(path, shape)
        except InputError as error:
            if on_error == "stop":
                raise
            skipped[f"simulation_{number}"] = str(error)
            continue
        if not burned.any():
            skipped[f"simulation_{number}"] = "nothing burns in its first grid"
            continue
        found[number] = tuple(files.values())
    if not found:
        remedy = "check `root` and `outputs` of the data set, and simulate with --grids"
        raise InputError(grids, f"{len(skipped)} simulations, none of two grids", "simulated fires", remedy)
    return found, skipped


def read_grid(path: Path, shape: tuple[int, int]) -> UInt8[np.ndarray, "y x"]:
    """One grid: 1 burned, 0 not; a harvested cell (-1) is not burned.

    Raises:
        InputError: it is no grid of the instance's shape, or holds other numbers.
    """
    remedy = "simulate again, or leave this simulation out (`on_error: skip`)"
    expected = f"{shape[0]} lines of {shape[1]} numbers -1, 0 or 1"
    try:
        # Some versions end every line with a comma.
        values = pd.read_csv(path, header=None, dtype="float32").dropna(axis="columns", how="all").to_numpy()
    except (OSError, ValueError) as error:
        raise InputError(path, str(error), expected, remedy) from error
    if values.shape != shape:
        raise InputError(path, f"{values.shape[0]} lines of {values.shape[1]} numbers", expected, remedy)
    if not np.isin(values, (-1, 0, 1)).all():
        raise InputError(path, f"the number {values[~np.isin(values, (-1, 0, 1))][0]:g}", expected, remedy)
    return (values == 1).astype(np.uint8)


def _window(burned: UInt8[np.ndarray, "y x"], shape: tuple[int, int], side: int | None) -> Window:
    """The window around where a fire begins, moved so that it lies on the ground; None: all of the ground.

    Raises:
        InputError: the ground is smaller than the window.
    """
    if side is None:
        return Window(0, 0, *shape)
    if side > min(shape):
        found, remedy = f"{side} pixels, on a ground of {shape[0]} x {shape[1]}", "a smaller window, or null for all"
        raise InputError("settings `window`", found, f"at most {min(shape)}", remedy)
    places = np.argwhere(burned)
    middle = (places.min(0) + places.max(0) + 1) // 2
    row, column = (int(np.clip(at - side // 2, 0, size - side)) for at, size in zip(middle, shape, strict=True))
    return Window(row, column, side, side)


def _weather_of(root: Path, numbers: list[int], settings: Cell2FireSettings) -> dict[int, WeatherTable]:
    """Weather table of each simulation; a file that many share is read once.

    Raises:
        InputError: there is none, or several and nothing says which drove which simulation.
    """
    if settings.weather is None:
        return {}
    outputs, tables = root / settings.outputs, {}
    ignitions, history = outputs / "IgnitionsHistory" / "ignitions_log.csv", outputs / "WeatherHistory.csv"
    names: dict[int, str] = {}
    if ignitions.is_file() and (root / "Weathers").is_dir():
        names = _logged_weather(ignitions)
    elif history.is_file():
        names = dict(enumerate(read_history(history), 1))
    elif len(drawn := sorted((root / "Weathers").glob("*.csv"))) > 1 or not (root / "Weather.csv").is_file():
        found = f"{len(drawn)} tables in Weathers/, and no log" if drawn else "no Weather.csv"
        expected = "Weather.csv alone, or Weathers/ and what drove which simulation: IgnitionsHistory/ignitions_log.csv"
        remedy = "simulate with --ignitionsLog, move Weathers/ away if Weather.csv drove all, or set `weather: null`"
        raise InputError(root, found, expected, remedy)
    for number in numbers:
        if names and number not in names:
            remedy = "add its line, or leave the simulation out"
            raise InputError(outputs, f"no weather of simulation {number}", "which weather drove it", remedy)
        path = _weather_file(root, names[number]) if names else root / "Weather.csv"
        tables[number] = tables.get(path) or read_weather(path, settings.weather)
        tables[path] = tables[number]
    return {number: tables[number] for number in numbers}


def _logged_weather(path: Path) -> dict[int, str]:
    """Weather of each simulation from the log of ignitions: simulation, ignition (cell), weather."""
    try:
        table = pd.read_csv(path, dtype=str, skipinitialspace=True)
        return dict(zip(table["simulation"].astype(int), table["weather"].astype(str), strict=True))
    except (OSError, ValueError, KeyError) as error:
        expected = "columns simulation, ignition, weather"
        raise InputError(path, str(error), expected, "supply the log again, or set `weather: null`") from error


def _weather_file(root: Path, name: str) -> Path:
    """A weather file by its path, its name or its number."""
    plain = PureWindowsPath(name.strip()).name  # splits at / and at \
    if re.fullmatch(r"\d+", plain):
        plain = f"Weather{plain}"
    path = root / "Weathers" / (plain if plain.endswith(".csv") else f"{plain}.csv")
    return path if path.is_file() else root / path.name


def _frames(
    dataset: str, simulations: list[tuple[Path, ...]], fires: list[Fire], shape: tuple[int, int]
) -> Iterator[Frame]:
    for grids, fire in tqdm(list(zip(simulations, fires, strict=True)), desc=f"ingest {dataset}", unit="fire"):
        row, column, height, width, _ = fire.window
        for path in grids:
            burned = read_grid(path, shape)
            yield Frame(burned[row : row + height, column : column + width], None)
        if lost := int(burned.sum() - burned[row : row + height, column : column + width].sum()):
            log.warning("%s: %d burned cells of the last grid lie outside of its window", fire.fire_id, lost)
