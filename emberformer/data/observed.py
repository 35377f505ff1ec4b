"""Reader of observed fires: perimeters, terrain and wind of each as whoever mapped it has them.

A fire is read as `emberformer forecast` reads a new one (docs/new-fire.md), but for its window: a square around where
it begins, so that nothing of the later perimeters is in its place. Each fire has a ground of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from emberformer.data.fire_grid import Grid, move_burned, parse_crs, window_around
from emberformer.data.fire_history import MOST_FRAMES, History, count_frames, regular_history
from emberformer.data.fires import Band, Fire, FireSource, Frame, Ground, Window
from emberformer.data.perimeter_polygons import FireTable, read_fire_tables
from emberformer.data.perimeters import (
    IMAGES,
    NETCDF,
    RASTERS,
    VECTORS,
    PerimeterOptions,
    list_files,
    rasterise_outlines,
    read_perimeters,
)
from emberformer.data.source_provenance import source_provenance
from emberformer.data.terrain_files import read_terrain
from emberformer.data.terrain_given import find_bands
from emberformer.data.weather_given import read_wind
from emberformer.dataset_settings import ObservedSettings
from emberformer.errors import InputError
from emberformer.settings import expand

log = logging.getLogger(__name__)
FORMS = "perimeters as GeoTIFFs, polygons (GeoPackage, GeoJSON, shapefile) or NetCDF"
SAME_CELL = 1e-3  # relative difference of pixel sizes that are one size


@dataclass(frozen=True)
class ObservedFire:
    """One fire at regular times on its window.

    Args:
        past: all frames.
        grid: of the window.
        outside: burned pixels of the last frame that the window cuts off.
        dated: whether the perimeters tell the time.
    """

    past: History
    grid: Grid
    outside: int
    dated: bool


def read_observed(dataset: str, settings: ObservedSettings) -> FireSource:
    """Read the perimeters of all fires; their pixels are read again when they are stored, one fire at a time.

    Raises:
        InputError: naming the first file that does not fit (`on_error: stop`), or no fire fits.
    """
    root = expand(settings.root)
    sources, skipped = list_fires(root, settings), dict[str, str]()
    fires, grids = list[Fire](), list[Grid]()
    for name, source in tqdm(sources.items(), desc=f"read {dataset}", unit="fire"):
        try:
            found = read_fire(source, settings)
            GroundReader(name, source, settings).read(found)  # what is wrong with it shows now, not hours later
            fires.append(_fire(name, len(fires), found, root, settings))
            grids.append(found.grid)
        except InputError as error:
            if settings.on_error == "stop":
                raise
            skipped[name] = str(error)
            log.warning("%s: %s is skipped: %s", dataset, name, error)
    if not fires:
        raise InputError(root, f"none of {len(sources)} fires can be read", "fires", "see the warnings above")
    bands = tuple(Band(name, band.kind, band.unit) for name, band in settings.bands.items())
    return FireSource(
        dataset=dataset,
        fires=tuple(fires),
        frames=_frames(dataset, fires, sources, settings),
        bands=bands,
        grounds=tuple(
            Ground(grid.crs.to_wkt(), grid.transform[:6], GroundReader(fire.fire_id, sources[fire.fire_id], settings))
            for fire, grid in zip(fires, grids, strict=True)
        ),
        weather_variables={"wind_u": "m s-1", "wind_v": "m s-1"},
        cell_m=_common_cell(fires, grids),
        seconds_per_frame=60 * settings.minutes_per_frame,
        fires_skipped=skipped,
        provenance=source_provenance(settings),
    )


def list_fires(root: Path, settings: ObservedSettings) -> dict[str, Path | FireTable]:
    """What the perimeters of each fire are read from, sorted by name.

    Raises:
        InputError: there is nothing, it lies out of the root, two entries have one name, or the table does not fit.
    """
    remedy = "correct `root` and `fires` of the data set"
    _refuse_outside(root, settings.fires)
    entries = sorted(entry for entry in root.glob(settings.fires) if not entry.name.startswith("."))
    if not entries:
        raise InputError(root / settings.fires, "nothing", "perimeters, an entry a fire or one table", remedy)
    if settings.fire_column is not None:
        if len(entries) > 1:
            raise InputError(root / settings.fires, f"{len(entries)} entries", "one table (`fire_column`)", remedy)
        return dict(read_fire_tables(entries[0], settings.fire_column, settings.time_column, settings.layer))
    fires: dict[str, Path | FireTable] = {}
    for entry in entries:
        if entry.is_file() and entry.suffix.lower() not in (*RASTERS, *VECTORS, *NETCDF):  # .dbf, .prj ...
            continue
        if (name := entry.name if entry.is_dir() else entry.stem) in fires:
            raise InputError(entry, f"a second fire called {name}", "one entry a fire", "rename one of the two")
        fires[name] = entry
    if not fires:
        raise InputError(root / settings.fires, f"{len(entries)} files, none of which is read", FORMS, remedy)
    return fires


def read_fire(source: Path | FireTable, settings: ObservedSettings) -> ObservedFire:
    """One fire at regular times, on the window around where it begins.

    Args:
        source: a folder or a file, or the fire's features in a table of many.
        settings: how it is read.

    Raises:
        InputError: the perimeters do not fit, are images, which say nothing of their place, or make one frame or more
            than 1000.
    """
    minutes = settings.minutes_per_frame
    options = PerimeterOptions(
        minutes, time_column=settings.time_column, layer=settings.layer, crs=settings.crs,
        cell_m=settings.cell_m, margin_m=0.0,
    )  # fmt: skip
    if isinstance(source, FireTable):
        observed, grid = rasterise_outlines(
            source.outlines(), options, parse_crs(settings.crs) if settings.crs else None
        )
    else:
        _refuse_images(source)
        observed, grid = read_perimeters(source, options)
    if (frames := count_frames(observed.time, minutes)) > MOST_FRAMES:
        found, expected = f"{frames} frames, from {observed.time[0]} on", f"at most {MOST_FRAMES}"
        raise InputError(observed.where, found, expected, "a longer minutes_per_frame, or correct the times")
    past = regular_history(observed, minutes)
    if len(past.time) < 2:
        span = float((observed.time[-1] - observed.time[0]) / np.timedelta64(1, "m"))
        found = f"{len(observed.time)} perimeters within {span:g} minutes: {len(past.time)} frame"
        expected = f"two frames, {minutes:g} minutes apart"
        raise InputError(observed.where, found, expected, "a shorter minutes_per_frame, or `on_error: skip`")
    window = window_around(past.burned[0], grid, settings.window)
    burned = move_burned(past.burned, grid, window)
    outside = int((past.burned[-1] == 1).sum() - (burned[-1] == 1).sum())
    return ObservedFire(History(burned, past.time, past.notes), window, outside, observed.dated)


def _refuse_images(source: Path) -> None:
    """Images tell no place, and a fire of a data set has no template that would.

    Raises:
        InputError: the perimeters are images.
    """
    path = list_files(source)[0]
    if path.suffix.lower() in IMAGES:
        remedy = "make GeoTIFFs of them: gdal_translate -a_srs EPSG:<code> -a_ullr <west> <north> <east> <south> IN OUT"
        raise InputError(path, "an image, which tells no place", FORMS, remedy)


@dataclass(frozen=True)
class GroundReader:
    """Reads the terrain of one fire when it is stored."""

    fire_id: str
    source: Path | FireTable
    settings: ObservedSettings

    def __call__(self, window: Window) -> Float32[np.ndarray, "band y x"]:
        """All bands of the fire's window, which is read anew."""
        return self.read(read_fire(self.source, self.settings))

    def read(self, fire: ObservedFire) -> Float32[np.ndarray, "band y x"]:
        """All bands of the fire's window.

        Raises:
            InputError: a file does not fit, or does not reach over the fire.
        """
        told = self.settings.bands
        bands = tuple(Band(name, band.kind, band.unit) for name, band in told.items())
        root = expand(self.settings.root)
        words = [f"{name}={_under(root, band.file, self.fire_id)}" for name, band in told.items() if band.file]
        given, _ = find_bands(words, bands)
        return read_terrain(given, bands, fire.grid, fire.past.burned[-1] == 1)[0]


