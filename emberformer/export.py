"""Export: forecasts as files that a GIS opens in the right place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from rasterio.crs import CRS
from rasterio.io import MemoryFile

from emberformer.atomic import replacing
from emberformer.data.fires import fire_crs, fire_transform
from emberformer.forecast_store import open_forecasts


def write_geotiffs(forecasts_path: Path, fires: xr.Dataset, folder: Path) -> list[Path]:
    """One GeoTIFF a test fire: a band an initial step, probability of being burned one step later.

    Float32, NaN = no data, in the landscape's CRS (none where the source has none); each band says its initial and
    valid time. The folder is replaced when all of them are written. Each is made in memory, for GDAL does not say that
    a disk is full.
    """
    forecasts = open_forecasts(forecasts_path)
    test = forecasts.isel(forecast=np.flatnonzero(forecasts.split.values == "test"))
    fire_ids = list(dict.fromkeys(map(str, test.fire_id.values)))
    with replacing(folder) as partial:
        for fire_id in fire_ids:
            own = test.isel(forecast=np.flatnonzero(test.fire_id.values == fire_id), lead=0)
            with MemoryFile() as memory:
                _fill(memory, own, fires, fire_id)
                (partial / f"{fire_id}.tif").write_bytes(memory.read())
    return [folder / f"{fire_id}.tif" for fire_id in fire_ids]


def _fill(memory: MemoryFile, own: xr.Dataset, fires: xr.Dataset, fire_id: str) -> None:
    """Write the forecasts of one fire into a file in memory."""
    crs = fire_crs(fires, fire_id)
    with memory.open(
        driver="GTiff",
        height=fires.sizes["y"],
        width=fires.sizes["x"],
        count=own.sizes["forecast"],
        dtype="float32",
        nodata=np.nan,
        crs=CRS.from_wkt(crs) if crs else None,
        transform=fire_transform(fires, fire_id),
        compress="deflate",
        predictor=3,
        tiled=True,
    ) as raster:
        raster.update_tags(method=own.attrs["method"], quantity="probability of being burned at valid_time")
        for band in range(1, own.sizes["forecast"] + 1):
            one = own.isel(forecast=band - 1)
            raster.write(one.probability.values, band)
            raster.set_band_description(band, f"step {int(one.init_step)} to +1")
            raster.update_tags(
                band, init_time=str(one.init_time.values)[:19], valid_time=str(one.valid_time.values)[:19]
            )
