"""A tiny, valid data set in the deep_crown layout: growing fires that the wind pushes, over ground with a lake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from scipy.ndimage import binary_dilation, gaussian_filter

from emberformer.data_settings import DeepCrownSettings

BURNED, UNBURNED = (253, 231, 36, 255), (68, 1, 84, 255)
CELL_M, NODATA = 30.0, -9999.0
LEFT, TOP = 340_000.0, 6_160_000.0
BANDS = ("fuels", "elevation", "slope", "saz", "burnable")


def tiny_settings(root: Path, **changes: object) -> DeepCrownSettings:
    """Settings that read what `write_tiny_dataset` writes."""
    content: dict[str, object] = {
        "root": root,
        "minutes_per_frame": 30,
        "bands": {
            "fuels": {"name": "fuel_model", "kind": "categorical"},
            "elevation": {"kind": "continuous", "unit": "m"},
            "slope": {"name": "slope_deg", "kind": "continuous", "unit": "percent"},
            "saz": {"name": "aspect_deg", "kind": "angle", "unit": "deg"},
            "burnable": {"kind": "binary"},
        },
    }
    return DeepCrownSettings.model_validate(content | changes)


def write_tiny_dataset(
    root: Path,
    fires: int = 6,
    frames: int = 5,
    window: tuple[int, int] = (28, 42),
    landscape: tuple[int, int] = (48, 60),
    seed: int = 0,
) -> DeepCrownSettings:
    """Write a data set, and give the settings that read it.

    Args:
        root: folder to write to; made if it is missing.
        fires: number of fires.
        frames: number of frames of each fire.
        window: rows and columns of every fire's window.
        landscape: rows and columns of the raster.
        seed: the only source of chance.
    """
    rng = np.random.default_rng(seed)
    (root / "landscape" / "Weathers").mkdir(parents=True)
    burnable = _write_raster(root / "landscape" / "Input_Geotiff.tif", landscape, rng)
    windows, history = {}, ""
    for number in range(1, fires + 1):
        row, column = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(landscape, window, strict=True))
        windows[str(number)] = [row, row + window[0], column, column + window[1]]
        speed = rng.uniform(5, 30, frames).round(1)
        direction = (rng.uniform(0, 360) + rng.normal(0, 10, frames)).round() % 360
        ground = burnable[row : row + window[0], column : column + window[1]]
        for frame, burned in enumerate(grow(ground, speed, direction, rng)):
            write_frame(root / "fire_frames" / f"sequence_{number:03d}" / f"fire_{frame:03d}.png", burned)
            write_frame(root / "isochrones" / f"sequence_{number:03d}" / f"iso_{frame:03d}.png", burned)
        write_weather(root / "landscape" / "Weathers" / f"Weather{number}.csv", speed, direction)
        history += f"data/tiny/Weathers/Weather{number}.csv\n"
    (root / "landscape" / "indices.json").write_text(json.dumps(windows))
    (root / "landscape" / "WeatherHistory.csv").write_text(history)
    return tiny_settings(root)


def grow(
    ground: np.ndarray, speed: np.ndarray, direction_from: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Burned areas of one fire: every step adds a disc whose centre lies downwind, faster in stronger wind.

    Args:
        ground: where fire can go [y, x].
        speed: wind speed in km h-1 of each frame; row k drives the step k -> k + 1.
        direction_from: degrees clockwise from north that the wind blows from.
        rng: chooses the ignition, in the middle half of the window.
    """
    height, width = ground.shape
    centre = np.zeros_like(ground)
    centre[height // 4 : -(height // 4), width // 4 : -(width // 4)] = True
    ignitions = np.argwhere(ground & centre)
    burned = np.zeros_like(ground)
    burned[tuple(ignitions[rng.integers(len(ignitions))])] = True
    burned = binary_dilation(burned, iterations=1) & ground
    areas = [burned]
    dy, dx = np.mgrid[-3:4, -3:4]  # rows go south
    for wind, angle in zip(speed[:-1], np.deg2rad(direction_from[:-1]), strict=True):
        push = wind / 15
        disc = (dx + push * np.sin(angle)) ** 2 + (dy - push * np.cos(angle)) ** 2 <= 1.2**2
        burned = burned | (binary_dilation(burned, disc) & ground)
        areas.append(burned)
    return areas


def write_frame(path: Path, burned: np.ndarray) -> None:
    """Write a frame as the simulators do: RGBA, two of the viridis colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(burned[..., None], BURNED, UNBURNED).astype(np.uint8)).save(path)


def write_weather(path: Path, speed: np.ndarray, direction_from: np.ndarray) -> None:
    """Write a weather table, half-hourly from noon on, with temperature beside the wind."""
    times = np.datetime64("2023-03-30T12:00", "m") + 30 * np.arange(len(speed))
    rows = [
        f"tiny,{str(time).replace('T', ' ')},{ws},{wd},{20 + k}"
        for k, (time, ws, wd) in enumerate(zip(times, speed, direction_from, strict=True))
    ]
    path.write_text("\n".join(["Scenario,datetime,WS,WD,TMP", *rows]) + "\n")


def _write_raster(path: Path, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Write the landscape, and give where fire can go."""
    elevation = 500 + 600 * gaussian_filter(rng.standard_normal(shape), 6, mode="reflect")
    rise_south, rise_east = np.gradient(elevation, CELL_M)
    slope = 100 * np.hypot(rise_south, rise_east)
    downslope = np.rad2deg(np.arctan2(-rise_east, rise_south)) % 360
    burnable = elevation > np.quantile(elevation, 0.05)  # the rest is a lake
    fuels = np.where(burnable, 1 + np.digitize(gaussian_filter(rng.standard_normal(shape), 3), [-0.05, 0.05]), 0)
    bands = [fuels, elevation, slope, downslope, np.where(burnable, 1, NODATA)]
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=shape[0],
        width=shape[1],
        count=len(bands),
        dtype="float32",
        nodata=NODATA,
        crs="EPSG:32719",
        transform=from_origin(LEFT, TOP, CELL_M, CELL_M),
    ) as raster:
        for number, (name, values) in enumerate(zip(BANDS, bands, strict=True), 1):
            raster.write(values.astype("float32"), number)
            raster.set_band_description(number, name)
    return burnable
