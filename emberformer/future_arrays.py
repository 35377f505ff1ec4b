"""What comes after the newest frame: arrays of the frames ahead, for what forecasts several of them together."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from jaxtyping import Float, UInt8

from emberformer.arrival_leads import UNKNOWN, observed_lead
from emberformer.landscape import Landscape


def future_arrays(
    wanted: Collection[str], landscape: Landscape, fire: int, row: int, leads: int
) -> dict[str, np.ndarray]:
    """Arrays of one item on its whole raster, of those that are wanted.

    `arrival_lead [H W]` uint8 is the first of the coming frames by which a pixel is burned, coded as in
    `emberformer.arrival_leads`, and unknown everywhere where the fire has fewer frames; `coming_wind [K 2]` is the wind
    of their steps, m s-1. `prior [K H W]` is what a network forecast for them (`Landscape.prior`).

    Args:
        wanted: names of arrays.
        landscape: whose stores are read.
        fire: number of the fire.
        row: of the newest frame in the fires store.
        leads: coming frames, K.
    """
    found: dict[str, np.ndarray] = {}
    if "arrival_lead" in wanted:
        last = int(landscape.row_start[fire] + landscape.row_size[fire]) - 1
        if row + leads <= last:
            found["arrival_lead"] = arrival_lead(landscape, fire, row, leads)
        else:
            found["arrival_lead"] = np.full_like(landscape.burned(fire, range(row, row + 1))[0], UNKNOWN)
    if "coming_wind" in wanted:
        found["coming_wind"] = coming_winds(landscape, fire, row, leads)
    if "prior" in wanted and landscape.prior is not None:
        found["prior"] = landscape.cut(landscape.prior.of(fire, row - int(landscape.row_start[fire])), fire)
    return found


def arrival_lead(landscape: Landscape, fire: int, row: int, leads: int) -> UInt8[np.ndarray, "H W"]:
    """Arrival of a fire after one frame, by what forecasts of the coming frames are scored against.

    Args:
        landscape: the fires.
        fire: number of the fire.
        row: of the newest frame in the fires store; the fire has `leads` frames more.
        leads: coming frames, K.
    """
    frames = landscape.burned(fire, range(row, row + leads + 1))
    for lead in range(1, leads + 1):
        frames[lead] = landscape.target(fire, row + lead)
    return observed_lead(frames)


def coming_winds(landscape: Landscape, fire: int, row: int, leads: int) -> Float[np.ndarray, "L 2"]:
    """Winds towards east and north of the coming steps, m s-1; beyond the fire's last frame, that frame's.

    Args:
        landscape: the fires.
        fire: number of the fire.
        row: of the newest frame in the fires store.
        leads: steps.
    """
    last = int(landscape.row_start[fire] + landscape.row_size[fire]) - 1
    coming = np.arange(leads) if landscape.foresees_wind else np.zeros(leads, int)
    return landscape.wind[np.minimum(row + coming, last)]
