"""The correlation of the rival ensemble `correlated`, chosen on validation forecasts by the CRPS of the burned area."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.special import ndtri

from emberformer.errors import InputError
from emberformer.evaluate.ensemble_scores import fair_crps
from emberformer.evaluate.observed import ObservedForecast, observed_forecasts
from emberformer.evaluate.rival_ensembles import mixed
from emberformer.evaluate.scored_part import EVERYTHING, ScoredPart
from emberformer.geometry import HECTARE
from emberformer.sampling import evenly_spaced

CORRELATIONS = tuple(round(0.05 * k, 2) for k in range(21))
MOST_FORECASTS = 60  # of a data set, evenly chosen; one of 400 x 400 pixels and 6 leads takes 3 s


class CorrelationFit(NamedTuple):
    """The correlation of least mean fair CRPS, and that CRPS (ha) of each of the correlations that were tried."""

    rho: float
    tried: dict[float, float]


def fit_correlation(
    stores: Sequence[tuple[xr.Dataset, xr.Dataset]],
    members: int,
    seed: int,
    correlations: Sequence[float] = CORRELATIONS,
    most: int = MOST_FORECASTS,
    part: ScoredPart = EVERYTHING,
) -> CorrelationFit:
    """Choose the correlation by the mean over validation forecasts and leads of the fair CRPS of newly burned area.

    All correlations are tried on the same draws.

    Args:
        stores: forecast store of one method and fires store, opened, of each data set.
        members: number of members that are drawn, 2 or more.
        seed: of the draws.
        correlations: what is tried, 0 to 1.
        most: forecasts of a data set that are taken.
        part: pixels whose area is scored, as that of the ensembles is.

    Raises:
        InputError: there is no validation forecast.
    """
    rng = np.random.default_rng(seed)
    scores = []
    for forecasts, fires in stores:
        places = np.flatnonzero(forecasts.split.values == "validation")
        chosen = forecasts.isel(forecast=places[evenly_spaced(len(places), most)])
        hectares = float(fires.attrs["cell_m"]) ** 2 / HECTARE
        each = observed_forecasts(chosen, fires, "fit correlation of", part)
        for _, leads in groupby(each, lambda one: (one.fire_id, one.init_step)):
            scores += list(_scores(list(leads), correlations, members, rng).T * hectares)
    if not scores:
        remedy = "forecast the validation fires, or name a correlation"
        raise InputError("correlation of members", "no validation forecast", "one or more", remedy)
    mean = np.mean(scores, axis=0)
    tried = {float(rho): float(score) for rho, score in zip(correlations, mean, strict=True)}
    return CorrelationFit(min(tried, key=lambda rho: tried[rho]), tried)


def _scores(
    leads: Sequence[ObservedForecast], correlations: Sequence[float], members: int, rng: np.random.Generator
) -> Float[np.ndarray, "rho lead"]:
    """Fair CRPS in pixels of one forecast at each lead that was observed."""
    known = np.stack([one.new_fire for one in leads])
    may_burn = known.any(0)
    highest = np.maximum.accumulate([np.nan_to_num(one.values[may_burn]) for one in leads], axis=0)
    scored = known[:, may_burn]
    burns = np.array([(one.target[known[k]] == 1).sum() for k, one in enumerate(leads)], float)
    limit = -ndtri(highest.astype(np.float32))  # noise above it burns; infinite where the probability is 0
    shared = rng.standard_normal((members, 1), np.float32)
    own = rng.standard_normal((members, limit.shape[1]), np.float32)
    found = [fair_crps(_areas(mixed(shared, own, rho), limit, scored).T.astype(float), burns) for rho in correlations]
    return np.stack(found)


def _areas(
    noise: Float[np.ndarray, "member pixel"], limit: Float[np.ndarray, "lead pixel"], scored: np.ndarray
) -> Int[np.ndarray, "member lead"]:
    """Pixels that burn by each lead."""
    return np.stack([(noise[:, at] > of[at]).sum(1) for of, at in zip(limit, scored, strict=True)], -1)
