"""Arrival of the fire in leads: how members and truth are coded, and what follows from members by counting.

    0             burned in the newest frame, at init_time
    1 ... K       first lead by which the pixel is burned
    NEVER = 255   not within K leads
    UNKNOWN = 254 unknown in the newest frame, or not to be told from what was observed

What is burned by lead k is `arrival_lead <= k`, for k up to K: a pixel that is burned stays burned, at any lead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from emberformer.errors import InputError

NEVER, UNKNOWN = 255, 254
MOST_LEADS = 253
NOT_OBSERVED = 255  # of a frame, in a fires store
PERCENTILES = (10.0, 50.0, 90.0)


def observed_lead(burned: UInt8[np.ndarray, "frame y x"]) -> UInt8[np.ndarray, "y x"]:
    """Arrival of the fire that was observed.

    Burned ground stays burned, so a frame that was not observed matters only where the fire came in it or right after.

    Args:
        burned: newest frame, then that of each lead: 1 burned, 0 not, 255 unknown.

    Returns:
        UNKNOWN where the newest frame is, and where unknown frames lie between the last that shows the pixel unburned
        and the first that shows it burned, or the last lead.

    >>> observed_lead(np.array([[0, 1, 0, 0, 255], [0, 0, 1, 255, 1], [0, 1, 1, 1, 1]], np.uint8)[:, None])
    array([[255,   0,   1, 254, 254]], dtype=uint8)
    """
    frames = len(burned)
    if frames - 1 > MOST_LEADS:
        raise ValueError(f"{frames - 1} leads, expected at most {MOST_LEADS}")
    number = np.arange(frames)[:, None, None]
    first_burned = np.where(burned == 1, number, frames).min(0)
    last_unburned = np.where((burned == 0) & (number < first_burned), number, -1).max(0)
    arrival = np.where(first_burned == frames, NEVER, first_burned)
    certain = (burned[0] != NOT_OBSERVED) & (last_unburned + 1 == first_burned)
    return np.where(certain, arrival, UNKNOWN).astype(np.uint8)


class FutureSet(NamedTuple):
    """Futures of one state.

    Args:
        arrival_lead: of every member, coded as at the top of this file.
        burn_probability: by each lead, NaN where it is unknown whether a pixel burns; of levels that are drawn as
            learned it has less noise than the share of the members, else it is this share.
    """

    arrival_lead: UInt8[np.ndarray, "M H W"]
    burn_probability: Float32[np.ndarray, "K H W"]


def burn_probability(arrival_lead: UInt8[np.ndarray, "member y x"], leads: int) -> Float32[np.ndarray, "lead y x"]:
    """Share of the members that are burned by each lead; NaN where a member is UNKNOWN.

    Args:
        arrival_lead: of each member.
        leads: number of leads K.

    >>> burn_probability(np.array([1, 2, 255, 255], np.uint8)[:, None, None], leads=2).ravel()
    array([0.25, 0.5 ], dtype=float32)
    """
    share = np.stack([(arrival_lead <= lead).mean(0) for lead in range(1, leads + 1)])
    return np.where((arrival_lead == UNKNOWN).any(0), np.nan, share).astype(np.float32)


def arrival_percentiles(
    arrival_lead: UInt8[np.ndarray, "member y x"], levels: Sequence[float], leads: int
) -> Float32[np.ndarray, "level y x"]:
    """First lead by which at least so many percent of the members are burned (quantile of the inverse distribution).

    Args:
        arrival_lead: of each member.
        levels: percentages, above 0 and up to 100.
        leads: number of leads K.

    Returns:
        In leads, 0 where burned at init_time; NaN where fewer members burn within K leads, or a member is UNKNOWN.

    >>> arrival_percentiles(np.array([1, 2, 255, 255], np.uint8)[:, None, None], (25, 50, 75), leads=2).ravel()
    array([ 1.,  2., nan], dtype=float32)
    """
    if not all(0 < level <= 100 for level in levels):
        raise InputError("levels of arrival percentiles", str(list(levels)), "above 0 and up to 100", "correct them")
    members = np.sort(arrival_lead, axis=0)
    # a share of members that is whole in decimals may lie a rounding error above itself
    place = np.ceil(np.asarray(levels, float) * len(members) / 100 - 1e-9).astype(int) - 1
    found = members[np.maximum(place, 0)].astype(np.float32)
    return np.where((found > leads) | (arrival_lead == UNKNOWN).any(0), np.float32(np.nan), found)
