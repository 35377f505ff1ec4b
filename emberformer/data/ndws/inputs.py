"""The published inputs of Next Day Wildfire Spread: its features in their order, clipped and standardised.

F. Huot et al., IEEE Transactions on Geoscience and Remote Sensing 60 (2022), https://doi.org/10.1109/TGRS.2022.3192974;
the table stands in simulation_research/next_day_wildfire_spread/constants.py of google-research/google-research, the
order in the notebook beside it.
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
    "th": Standard(0.0, 360.0, 190.32976, 72.59854),
    "vs": Standard(0.0, 10.024310074806237, 3.8500874, 1.4109988),
    "tmmn": Standard(253.15, 298.94891357421875, 281.08768, 8.982386),
    "tmmx": Standard(253.15, 315.09228515625, 295.17383, 9.815496),
    "sph": Standard(0.0, 1.0, 0.0071658953, 0.0042835088),
    "pr": Standard(0.0, 44.53038024902344, 1.7398051, 4.482833),
    "pdsi": Standard(-6.12974870967865, 7.876040384292651, -0.0052714925, 2.6823447),
    "NDVI": Standard(-9821.0, 9996.0, 5157.625, 2466.6677),
    "population": Standard(0.0, 2534.06298828125, 25.531384, 154.72331),
    "erc": Standard(0.0, 106.24891662597656, 37.326267, 20.846027),
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
