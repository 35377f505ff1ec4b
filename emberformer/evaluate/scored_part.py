"""Which part of a data set is scored: a crop about the centre of each fire's own raster, and from which frame on."""

from __future__ import annotations

from typing import Literal, NamedTuple

import xarray as xr

from emberformer.data.fires import UNKNOWN, fire_rows
from emberformer.data.wsts.samples import small_crop, whole_crop
from emberformer.errors import InputError

Crop = Literal["none", "multiple_of_32", "centre_128"]
CROPS = {"multiple_of_32": whole_crop, "centre_128": small_crop}
IN_WORDS = {
    "none": "none: whole frames of the fires store",
    "multiple_of_32": "the centre of each fire's own raster, with sides that are the largest multiples of 32 pixels",
    "centre_128": "128 x 128 pixels at the centre of each fire's own raster, or what there is of a smaller one",
}


class ScoredPart(NamedTuple):
    """Pixels and forecasts that are scored.

    Args:
        crop: of each fire's own raster, without the padding of the store.
        first_step: test forecasts from earlier frames are not scored; those of validation fires all are.
    """

    crop: Crop = "none"
    first_step: int = 0


EVERYTHING = ScoredPart()


def raster_size(fires: xr.Dataset, fire_id: str) -> tuple[int, int]:
    """Rows and columns of a fire's own raster: up to the last that are known in any of its frames.

    Args:
        fires: an open fires store, whose windows are padded at the right and bottom with what is unknown.
        fire_id: its name.
    """
    height = width = 0
    rows = fire_rows(fires, fire_id)
    for row in range(rows.start, rows.stop):
        known = fires["burned"][row].values != UNKNOWN
        if known.any():
            height = max(height, int(known.any(1).nonzero()[0][-1]) + 1)
            width = max(width, int(known.any(0).nonzero()[0][-1]) + 1)
    return height, width


def crop_of(fires: xr.Dataset, fire_id: str, crop: Crop) -> tuple[slice, slice]:
    """Rows and columns of a fire's window that are scored.

    Raises:
        InputError: the raster is smaller than the least crop.
    """
    if crop == "none":
        return slice(None), slice(None)
    size = raster_size(fires, fire_id)
    rows, columns = CROPS[crop](*size)
    if rows.start == rows.stop or columns.start == columns.stop:
        where = f"{fire_id} of data set {fires.attrs['dataset']!r}"
        found = f"a raster of {size[0]} x {size[1]} pixels, of which the crop leaves nothing"
        raise InputError(where, found, f"one large enough for {crop}", "set evaluation.crop to none, or leave it out")
    return rows, columns
