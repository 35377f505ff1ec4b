"""Scores of pools of fires, many pools at once, from verification sums.

A pool is a row of weights over fires; see `emberformer.evaluate.bootstrap` for what rows there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from emberformer.evaluate.scores import (
    average_precision_of_counts,
    brier_skill_of_sums,
    calibration_error_of_counts,
    contingency_of_counts,
    f1_of_counts,
    frequency_bias_of_counts,
    iou_of_counts,
    precision_of_counts,
    ratio,
    recall_of_counts,
)
from emberformer.evaluate.verification import BINS, CENTRE, RELIABILITY_BINS, ForecastSums, Selection
from emberformer.forecast_store import ScoreKind

REGIONS = ("new", "whole")
POOLS_AT_ONCE = 128  # bounds memory: 128 pools x 2 x 2048 bins x 8 bytes = 4 MB an array


class Score(NamedTuple):
    """Which score: of which pixels, at which threshold ("" = it needs none), which metric."""

    region: str
    threshold: str
    metric: str


class Pools(NamedTuple):
    """Verification sums of pools; `R` pools."""

    count: np.ndarray  # [R, observed, bin] new-fire pixels
    burned: np.ndarray  # [R] pixels already burned
    errors: np.ndarray  # [R, 2]: sums of squared error and of negative log-likelihood
    reliability: np.ndarray  # [R, sum, reliability bin]: number, sum of forecasts, sum of observations

    def region(self, region: str) -> Pools:
        """The same pools over new-fire pixels, or over the whole frame.

        An already burned pixel is forecast and observed as 1: it enters the highest bins and has no error.
        """
        if region == "new":
            return self
        count, of_bin = self.count.copy(), self.reliability.copy()
        count[:, 1, -1] += self.burned
        of_bin[:, :, -1] += self.burned[:, None]
        return self._replace(count=count, reliability=of_bin)


class FireTable(NamedTuple):
    """Verification sums of fires, one group of forecasts at a time; `F` fires."""

    count: np.ndarray  # [F, observed * bin]
    burned: np.ndarray  # [F]
    errors: np.ndarray  # [F, 2]
    reliability: np.ndarray  # [F, sum * reliability bin]
    steps: np.ndarray  # [F]

    def pooled(self, weights: np.ndarray) -> Pools:
        """Sums of pools given as weights [R, F]."""
        return Pools(
            (weights @ self.count).reshape(-1, 2, BINS),
            weights @ self.burned,
            weights @ self.errors,
            (weights @ self.reliability).reshape(-1, 3, RELIABILITY_BINS),
        )


def fire_table(sums: Sequence[ForecastSums], selection: Selection) -> FireTable:
    """Sums of the fires of a split, of several data sets one after the other.

    Args:
        sums: results of `verification.sums_of`, one a data set.
        selection: the forecasts that are added up.
    """
    parts = []
    for of in sums:
        adding = of.by_fire(selection)
        count = csr_array(adding @ of.count)
        parts.append((count.toarray(), adding @ of.burned, adding @ of.errors, adding @ of.reliability, adding.sum(1)))
    return FireTable(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def scores_of(
    table: FireTable,
    weights: np.ndarray,
    kind: ScoreKind,
    threshold_bin: int | None,
    regions: Sequence[str] = REGIONS,
) -> dict[Score, np.ndarray]:
    """All scores of pools of fires.

    Args:
        table: sums of the fires.
        weights: pools [R, F].
        kind: "probability", or "score": then what needs a probability is left out.
        threshold_bin: the lower edge of this bin is the threshold chosen on validation; None if none could be.
        regions: which of `REGIONS`.

    Returns:
        Scores [R] of each kind; NaN where a pool does not define them.
    """
    starts = range(0, max(len(weights), 1), POOLS_AT_ONCE)
    chunks = [_scores(table.pooled(weights[i : i + POOLS_AT_ONCE]), kind, threshold_bin, regions) for i in starts]
    return {score: np.concatenate([chunk[score] for chunk in chunks]) for score in chunks[0]}


def scores_as_trained(
    table: FireTable, weights: np.ndarray, regions: Sequence[str] = REGIONS
) -> dict[Score, np.ndarray]:
    """Brier score, negative log-likelihood and calibration error of pools before calibration.

    Args:
        table: sums of the fires, `ForecastSums.as_trained`.
        weights: pools [R, F].
        regions: which of `REGIONS`.

    Returns:
        Scores [R] whose metrics end in "_as_trained"; NaN where a pool has no pixels.
    """
    pools = table.pooled(weights)
    return {
        Score(region, "", f"{metric}_as_trained"): values
        for region in regions
        for metric, values in _errors_of_probability(pools.region(region)).items()
    }


def choose_threshold(count: np.ndarray) -> int | None:
    """Bin whose lower edge is the threshold of highest F1.

    The lowest edge is no choice, as it calls every pixel burned. Of equal thresholds the one nearest to probability 0.5
    (score 0) is taken.

    Args:
        count: new-fire pixels [observed, bin].

    Returns:
        Index of the bin, or None if no pixel burned.
    """
    if not count[1].sum():
        return None
    f1 = f1_of_counts(*contingency_of_counts(count))[1:]
    best = 1 + np.flatnonzero(f1 == f1.max())
    return int(best[np.abs(best - CENTRE).argmin()])


def thresholds_of(kind: ScoreKind, threshold_bin: int | None) -> dict[str, int]:
    """Name of each threshold of a method -> bin of which it is the lower edge."""
    found = {"0.5": CENTRE} if kind == "probability" else {}
    return found if threshold_bin is None else found | {"validation": threshold_bin}


def _scores(
    pools: Pools, kind: ScoreKind, threshold_bin: int | None, regions: Sequence[str]
) -> dict[Score, np.ndarray]:
    thresholds, scores = thresholds_of(kind, threshold_bin), {}
    for region in regions:
        of_region = pools.region(region)
        count = of_region.count
        pixels = count.sum((1, 2))
        scores[Score(region, "", "prevalence")] = ratio(count[:, 1].sum(-1), pixels)
        scores[Score(region, "", "average_precision")] = average_precision_of_counts(count)
        if kind == "probability":
            errors = _errors_of_probability(of_region)
            scores |= {Score(region, "", metric): values for metric, values in errors.items()}
            skill = brier_skill_of_sums(of_region.errors[:, 0], count[:, 1].sum(-1), pixels)
            scores[Score(region, "", "brier_skill")] = skill
        for name, k in thresholds.items():
            contingency = count[:, 1, k:].sum(-1), count[:, 0, k:].sum(-1), count[:, 1, :k].sum(-1)
            scores[Score(region, name, "f1")] = f1_of_counts(*contingency)
            scores[Score(region, name, "iou")] = iou_of_counts(*contingency)
            scores[Score(region, name, "precision")] = precision_of_counts(*contingency)
            scores[Score(region, name, "recall")] = recall_of_counts(*contingency)
            scores[Score(region, name, "frequency_bias")] = frequency_bias_of_counts(*contingency)
    return scores


def _errors_of_probability(pools: Pools) -> dict[str, np.ndarray]:
    of_bin, pixels = pools.reliability, pools.count.sum((1, 2))
    return {
        "brier": ratio(pools.errors[:, 0], pixels),
        "nll": ratio(pools.errors[:, 1], pixels),
        "ece": calibration_error_of_counts(of_bin[:, 0], of_bin[:, 1], of_bin[:, 2]),
    }
