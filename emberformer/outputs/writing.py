"""All files of a forecast in one folder, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import xarray as xr

from emberformer.atomic import replacing
from emberformer.errors import InputError
from emberformer.outputs import animation, map_picture, netcdf, qgis_layers, qgis_styles, rasters, summary, vector_files
from emberformer.outputs.arrival import THRESHOLD
from emberformer.outputs.file_names import file_name
from emberformer.outputs.fire_forecast import check_fire_forecast
from emberformer.outputs.isochrones import isochrones
from emberformer.outputs.perimeters import PROBABILITIES, check_probabilities, newest_perimeter, perimeters
from emberformer.outputs.times import iso

FORMATS = ("geotiff", "percent", "arrival_time", "geopackage", "geojson", "netcdf", "map", "gif", "mp4", "zarr")
Writer = Callable[[Path], None]


def write_outputs(
    forecast: xr.Dataset,
    folder: str | Path,
    *,
    probabilities: Sequence[float] = PROBABILITIES,
    threshold: float = THRESHOLD,
    elevation: np.ndarray | None = None,
    formats: Collection[str] | None = None,
) -> dict[str, Path]:
    """Write a forecast as files; docs/forecast-files.md describes them. The JSON summary is always among them.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        folder: where to write: a new folder, an empty one, or one that this function wrote, which is replaced. If
            anything fails, it is as it was.
        probabilities: p of the perimeters, above 0 and up to 1.
        threshold: probability from which on the fire has arrived, for arrival times and isochrones.
        elevation: m, on the forecast's grid [y, x], for the maps; None = plain ground.
        formats: which of `FORMATS`; None = `possible_formats(forecast)` without Zarr, which says what NetCDF does.

    Returns:
        What a file holds ("probability_lead01", "perimeters", "map" ...) -> the file; styles (.qml) lie beside rasters.

    Raises:
        InputError: the forecast does not fit its form; a format, probability or threshold is none; the folder holds
            other files; GeoJSON without a CRS; a video without imageio-ffmpeg.
    """
    folder = Path(folder)
    check_fire_forecast(forecast)
    check_wanted(folder, [*probabilities, threshold], formats)
    usual = [name for name in possible_formats(forecast) if name != "zarr"]
    wanted = tuple(usual if formats is None else dict.fromkeys(formats))
    with replacing(folder) as partial, ThreadPoolExecutor(1) as beside:
        writers = _writers(forecast, wanted, probabilities, threshold, elevation)
        # Most of a video's time passes in ffmpeg, a process of its own.
        video = [beside.submit(write, partial / name) for content, name, write in writers if content == "video"]
        for content, name, write in writers:
            if content != "video":
                write(partial / name)
        for done in video:
            done.result()
        files = {content: folder / name for content, name, _ in writers}
        names = {content: path.name for content, path in files.items()}
        if layers := qgis_layers.forecast_layers(forecast, names, probabilities):
            name = file_name(forecast, "layers", "qlr")
            group = f"{forecast.attrs['title']} from {iso(forecast.init_time.values)}"
            crs = forecast.rio.crs and forecast.rio.crs.to_wkt()
            (partial / name).write_text(qgis_layers.layer_definition(group, layers, crs), encoding="utf-8")
            files["layers"] = folder / name
        name = file_name(forecast, "summary", "json")
        about = {
            "formats_left_out": sorted(set(FORMATS) - set(wanted)),
            "files": sorted({path.name for path in partial.iterdir()} | {name}),
        }
        summary.write_summary(partial / name, summary.summarise(forecast, probabilities) | about)
        files["summary"] = folder / name
    return files


def check_wanted(folder: Path, probabilities: Sequence[float], formats: Collection[str] | None) -> None:
    """Refuse what cannot be written, before anything is computed.

    Raises:
        InputError: a format or a probability is none; the folder holds files that no forecast wrote.
    """
    check_probabilities(probabilities)
    if unknown := [name for name in formats or () if name not in FORMATS]:
        raise InputError("formats", f"{unknown}", f"some of {', '.join(FORMATS)}", "leave the others out")
    refuse_foreign_files(folder)


def possible_formats(forecast: xr.Dataset) -> tuple[str, ...]:
    """The formats that a forecast can be written in here: no GeoJSON without a CRS, no video without imageio-ffmpeg."""
    impossible = {"geojson": forecast.rio.crs is None, "mp4": find_spec("imageio_ffmpeg") is None}
    return tuple(name for name in FORMATS if not impossible.get(name, False))


def _writers(
    forecast: xr.Dataset,
    formats: Collection[str],
    probabilities: Sequence[float],
    threshold: float,
    elevation: np.ndarray | None,
) -> list[tuple[str, str, Writer]]:
    """What each file holds, its name, and how to write it."""
    found = _raster_writers(forecast, formats, threshold)

    def add(wanted: str, content: str, extension: str, write: Writer, name: str | None = None) -> None:
        if wanted in formats:
            found.append((content, file_name(forecast, name or content, extension), write))

    def vectors(path: Path) -> None:
        layers = {
            "perimeters": perimeters(forecast, probabilities),
            "isochrones": isochrones(forecast, threshold),
            "newest_perimeter": newest_perimeter(forecast),
        }
        styles = {
            "perimeters": qgis_styles.perimeters_style(probabilities),
            "isochrones": qgis_styles.isochrones_style(),
            "newest_perimeter": qgis_styles.newest_perimeter_style(),
        }
        vector_files.write_geopackage(path, layers, styles)

    drawn = {"elevation": elevation, "threshold": threshold}
    add("geopackage", "vectors", "gpkg", vectors)
    add(
        "geojson",
        "perimeters",
        "geojson",
        lambda path: vector_files.write_geojson(path, perimeters(forecast, probabilities)),
        "perimeters_llw84",
    )
    add(
        "geojson",
        "isochrones",
        "geojson",
        lambda path: vector_files.write_geojson(path, isochrones(forecast, threshold)),
        "isochrones_llw84",
    )
    add("netcdf", "forecast", "nc", lambda path: netcdf.write_netcdf(forecast, path))
    add("zarr", "store", "zarr", lambda path: netcdf.write_zarr(forecast, path), "forecast")
    add("map", "map", "png", lambda path: map_picture.write_map(forecast, path, **drawn))
    pictures = animation.map_pictures(forecast, **drawn) if {"gif", "mp4"} & set(formats) else []
    add("gif", "animation", "gif", lambda path: animation.write_gif(pictures, path))
    add("mp4", "video", "mp4", lambda path: animation.write_mp4(pictures, path))
    return found


def _raster_writers(forecast: xr.Dataset, formats: Collection[str], threshold: float) -> list[tuple[str, str, Writer]]:
    """The same for rasters, each with its style beside it."""
    found: list[tuple[str, str, Writer]] = []

    def add(content: str, write: Writer, style: str, lead: int | None = None) -> None:
        key = content if lead is None else f"{content}_lead{lead:02d}"
        name = file_name(forecast, content, "tif", lead)

        def both(path: Path) -> None:
            write(path)
            write_style(path, style)

        found.append((key, name, both))

    for lead in map(int, forecast.lead.values):
        if "geotiff" in formats:
            write = _of_lead(rasters.write_probability, forecast, lead)
            add("probability", write, qgis_styles.probability_style(forecast, lead), lead)
        if "percent" in formats:
            write = _of_lead(rasters.write_percent, forecast, lead)
            add("percent", write, qgis_styles.probability_style(forecast, lead, percent=True), lead)
    if "geotiff" in formats:
        add("burned", lambda path: rasters.write_burned(forecast, path), qgis_styles.burned_style(forecast))
    if "arrival_time" in formats:
        style = qgis_styles.arrival_style(forecast)
        add("arrival_time", lambda path: rasters.write_arrival_time(forecast, threshold, path), style)
    return found


def _of_lead(write: Callable[[xr.Dataset, int, Path], None], forecast: xr.Dataset, lead: int) -> Writer:
    return lambda path: write(forecast, lead, path)


def write_style(raster: Path, style: str) -> None:
    """Write a style of QGIS beside a raster."""
    raster.with_suffix(".qml").write_text(style, encoding="utf-8")


def refuse_foreign_files(folder: Path) -> None:
    """Refuse a folder with files that no forecast wrote, for it is going to be replaced as a whole."""
    if Path.cwd().is_relative_to(folder.resolve()):
        found = "the folder that you are in, which would be replaced as a whole"
        raise InputError(folder, found, "a folder of its own", "name one inside it, such as forecast")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(folder, "a file", "a folder", "choose another name")
    ours: set[str] = set()
    for path in folder.glob("*_summary.json"):
        try:
            ours |= set(json.loads(path.read_text(encoding="utf-8")).get("files", []))
        except (ValueError, AttributeError, TypeError):
            continue
    # QGIS keeps statistics and locks beside what it opens.
    beside = (".aux.xml", "-wal", "-shm", "-journal")
    foreign = sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in ours and not any(path.name == f"{name}{end}" for name in ours for end in beside)
    )
    if foreign:
        found = f"files that no forecast wrote, such as {foreign[0]}"
        raise InputError(folder, found, "a new or empty folder, or one of an earlier forecast", "choose another folder")