def _under(root: Path, file: str, fire_id: str) -> str:
    """A file under the root, with the fire's name put in; a number stays one.

    Raises:
        InputError: it lies elsewhere.
    """
    with suppress(ValueError):
        return str(float(file))
    _refuse_outside(root, file)
    return str(root / file.replace("{fire}", fire_id))


def _refuse_outside(root: Path, file: str) -> None:
    """Files lie under the root.

    Raises:
        InputError: one lies elsewhere, where no one would notice that it changes.
    """
    if Path(file).is_absolute() or ".." in Path(file).parts:
        remedy = "copy or link the file there: the workflow follows what lies under `root`"
        raise InputError(f"settings of the data set, {file!r}", "a path out of `root`", f"one under {root}", remedy)


def _fire(name: str, ground: int, found: ObservedFire, root: Path, settings: ObservedSettings) -> Fire:
    """Tables of a fire; the wind of the step after its last frame is not needed, and NaN."""
    side, time = settings.window, found.past.time
    wind = np.full((len(time), 2), np.nan, np.float32)
    if settings.weather:
        path = Path(_under(root, settings.weather, name))
        told = read_wind(path, time[:-1], found.dated, settings.minutes_per_frame, 1, settings.wind_unit)
        wind[:-1] = told.frames
    if found.outside:
        log.warning("%s: %d burned pixels of the last frame lie outside of its window", name, found.outside)
    for note in found.past.notes:
        log.info("%s: %s", name, note)
    return Fire(name, Window(0, 0, side, side, ground), wind, time)


def _frames(
    dataset: str, fires: Sequence[Fire], sources: Mapping[str, Path | FireTable], settings: ObservedSettings
) -> Iterator[Frame]:
    for fire in tqdm(fires, desc=f"ingest {dataset}", unit="fire"):
        past = read_fire(sources[fire.fire_id], settings).past
        if not np.array_equal(past.time, fire.valid_time):
            found, expected = f"{len(past.time)} frames to {past.time[-1]}", f"{len(fire.valid_time)}, as read before"
            raise InputError(fire.fire_id, found, expected, "run it again when nothing writes to its files")
        for burned in past.burned:
            yield Frame(burned, None)


def _common_cell(fires: Sequence[Fire], grids: Sequence[Grid]) -> float:
    """Side of a pixel in metres.

    Raises:
        InputError: the fires have several.
    """
    first = grids[0].cell_m
    for fire, grid in zip(fires, grids, strict=True):
        if abs(grid.cell_m / first - 1) > SAME_CELL:
            found = f"pixels of {grid.cell_m:.4g} m, and of {first:.4g} m in {fires[0].fire_id}"
            raise InputError(fire.fire_id, found, "pixels of one size", "set `cell_m` of the data set")
    return first
