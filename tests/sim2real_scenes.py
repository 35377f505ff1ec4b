"""Scenes of Sim2Real-Fire by hand, in the published tree and in the one of its code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import ArrayLike
from PIL import Image
from rasterio.transform import from_origin

SHAPE = (12, 16)
RASTERS = {
    "Topography_Map/Elevation.tif": np.arange(192).reshape(SHAPE),
    "Topography_Map/Slope.tif": np.full(SHAPE, 30),
    "Topography_Map/Aspect.tif": np.full(SHAPE, -1),
    "Fuel_Map/FBFM40.tif": np.full(SHAPE, 102),
    "Fuel_Map/FBFM13.tif": np.full(SHAPE, 2),
    "Fuel_Map/Canopy_Cover.tif": np.full(SHAPE, 45),
    "Fuel_Map/Canopy_Height.tif": np.full(SHAPE, 175),
    "Fuel_Map/Canopy_Base_Height.tif": np.full(SHAPE, 9),
    "Fuel_Map/Canopy_Bulk_Density.tif": np.full(SHAPE, 13),
    "Vegetation_Map/Existing_Vegetation_Type.tif": np.full(SHAPE, 7016),
    "Vegetation_Map/Vegetation_Departure.tif.tif": np.full(SHAPE, 132),
}


def write_raster(path: Path, values: ArrayLike, left: float = -1_154_025.0) -> None:
    values = np.asarray(values, "int16")
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": "int16", "nodata": 32767}
    transform = from_origin(left, 1_185_255, 30, 30)
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:5070", transform=transform, **profile) as raster:
        raster.write(values, 1)


def write_mask(path: Path, burned: ArrayLike) -> None:
    """A mask as JPEG or PNG; numbers above 1 are greys as they are."""
    values = np.asarray(burned, "uint8")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(values == 1, 255, values).astype("uint8"), "L").save(path)


def spread(frames: int, shape: tuple[int, int] = SHAPE) -> list[np.ndarray]:
    """Burned area that gains a column a frame; the first of two columns."""
    burned = []
    for frame in range(frames):
        pixels = np.zeros(shape, "uint8")
        pixels[:, : frame + 2] = 1
        burned.append(pixels)
    return burned


def weather_lines(hours: int) -> list[str]:
    """Wind of `hour` miles an hour from the west, 50 degrees Fahrenheit."""
    return [f"2023 07 {24 + hour // 24} {hour % 24:02d}00 50.0 32 0.00 {hour}.0 270 75.0" for hour in range(hours)]


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())


def write_published(scene: Path, fires: dict[str, int], rasters: dict[str, np.ndarray] = RASTERS) -> Path:
    """A scene in the published tree: fires by the number of their masks."""
    for name, values in rasters.items():
        write_raster(scene / name, values)
    shape = next(iter(rasters.values())).shape
    for fire, frames in fires.items():
        for number, burned in enumerate(spread(frames, shape), 1):
            write_mask(scene / "Satellite_Images_Mask" / fire / f"out{number}.jpg", burned)
        write_lines(scene / "Weather_Data" / f"{fire}.txt", weather_lines(frames))
    return scene


def write_code(scene: Path, fires: dict[str, str], frames: int = 3) -> Path:
    """A scene in the tree of the source's code: fires by the folder of their split."""
    for name, values in RASTERS.items():
        write_raster(scene / "landfire" / Path(name).name, values)
    for fire, split in fires.items():
        for number, burned in enumerate(spread(frames), 1):
            write_mask(scene / split / f"FIR{fire}_ArrivalTime" / f"out{number}.jpg", burned)
        write_lines(scene / f"wxs_{split}" / f"{fire}.wxs", weather_lines(frames))
    return scene
