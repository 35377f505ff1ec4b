"""Samples of the Next Day Wildfire Spread protocol from an opened fires store.

The published splits are kept; models are trained on 32 x 32 pixels cut at random from a tile, and pixels whose
`FireMask` is unknown count neither in the loss nor in a score.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float32, UInt8

from emberformer.data.fires import UNKNOWN, fire_position, fire_rows
from emberformer.data.ndws.inputs import CONDITIONS, FIRE, PREVIOUS_FIRE, SIDE, TERRAIN, ndws_inputs
from emberformer.data.ndws.tiles import PublishedSplit, published_split

CROP = 32  # rows and columns


class Sample(NamedTuple):
    """The published channels of a day, and where fire was seen on the next: 1, 0 not, 255 unknown."""

    inputs: Float32[np.ndarray, "12 y x"]
    target: UInt8[np.ndarray, "y x"]


def published_tiles(fires: xr.Dataset, split: PublishedSplit) -> list[str]:
    """Tiles of a published split, in the order of the store."""
    return [name for name in fires["fire_id"].values.tolist() if published_split(name) == split]


def stored_tile(fires: xr.Dataset, tile_id: str) -> dict[str, Float32[np.ndarray, "y x"]]:
    """Features of a tile as its record had them, by name, fire masks with -1 where unknown.

    Args:
        fires: a store that `read_ndws` filled.
        tile_id: such as train_00_000123.

    Raises:
        InputError: there is no such tile.
    """
    first, second = range(*fire_rows(fires, tile_id).indices(fires.sizes["frame"]))
    terrain = fires["terrain"][int(fires["terrain_index"].values[fire_position(fires, tile_id)])].values
    conditions, burned = fires["conditions"][first].values, fires["burned"][first : second + 1].values
    masks = np.where(burned == UNKNOWN, np.float32(-1), burned)
    return {
        **{name: terrain[fires["band"].values.tolist().index(name)] for name in TERRAIN},
        **{name: conditions[fires["condition"].values.tolist().index(name)] for name in CONDITIONS},
        **{PREVIOUS_FIRE: masks[0], FIRE: masks[1]},
    }


def ndws_sample(fires: xr.Dataset, tile_id: str, crop: tuple[slice, slice] = (slice(None), slice(None))) -> Sample:
    """One sample of the protocol.

    Args:
        fires: a store that `read_ndws` filled.
        tile_id: such as train_00_000123.
        crop: rows and columns, such as `random_crop` gives; by default the whole tile.
    """
    tile = stored_tile(fires, tile_id)
    target = np.where(tile[FIRE] < 0, UNKNOWN, tile[FIRE]).astype("uint8")
    return Sample(ndws_inputs(tile)[:, crop[0], crop[1]], target[crop])


def random_crop(random: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of 32 x 32 pixels anywhere in a tile, each place as likely as any other."""
    row, column = random.integers(0, SIDE - CROP, 2, endpoint=True).tolist()
    return slice(row, row + CROP), slice(column, column + CROP)


def centre_crop() -> tuple[slice, slice]:
    """Rows and columns of the 32 x 32 pixels in the middle of a tile."""
    first = (SIDE - CROP) // 2
    return slice(first, first + CROP), slice(first, first + CROP)
