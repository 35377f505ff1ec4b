"""`python -m benchmarks --only command`: one new fire from files, as an analyst forecasts it.

`emberformer forecast` in a process of its own: 6 GeoTIFFs of 400 x 400 pixels, a terrain raster and one wind in, all
files of docs/forecast-files.md out, with the default features and network (dinov2-small in bfloat16, history of 6).
Seconds, for they are what an analyst waits, and how many pass while torch, transformers and xarray are loaded.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr

from benchmarks.made_fires import NAME, make_features, make_fires
from emberformer.data.fires import fire_crs, fire_position, fire_transform, open_fires
from emberformer.model_settings import ModelSettings
from emberformer.settings import FeatureSettings
from emberformer.training import train

SIDE, FRAMES, REPEATS = 400, 6, 3
SCALES = (1.0, 0.5)  # patches of 14 and of 28 pixels
# As `emberformer` loads them, see `emberformer.cli.main`.
LIBRARIES = "import gc; gc.set_threshold(50_000); import emberformer.forecast, transformers.models.dinov2; gc.freeze()"


def seconds(*words: object) -> float:
    """Median time of some runs of Python, after one that does not count.

    Raises:
        RuntimeError: it failed.
    """
    times = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False)
        times.append(time.perf_counter() - begin)
        if done.returncode:
            raise RuntimeError(done.stderr)
    return statistics.median(times[1:])


def write_files(fires: xr.Dataset, folder: Path) -> list[object]:
    """The longest fire's newest frames and its terrain as GeoTIFFs; the options that name them."""
    fire_id = str(fires.fire_id.values[int(fires.row_size.values.argmax())])
    number = fire_position(fires, fire_id)
    end = int(fires.row_start[number]) + int(fires.row_size[number])
    shape = {"driver": "GTiff", "height": SIDE, "width": SIDE, "crs": fire_crs(fires, fire_id) or "EPSG:32719"}
    shape["transform"] = fire_transform(fires, fire_id)
    (folder / "perimeters").mkdir()
    for frame in range(end - FRAMES, end):
        path = folder / "perimeters" / f"perimeter_{frame - end + FRAMES}.tif"
        with rasterio.open(path, "w", count=1, dtype="uint8", nodata=255, **shape) as raster:
            raster.write(fires.burned[frame].values, 1)
    bands = fires.terrain[int(fires.terrain_index[number])].values
    with rasterio.open(
        folder / "terrain.tif", "w", count=len(bands), dtype="float32", nodata=np.nan, **shape
    ) as raster:
        raster.write(bands)
        raster.descriptions = tuple(map(str, fires.band.values))
    return ["--perimeters", folder / "perimeters", "--terrain", folder / "terrain.tif"]


def of_scale(folder: Path, scale: float) -> float:
    """Time of a forecast with features of a scale; the network is trained for a moment only."""
    features = FeatureSettings(weights="random", scale=scale).model_dump(mode="json")
    training = {"epochs": 1, "steps_per_fire": 1, "validation_steps_per_fire": 1, "crop": 6, "precision": "32-true"}
    whole = ModelSettings(history=FRAMES).model_dump(mode="json")
    settings, layout = make_fires(folder, 5, SIDE, features=features, model=whole, training=training)
    fires = open_fires(layout.fires(NAME))
    make_features(fires, layout.features(NAME), settings.features, "cpu")
    checkpoint = train(settings, layout, 0, "cpu")
    wind = ["--wind-speed", 6, "--wind-direction", 250]
    words = ["forecast", "--model", checkpoint, *write_files(fires, folder), *wind, "--out", folder / "forecast"]
    return seconds("-m", "emberformer.cli", *words, "--device", "cpu", "--threads", 2)


def measure() -> dict[str, float]:
    """All figures."""
    figures = {"command, loading libraries, s": round(seconds("-c", LIBRARIES), 2)}
    for scale in SCALES:
        with tempfile.TemporaryDirectory() as folder:
            figures[f"command, forecast of a new fire, scale {scale:g}, s"] = round(of_scale(Path(folder), scale), 2)
    return figures
