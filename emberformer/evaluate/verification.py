"""Verification sums: one pass over a forecast store turns pixels into counts from which every score follows.

For each forecast and lead time the pixels that were not burned at the initial time ("new fire") are counted by
observation (0, 1) and forecast bin. Sums of forecasts are sums of counts, so any pooled score, threshold, group,
stratum or bootstrap resample comes from these counts without reading a pixel again. Few of a forecast's bins hold a
pixel, so the counts are sparse: some kB a forecast.

The whole frame needs one number more. A pixel that is already burned stays burned: it is forecast as 1 and observed as
1, whatever the method, so it lies in the highest bin, is a hit at every threshold and has no error. Where fires go out
no pixel is burned for good: all that are known are forecast and counted, and new fire is the whole frame.

Bins. Probabilities are binned uniformly in logit (1/64 wide, from -16 to 16), scores of kind "score" uniformly in
asinh(score) (9/1024 wide, to about +-4050); values beyond fall in the end bins. 0.5 is exactly a bin edge. Pixels in
one bin are taken as tied, which moves an average precision of probabilities or distances by less than 1e-3 (4e-4 for a
logistic regression on simulated fires; tests/evaluate/test_verification.py measures it against the exact one). Scores
at a threshold on an edge, Brier score, negative log-likelihood and calibration error are exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.sparse import csr_array
from scipy.special import expit, logit

from emberformer.calibration import Calibration
from emberformer.errors import InputError
from emberformer.evaluate.observed import ObservedForecast, mismatch, observed_forecasts, where_of
from emberformer.evaluate.scored_part import EVERYTHING, ScoredPart
from emberformer.evaluate.scores import log_loss, reliability
from emberformer.forecast_store import ScoreKind
from emberformer.geometry import HECTARE

BINS = 2048
CENTRE = BINS // 2  # the bin whose lower edge is probability 0.5, or score 0
BINS_PER_UNIT = {"probability": 64.0, "score": 1024 / 9}
RELIABILITY_BINS = 15


def bin_index(forecast: np.ndarray, score_kind: ScoreKind) -> np.ndarray:
    """Bin of each forecast: bin k holds edge k <= forecast < edge k + 1.

    Args:
        forecast: probabilities, or scores of any range; without NaN.
        score_kind: which of the two.

    Returns:
        Indices from 0 to BINS - 1, of the same shape.
    """
    forecast = forecast.astype(np.float64)
    with np.errstate(divide="ignore"):
        stretched = logit(forecast) if score_kind == "probability" else np.arcsinh(forecast)
    # offset after the floor: a probability just below 0.5 must not be rounded up into the bin above
    return np.clip(np.floor(stretched * BINS_PER_UNIT[score_kind]), -CENTRE, CENTRE - 1).astype(np.intp) + CENTRE


def bin_edges(score_kind: ScoreKind) -> np.ndarray:
    """Lower edge of each bin as a probability or score [bin]; the lowest bin also holds everything below."""
    stretched = (np.arange(BINS) - CENTRE) / BINS_PER_UNIT[score_kind]
    return expit(stretched) if score_kind == "probability" else np.sinh(stretched)


class Selection(NamedTuple):
    """Which forecasts are scored together.

    Args:
        split: "validation" or "test".
        lead: one lead time, or None for all.
        stratum: a column of `ForecastSums.about` and the value in it, or None for all.
    """

    split: str
    lead: int | None = None
    stratum: tuple[str, object] | None = None


class ForecastSums(NamedTuple):
    """Sums of the pixels of one method on one data set: a row for each forecast at each lead time that was observed.

    Args:
        method, dataset, score_kind: as in the forecast store.
        fires: fire_id -> split, sorted by name; a fire may have no row.
        about: what a row is: columns fire_id, split, init_step, lead and history (frames seen; 5 = 5 or more).
        count: new-fire pixels by observation and forecast bin [row, observed * bin], sparse.
        burned: pixels that were burned at the initial time [row].
        errors: of the new-fire pixels, sums of squared error and of negative log-likelihood [row, 2]; NaN for the score
            kind "score".
        reliability: number of new-fire pixels, sum of forecasts, sum of observations [row, sum * reliability bin]; NaN
            for the score kind "score".
        trained_errors, trained_reliability: the same of the forecasts before calibration; NaN for a method that names
            none, and for any lead but 1, as a later one may be a mean over members.
        pixel_ha: area of a pixel in hectares.
        calibration: of the network's logits, as the store says; None: it says nothing.
    """

    method: str
    dataset: str
    score_kind: ScoreKind
    fires: dict[str, str]
    about: pd.DataFrame
    count: csr_array
    burned: np.ndarray
    errors: np.ndarray
    reliability: np.ndarray
    trained_errors: np.ndarray
    trained_reliability: np.ndarray
    pixel_ha: float
    calibration: Calibration | None

    @property
    def as_trained(self) -> ForecastSums:
        """The sums whose errors and reliability are those of the forecasts before calibration."""
        return self._replace(errors=self.trained_errors, reliability=self.trained_reliability)

    def by_fire(self, selection: Selection) -> csr_array:
        """Matrix [fire, row] of ones that adds up the selected rows by fire, for all fires of the split in order."""
        split, lead, stratum = selection
        fires = [fire_id for fire_id, of in self.fires.items() if of == split]
        place = pd.Index(fires).get_indexer(self.about.fire_id)
        chosen = place >= 0
        if lead is not None:
            chosen &= self.about.lead.to_numpy() == lead
        if stratum is not None:
            chosen &= self.about[stratum[0]].to_numpy() == stratum[1]
        rows = np.flatnonzero(chosen)
        return csr_array((np.ones(len(rows)), (place[rows], rows)), shape=(len(fires), len(place)))


def sums_of(forecasts: xr.Dataset, fires: xr.Dataset, part: ScoredPart = EVERYTHING) -> ForecastSums:
    """Sum a forecast store against what was observed, a forecast at a time.

    Args:
        forecasts: an opened forecast store.
        fires: the opened fires store of the same data set.
        part: which forecasts and pixels count.

    Raises:
        InputError: the stores do not belong together, a forecast is missing where the data are known, or a probability
            is none.
    """
    kind: ScoreKind = forecasts.attrs["score_kind"]
    calibration = Calibration.of(forecasts.attrs)
    split_of = dict(zip(forecasts.fire_id.values.tolist(), forecasts.split.values.tolist(), strict=True))
    about, columns, counts, others = [], [], [], []
    for one in observed_forecasts(forecasts, fires, "verify", part):
        count, *of_row = _of_forecast(one, kind, calibration, where_of(forecasts))
        columns.append(np.flatnonzero(count).astype(np.int32))
        counts.append(count[columns[-1]].astype(np.uint32))  # of one forecast: 4e9 pixels in a bin are out of reach
        others.append(of_row)
        about.append((one.fire_id, split_of[one.fire_id], one.init_step, one.lead, one.history))
    errors, of_bins, trained_errors, trained_of_bins = (
        np.array([of_row[place] for of_row in others]).reshape(-1, width)
        for place, width in enumerate(2 * (2, 3 * RELIABILITY_BINS), 1)
    )
    starts = np.cumsum([0, *map(len, columns)])
    data, places = (np.concatenate([np.empty(0, dtype), *of]) for of, dtype in ((counts, "u4"), (columns, "i4")))
    return ForecastSums(
        forecasts.attrs["method"],
        forecasts.attrs["dataset"],
        kind,
        dict(sorted(split_of.items())),
        pd.DataFrame(about, columns=["fire_id", "split", "init_step", "lead", "history"]),
        csr_array((data, places, starts), shape=(len(about), 2 * BINS)),
        np.array([of_row[0] for of_row in others], np.float64),
        errors,
        of_bins,
        trained_errors,
        trained_of_bins,
        float(fires.attrs["cell_m"]) ** 2 / HECTARE,
        calibration,
    )


def _of_forecast(
    one: ObservedForecast, kind: ScoreKind, calibration: Calibration | None, where: str
) -> tuple[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Count [observed * bin], pixels burned before, errors and reliability of one forecast, and these as trained."""
    known, new_fire = one.known, one.new_fire
    forecast, target = one.values[new_fire], one.target[new_fire]
    low, high = (forecast.min(), forecast.max()) if forecast.size else (0, 0)
    if np.isnan(low):
        raise mismatch(where, f"no forecast (NaN) for known pixels of {one.fire_id} from step {one.init_step}")
    if kind == "probability" and (low < 0 or high > 1):
        raise InputError(
            where, f"probabilities from {low:g} to {high:g} for {one.fire_id} from step {one.init_step}", "0 to 1",
            "write probabilities, or set the store's attribute score_kind to 'score'",
        )  # fmt: skip
    place = bin_index(forecast, kind) + BINS * target.astype(np.intp)
    count = np.bincount(place, minlength=2 * BINS)
    burned = int(np.count_nonzero(known) - np.count_nonzero(new_fire))
    undefined = np.full(2, np.nan), np.full(3 * RELIABILITY_BINS, np.nan)
    if kind == "score":
        return count, burned, *undefined, *undefined
    forecast = forecast.astype(np.float64)
    found = _errors_and_reliability(forecast, target)
    if calibration is None or one.lead != 1:
        return count, burned, *found, *undefined
    with np.errstate(divide="ignore"):
        trained = expit(calibration.as_trained(logit(forecast)))
    return count, burned, *found, *_errors_and_reliability(trained, target)


def _errors_and_reliability(forecast: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    errors = np.array([np.square(forecast - target).sum(), log_loss(forecast, target).sum()])
    return errors, np.concatenate(reliability(forecast, target, RELIABILITY_BINS))
