"""Export: forecasts as files that a GIS opens in the right place."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from rasterio.crs import CRS

from emberformer.data.fires import fire_transform
from emberformer.forecast_store import open_forecasts


def write_geotiffs(forecasts_path: Path, fires: xr.Dataset, folder: Path) -> list[Path]:
    """One GeoTIFF a test fire: a band an initial step, probability of being burned one step later.

    Float32, NaN = no data, in the landscape's CRS (none where the source has none); each band says its initial and
    valid time.
    """
    forecasts = open_forecasts(forecasts_path)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    crs = fires.attrs["crs_wkt"]
    written = []
    test = forecasts.isel(forecast=np.flatnonzero(forecasts.split.values == "test"))
    for fire_id in dict.fromkeys(map(str, test.fire_id.values)):
        own = np.flatnonzero(test.fire_id.values == fire_id)
        path = folder / f"{fire_id}.tif"
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=fires.sizes["y"],
            width=fires.sizes["x"],
            count=len(own),
            dtype="float32",
            nodata=np.nan,
            crs=CRS.from_wkt(crs) if crs else None,
            transform=fire_transform(fires, fire_id),
            compress="deflate",
            predictor=3,
            tiled=True,
        ) as raster:
            raster.update_tags(method=forecasts.attrs["method"], quantity="probability of being burned at valid_time")
            for band, index in enumerate(own, 1):
                raster.write(test.probability[index, 0].values, band)
                init, valid = test.init_time.values[index], test.valid_time.values[index, 0]
                raster.set_band_description(band, f"step {int(test.init_step.values[index])} to +1")
                raster.update_tags(band, init_time=str(init)[:19], valid_time=str(valid)[:19])
        written.append(path)
    return written
