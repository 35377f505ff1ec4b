"""Sampling uncertainty by resampling whole fires: pixels and steps of one fire are not independent, fires are.

A replicate draws as many fires as there are, with replacement, and pools all their pixels. As every score follows from
sums over fires, a replicate is a row of weights (how often each fire was drawn) times the table of sums. Methods are
compared on the same replicates, so that what makes a fire hard for all of them cancels in the difference.

Reference: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapters 6, 8 and 13 (percentile interval).
"""

from __future__ import annotations

import numpy as np

LEVEL = 0.95


def fire_weights(fires: int, replicates: int, seed: int | tuple[int, ...]) -> np.ndarray:
    """How often each fire enters a pool.

    Args:
        fires: number of fires.
        replicates: number of resamples.
        seed: the same seed and number of fires give the same resamples, for every method.

    Returns:
        Weights [1 + replicates, fire]. Row 0 is the sample itself, each fire once; every row adds up to `fires`.
    """
    sample = np.ones((1, fires))
    if not fires:
        return np.repeat(sample, 1 + replicates, axis=0)
    drawn = np.random.default_rng(seed).multinomial(fires, np.full(fires, 1 / fires), size=replicates)
    return np.concatenate([sample, drawn.astype(np.float64)])


def percentile_interval(scores: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval of a score.

    Args:
        scores: the score of the sample, then of each replicate [1 + replicates]; undefined ones (NaN) are left out.
        level: share of the replicates inside the interval.

    Returns:
        Low and high end; NaN if no replicate is defined.
    """
    known = np.sort(scores[1:][~np.isnan(scores[1:])])
    if not known.size:
        return float("nan"), float("nan")
    # a quantile is linear between order statistics; np.nanquantile takes ten times as long
    ends = np.array([(1 - level) / 2, (1 + level) / 2]) * (known.size - 1)
    low, high = np.interp(ends, np.arange(known.size), known)
    return float(low), float(high)
