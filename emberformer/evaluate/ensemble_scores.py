"""Scores of ensembles as pure functions: of the area that burns, of burn probabilities that are shares of members.

    members    forecasts of one number by M members, in any order [..., member]
    observed   what happened [...]

A fair score of M members has the mean that an ensemble of the same kind with any number of members has, so ensembles of
different sizes can be compared by it; it may be below 0. It is NaN for one member. Other scores reward more members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scoringrules
from jaxtyping import Bool, Float, Int, UInt8

from emberformer.evaluate.scores import Numbers, ratio
from emberformer.geometry import HECTARE


class CentralInterval(NamedTuple):
    """The interval from the `place`-th lowest to the `place`-th highest member, and how often it should hold the truth.

    Args:
        place: counted from 1.
        nominal: share of the cases in which one more member of the same kind lies in it.
    """

    place: int
    nominal: float


def newly_burned_ha(
    arrival_lead: UInt8[np.ndarray, "member y x"],
    open_to_burn: Bool[np.ndarray, "lead y x"],
    leads: Sequence[int],
    cell_m: float,
) -> Float[np.ndarray, "member lead"]:
    """Area in hectares that each member burns by each lead, of the pixels that were open to burn.

    Args:
        arrival_lead: see `emberformer.arrival_leads`.
        open_to_burn: not burned at the initial time, and known then and at the lead.
        leads: which leads.
        cell_m: side of a pixel in metres.
    """
    pixels = [(arrival_lead[:, places] <= lead).sum(1) for lead, places in zip(leads, open_to_burn, strict=True)]
    return np.stack(pixels, -1) * cell_m**2 / HECTARE


def crps(
    members: Float[np.ndarray, "*case member"], observed: Float[np.ndarray, "*case"]
) -> Float[np.ndarray, "*case"]:
    """Continuous ranked probability score of the members' empirical distribution, in their unit.

    CRPS = mean_i |x_i - y| - 1/2 mean_ij |x_i - x_j|; of one member it is the absolute error.

    Returns:
        0 (perfect) and more.

    References:
        Gneiting and Raftery (2007), doi:10.1198/016214506000001437, equation 21.

    >>> float(crps(np.array([0.0, 4.0]), np.array(1.0)))
    1.0
    """
    return np.asarray(scoringrules.crps_ensemble(observed, members, estimator="nrg", backend="numpy"))


def fair_crps(
    members: Float[np.ndarray, "*case member"], observed: Float[np.ndarray, "*case"]
) -> Float[np.ndarray, "*case"]:
    """Fair CRPS: as `crps`, with the mean distance over pairs of different members.

    fair CRPS = mean_i |x_i - y| - sum_ij |x_i - x_j| / (2 M (M - 1))

    References:
        Ferro (2014), Fair scores for ensemble forecasts, doi:10.1002/qj.2270.

    >>> float(fair_crps(np.array([0.0, 4.0]), np.array(1.0)))
    0.0
    """
    if members.shape[-1] < 2:
        return np.full(np.shape(observed), np.nan)
    return np.asarray(scoringrules.crps_ensemble(observed, members, estimator="fair", backend="numpy"))


def energy_score(
    members: Float[np.ndarray, "*case member part"], observed: Float[np.ndarray, "*case part"]
) -> Float[np.ndarray, "*case"]:
    """Fair energy score: the CRPS of vectors, such as the areas by each lead, with Euclidean distances.

    ES = mean_i |x_i - y| - sum_ij |x_i - x_j| / (2 M (M - 1)); of vectors with one part it is the fair CRPS.

    References:
        Gneiting and Raftery (2007), doi:10.1198/016214506000001437, equation 22; Ferro (2014), doi:10.1002/qj.2270.
    """
    if members.shape[-2] < 2:
        return np.full(observed.shape[:-1], np.nan)
    return np.asarray(scoringrules.es_ensemble(observed, members, estimator="fair", backend="numpy"))


def fair_brier_terms(
    burned: Int[np.ndarray, "*case"], members: int, observed: np.ndarray
) -> Float[np.ndarray, "*case"]:
    """Fair Brier score of each case: (i/M - o)^2 - i (M - i) / (M^2 (M - 1)).

    Args:
        burned: number i of the members that burn.
        members: number M of them.
        observed: o, 1 burned, 0 not [*case].

    Returns:
        Terms, some below 0, whose mean is the fair score; NaN for M = 1.

    References:
        Ferro, Richardson and Weigel (2008), doi:10.1002/met.45; Ferro (2014), doi:10.1002/qj.2270.

    >>> fair_brier_terms(np.array([1, 4]), 4, np.array([0, 1]))
    array([0., 0.])
    """
    if members < 2:
        return np.full(burned.shape, np.nan)
    share = burned / members
    return np.square(share - observed) - share * (1 - share) / (members - 1)


def rank_of_observed(
    members: Float[np.ndarray, "*case member"], observed: Float[np.ndarray, "*case"], rng: np.random.Generator
) -> Int[np.ndarray, "*case"]:
    """How many members lie below the observed, 0 to M; of t members that equal it, a drawn number from 0 to t.

    Ranks of a truth that is like one more member are uniform, with ties too: many fires do not grow at all.

    Args:
        members: the forecasts.
        observed: what happened.
        rng: draws among ties.

    References:
        Hamill (2001), Interpretation of rank histograms for verifying ensemble forecasts,
        doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2.
    """
    below = (members < observed[..., None]).sum(-1)
    ties = (members == observed[..., None]).sum(-1)
    return np.asarray(below + rng.integers(0, ties + 1))


def rank_histogram(ranks: Int[np.ndarray, " case"], members: int) -> Int[np.ndarray, " rank"]:
    """Number of cases of each rank, 0 to M; flat if members are like the truth, U-shaped if they spread too little.

    >>> rank_histogram(np.array([0, 2, 2]), 2)
    array([1, 0, 2])
    """
    return np.bincount(ranks, minlength=members + 1)


def central_interval(members: int, level: float = 0.9) -> CentralInterval:
    """The members that bound the central interval nearest to a level from above, or the outermost ones.

    Between the j-th lowest and the j-th highest of M members lies one more member of the same kind with probability
    (M + 1 - 2 j) / (M + 1); j is the largest with which that is at least the level. Few members never reach it: then
    j = 1, and the interval holds (M - 1) / (M + 1).

    >>> central_interval(39), central_interval(16)
    (CentralInterval(place=2, nominal=0.9), CentralInterval(place=1, nominal=0.8823529411764706))
    """
    # a level that is whole in decimals may lie a rounding error above itself
    place = max(int((members + 1) * (1 - level) / 2 + 1e-9), 1)
    return CentralInterval(place, (members + 1 - 2 * place) / (members + 1))


def covered(ranks: Int[np.ndarray, "*case"], members: int, interval: CentralInterval) -> Bool[np.ndarray, "*case"]:
    """Whether the observed lies in an interval, by its rank: so ties count as often as they would by chance."""
    return (ranks >= interval.place) & (ranks <= members - interval.place)


def spread(variance: Numbers, members: int) -> np.ndarray:
    """Standard deviation that the error of the ensemble mean should have: sqrt((M + 1) / M mean variance).

    If members are like the truth, it equals the root mean squared error of their mean.

    Args:
        variance: mean over cases of the members' variance (divided by M - 1); NaN for one member.
        members: number M of them.

    References:
        Fortin, Abaza, Anctil and Turcotte (2014), Why should ensemble spread match the RMSE of the ensemble mean?,
        doi:10.1175/JHM-D-14-0008.1, equation 15.
    """
    return np.asarray(np.sqrt((members + 1) / members * np.asarray(variance, float)))


def variance(members: Float[np.ndarray, "*case member"]) -> Float[np.ndarray, "*case"]:
    """Unbiased variance over the members; NaN for one."""
    if members.shape[-1] < 2:
        return np.full(members.shape[:-1], np.nan)
    return members.var(-1, ddof=1)


def spread_skill(variance: Numbers, squared_error: Numbers, members: int) -> np.ndarray:
    """Spread over the root mean squared error of the ensemble mean: below 1 the ensemble is too sure of itself.

    Args:
        variance: mean over cases of the members' variance.
        squared_error: mean over cases of the squared error of the members' mean.
        members: number of them.
    """
    return ratio(spread(variance, members), np.sqrt(squared_error))
