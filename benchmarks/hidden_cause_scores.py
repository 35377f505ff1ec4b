"""How good, how wide and how obedient to the wind futures are, on states with several truths."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from emberformer.evaluate.ensemble_scores import (
    central_interval,
    covered,
    fair_brier_terms,
    fair_crps,
    rank_of_observed,
    variance,
)


class FutureScores(NamedTuple):
    """Scores of futures over states, truths and leads.

    Args:
        brier: fair Brier score of the pixels that were open to burn.
        area_crps: fair CRPS of the newly burned area, in pixels.
        area_spread: standard deviation of the newly burned area over the members, mean over states.
        area_ratio: mean newly burned area over that of the truths.
        coverage: share of the truths in the central 90 % of the members.
    """

    brier: float
    area_crps: float
    area_spread: float
    area_ratio: float
    coverage: float


def new_areas(arrival: UInt8[np.ndarray, "n member y x"], leads: int) -> Float[np.ndarray, "n lead member"]:
    """Pixels that each member newly burns by each lead."""
    each = [((arrival > 0) & (arrival <= lead)).sum((2, 3)) for lead in range(1, leads + 1)]
    return np.stack(each, 1).astype(float)


def score_futures(
    members: UInt8[np.ndarray, "n member y x"], truth: UInt8[np.ndarray, "n draw y x"], leads: int
) -> FutureScores:
    """Scores of members against each truth of their state."""
    areas, true_areas = new_areas(members, leads), new_areas(truth, leads)
    cases = np.repeat(areas[:, :, None], true_areas.shape[2], 2)
    number = members.shape[1]
    ranks = rank_of_observed(cases, true_areas, np.random.default_rng(0))
    return FutureScores(
        fair_brier(members, truth, leads),
        float(fair_crps(cases, true_areas).mean()),
        float(np.sqrt(variance(areas)).mean()),
        float(areas.mean() / true_areas.mean()),
        float(covered(ranks, number, central_interval(number)).mean()),
    )


def fair_brier(members: UInt8[np.ndarray, "n member y x"], truth: UInt8[np.ndarray, "n draw y x"], leads: int) -> float:
    """Fair Brier score of burn probabilities over all leads and the pixels that do not burn already."""
    terms = []
    for lead in range(1, leads + 1):
        burns = (members <= lead).sum(1)[:, None]
        found = fair_brier_terms(np.broadcast_to(burns, truth.shape), members.shape[1], truth <= lead)
        terms.append(found[truth > 0])
    return float(np.concatenate(terms).mean())


def brier(probability: Float[np.ndarray, "n lead y x"], truth: UInt8[np.ndarray, "n draw y x"]) -> float:
    """Brier score of probabilities over the same pixels."""
    leads = range(1, probability.shape[1] + 1)
    terms = [np.square(probability[:, None, lead - 1] - (truth <= lead))[truth > 0] for lead in leads]
    return float(np.concatenate(terms).mean())


def growth_cosine(members: UInt8[np.ndarray, "n member y x"], direction: Float[np.ndarray, "n 2"], leads: int) -> float:
    """Mean cosine between a direction (east, north) and the way from the burned area's centre to that of its growth.

    Members that do not grow do not count.
    """
    burned, new = members == 0, (members > 0) & (members <= leads)
    grows = new.any((2, 3))
    way = _centres(new) - _centres(burned)
    along = (way * direction[:, None]).sum(-1)
    length = np.linalg.norm(way, axis=-1) * np.linalg.norm(direction, axis=-1)[:, None]
    return float((along / np.maximum(length, 1e-9))[grows].mean())


def _centres(areas: Bool[np.ndarray, "n member y x"]) -> Float[np.ndarray, "n member 2"]:
    """Centres of areas, towards east and north; row 0 is the northern edge."""
    row, column = np.indices(areas.shape[2:])
    pixels = np.maximum(areas.sum((2, 3)), 1)
    return np.stack([(areas * column).sum((2, 3)) / pixels, -(areas * row).sum((2, 3)) / pixels], -1)


def overlap(burned: Bool[np.ndarray, "n member y x"], other: Bool[np.ndarray, "n y x"]) -> float:
    """Mean intersection over union of areas with one other of each state."""
    both = (burned & other[:, None]).sum((2, 3))
    either = (burned | other[:, None]).sum((2, 3))
    return float((both / np.maximum(either, 1)).mean())
