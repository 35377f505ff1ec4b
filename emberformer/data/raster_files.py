"""Rasters that GDAL reads: opening them, and their bands with what the file says is no data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import rasterio.windows
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from emberformer.errors import InputError


@contextmanager
def opened_raster(path: Path, remedy: str) -> Iterator[rasterio.DatasetReader]:
    """The open raster; what GDAL says about a missing or damaged file becomes an InputError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # who needs the place says it better
            raster = rasterio.open(path)
        with raster:
            yield raster
    except RasterioError as error:
        # What GDAL met while it read stands behind rasterio's own words.
        raise InputError(path, str(error.__cause__ or error), "a complete raster that GDAL reads", remedy) from error


def read_known(
    raster: rasterio.DatasetReader, number: int, window: rasterio.windows.Window | None = None
) -> np.ma.MaskedArray:
    """A band, masked where the file says no data; not where it is transparent: to GDAL, four masks are a picture."""
    transparent = MaskFlags.alpha in raster.mask_flag_enums[number - 1]
    values = raster.read(number, window=window, masked=not transparent)
    if transparent and (nodata := raster.nodatavals[number - 1]) is not None:
        return np.ma.masked_equal(values, nodata)
    return np.ma.asarray(values)
