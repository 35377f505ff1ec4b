"""The published inputs of Next Day Wildfire Spread: its features in their order, clipped and standardised.

F. Huot et al., IEEE Transactions on Geoscience and Remote Sensing 60 (2022), https://doi.org/10.1109/TGRS.2022.3192974.
Order and numbers are those of simulation_research/next_day_wildfire_spread/data_export/dataset_demo.ipynb in
google-research/google-research; constants.py beside it has another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

SIDE = 64  # rows and columns of a tile
TERRAIN = {"elevation": "m", "population": "km-2"}  # what does not change with the day, name -> unit
CONDITIONS = {
    "th": "deg",
    "vs": "m s-1",
    "tmmn": "K",
    "tmmx": "K",
    "sph": "kg kg-1",
    "pr": "mm",
    "pdsi": "1",
    "NDVI": "1e-4",
    "erc": "BTU ft-2",
}
PREVIOUS_FIRE, FIRE = "PrevFireMask", "FireMask"  # 1 fire, 0 none, -1 unknown


class Standard(NamedTuple):
    """Values are clipped to [least, most]; then the mean is taken off and the standard deviation divided by."""

    least: float
    most: float
    mean: float
    deviation: float


# In the published order. The limits are percentiles 0.1 and 99.9 of the training tiles where nature sets none.
PUBLISHED = {
    "elevation": Standard(0.0, 3141.0, 657.3003, 649.0147),
    "th": Standard(0.0, 360.0, 190.3298, 72.5985),
    "vs": Standard(0.0, 10.0243, 3.8501, 1.4110),
    "tmmn": Standard(253.15, 298.9489, 281.08768, 8.9824),
    "tmmx": Standard(253.15, 315.0923, 295.17383, 9.8155),
    "sph": Standard(0.0, 1.0, 0.0071658953, 0.0042835088),
    "pr": Standard(0.0, 44.5304, 1.7398051, 4.4828),
    "pdsi": Standard(-6.1298, 7.8760, -0.0053, 2.6823),
    "NDVI": Standard(-9821.0, 9996.0, 5157.625, 2466.6677),
    "population": Standard(0.0, 2534.0630, 25.5314, 154.7233),
    "erc": Standard(0.0, 106.2489, 37.3263, 20.8460),
    PREVIOUS_FIRE: Standard(-1.0, 1.0, 0.0, 1.0),
}


def ndws_inputs(tile: Mapping[str, Float32[np.ndarray, "y x"]]) -> Float32[np.ndarray, "12 y x"]:
    """Input channels of one tile as they were published: (clip(x, least, most) - mean) / deviation.

    Wind direction goes in as a number of degrees, which tears it at north, and an unknown pixel of the fire of the day
    before is -1: both as published. Whoever is not bound to that protocol takes the store's angle and its 255 instead.

    Args:
        tile: feature by name, in the source's units; the 12 of `PUBLISHED` are read, others are passed over.

    Returns:
        float32 in the order of `PUBLISHED`; NaN stays NaN.

    Raises:
        KeyError: a feature is missing.
    """
    channels = [
        (np.clip(tile[name].astype(np.float64), least, most) - mean) / deviation
        for name, (least, most, mean, deviation) in PUBLISHED.items()
    ]
    return np.stack(channels).astype(np.float32)
