"""Verification scores as pure functions: of pixels, and of counts that can be summed over fires and resampled.

Every score of pixels takes `forecast, observed`, two arrays of one shape:

    forecast   probability that a pixel is burned, 0 to 1 (for `average_precision` any score that rises with it)
    observed   1 burned, 0 not burned, 255 unknown

Pixels with an unknown observation or a NaN forecast are left out. A score that is not defined on what remains (nothing
observed, nothing forecast) is NaN: never 0 and never 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emberformer.data.fires import UNKNOWN

Pixels = np.ndarray | Sequence[float | int]
Numbers = np.ndarray | np.generic | float | int
CLIP = 1e-6  # lowest and highest probability, as its distance from 0 and 1, of a negative log-likelihood


def average_precision(forecast: Pixels, observed: Pixels) -> float:
    """Area under the precision-recall steps, without interpolation.

    AP = sum_k (R_k - R_(k-1)) P_k over the distinct forecast values from the highest down, with recall R and precision
    P; pixels of one value enter together.

    Returns:
        AP, 0 to 1. A forecast without skill scores the prevalence of burned pixels. NaN if no pixel burned.

    References:
        Davis and Goadrich (2006), The relationship between precision-recall and ROC curves,
        doi:10.1145/1143844.1143874; `sklearn.metrics.average_precision_score`.

    >>> average_precision([0.9, 0.8, 0.1], [1, 0, 1])
    0.8333333333333333
    """
    forecast, observed = _known(forecast, observed)
    values, place = np.unique(forecast, return_inverse=True)
    counts = [np.bincount(place[observed == outcome], minlength=max(len(values), 1)) for outcome in (0, 1)]
    return float(average_precision_of_counts(np.stack(counts)))


def precision(forecast: Pixels, observed: Pixels, threshold: float = 0.5) -> float:
    """Share of the pixels forecast as burned (forecast >= threshold) that burned: hits / (hits + false alarms).

    Returns:
        0 to 1; NaN if no pixel is forecast as burned.
    """
    return float(precision_of_counts(*contingency(forecast, observed, threshold)))


def recall(forecast: Pixels, observed: Pixels, threshold: float = 0.5) -> float:
    """Share of the burned pixels that were forecast as burned (forecast >= threshold): hits / (hits + misses).

    Returns:
        0 to 1; NaN if no pixel burned.
    """
    return float(recall_of_counts(*contingency(forecast, observed, threshold)))


def f1(forecast: Pixels, observed: Pixels, threshold: float = 0.5) -> float:
    """Harmonic mean of precision and recall: 2 hits / (2 hits + false alarms + misses).

    Returns:
        0 to 1; NaN if no pixel burned and none is forecast as burned.

    >>> f1([0.9, 0.8, 0.1], [1, 0, 1])
    0.5
    """
    return float(f1_of_counts(*contingency(forecast, observed, threshold)))


def iou(forecast: Pixels, observed: Pixels, threshold: float = 0.5) -> float:
    """Intersection over union (critical success index): hits / (hits + false alarms + misses).

    Returns:
        0 to 1; NaN if no pixel burned and none is forecast as burned.
    """
    return float(iou_of_counts(*contingency(forecast, observed, threshold)))


def frequency_bias(forecast: Pixels, observed: Pixels, threshold: float = 0.5) -> float:
    """Area forecast as burned over the area that burned: (hits + false alarms) / (hits + misses).

    Returns:
        0 or more; above 1 too much fire is forecast. NaN if no pixel burned.

    References:
        Wilks (2019), Statistical methods in the atmospheric sciences, 4th edition, section 9.2.2.
    """
    return float(frequency_bias_of_counts(*contingency(forecast, observed, threshold)))


def brier(forecast: Pixels, observed: Pixels) -> float:
    """Mean squared error of a probability: mean (forecast - observed)^2.

    Returns:
        0 (perfect) to 1; NaN without pixels.

    References:
        Brier (1950), Verification of forecasts expressed in terms of probability, Mon. Weather Rev. 78, 1-3.
    """
    forecast, observed = _known(forecast, observed)
    return float(ratio(np.square(forecast - observed).sum(), forecast.size))


def brier_skill(forecast: Pixels, observed: Pixels) -> float:
    """Brier skill score against the climatology of these pixels: 1 - Brier score / (o (1 - o)), o = share that burned.

    The reference forecasts o everywhere, which it could only know afterwards.

    Returns:
        1 (perfect) and less; 0 as good as the reference. NaN if no pixel burned, or all did.

    References:
        Wilks (2019), Statistical methods in the atmospheric sciences, 4th edition, section 9.4.2.
    """
    of_known, burned = _known(forecast, observed)
    return float(brier_skill_of_sums(np.square(of_known - burned).sum(), burned.sum(), burned.size))


def negative_log_likelihood(forecast: Pixels, observed: Pixels) -> float:
    """Mean logarithmic score in nats: mean of -log of the probability given to what was observed.

    Probabilities are clipped to CLIP and 1 - CLIP first, so that a sure error costs 13.8 and not infinitely much.

    Returns:
        0 (perfect) to 13.8; NaN without pixels.

    References:
        Good (1952), Rational decisions, J. R. Stat. Soc. B 14, 107-114.
    """
    forecast, observed = _known(forecast, observed)
    return float(ratio(log_loss(forecast, observed).sum(), forecast.size))


def expected_calibration_error(forecast: Pixels, observed: Pixels, bins: int = 15) -> float:
    """Mean distance between forecast probability and observed frequency, over equal bins of probability.

    ECE = sum_b n_b / n |mean forecast_b - observed frequency_b| over bins [b / bins, (b + 1) / bins), the last closed.

    Returns:
        0 (calibrated) to 1; NaN without pixels.

    References:
        Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning, AAAI-29.
    """
    forecast, observed = _known(forecast, observed)
    return float(calibration_error_of_counts(*reliability(forecast, observed, bins)))


def contingency(forecast: Pixels, observed: Pixels, threshold: float) -> tuple[int, int, int]:
    """Hits, false alarms and misses in pixels; a pixel is forecast as burned if forecast >= threshold."""
    forecast, observed = _known(forecast, observed)
    forecast_burned, observed_burned = forecast >= threshold, observed == 1
    hits = int(np.count_nonzero(forecast_burned & observed_burned))
    return hits, int(np.count_nonzero(forecast_burned)) - hits, int(np.count_nonzero(observed_burned)) - hits


def reliability(
    forecast: np.ndarray, observed: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of a reliability diagram over equal bins of probability.

    Args:
        forecast: probability of known pixels [pixel].
        observed: 0 or 1 [pixel].
        bins: number of bins.

    Returns:
        Number of pixels, sum of the forecasts and sum of the observations in each bin [bin].
    """
    place = np.minimum((forecast * bins).astype(np.intp), bins - 1)
    count = np.bincount(place, minlength=bins)
    return count, np.bincount(place, forecast, bins), np.bincount(place, observed, bins)


def log_loss(forecast: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of each known pixel, clipped; see `negative_log_likelihood`."""
    given = np.where(observed == 1, forecast, 1 - forecast)
    return -np.log(np.clip(given, CLIP, 1 - CLIP))


def average_precision_of_counts(counts: np.ndarray) -> np.ndarray:
    """Average precision from a histogram of the forecasts; pixels of one bin count as tied.

    Args:
        counts: pixels by observation and forecast bin, bins rising [..., observed 0/1, bin].

    Returns:
        AP [...]; NaN where no pixel burned.
    """
    alarms, hits = (np.cumsum(counts[..., outcome, ::-1], axis=-1, dtype=np.float64) for outcome in (0, 1))
    alarms += hits
    precisions = np.divide(hits, alarms, out=np.zeros_like(hits), where=alarms > 0)
    return ratio((counts[..., 1, ::-1] * precisions).sum(-1), hits[..., -1])


def contingency_of_counts(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, false alarms and misses if every pixel from a bin up is forecast as burned, for each bin.

    Args:
        counts: pixels by observation and forecast bin, bins rising [..., observed 0/1, bin].

    Returns:
        Three arrays [..., bin]; entry k is for the threshold at the lower edge of bin k.
    """
    false_alarms, hits = (np.cumsum(counts[..., outcome, ::-1], axis=-1)[..., ::-1] for outcome in (0, 1))
    return hits, false_alarms, hits[..., :1] - hits


def precision_of_counts(hits: Numbers, false_alarms: Numbers, misses: Numbers) -> np.ndarray:
    """See `precision`; of arrays of any shape. `misses` is there so that all take the same counts."""
    del misses
    return ratio(hits, np.add(hits, false_alarms))


def recall_of_counts(hits: Numbers, false_alarms: Numbers, misses: Numbers) -> np.ndarray:
    """See `recall`; of arrays of any shape. `false_alarms` is there so that all take the same counts."""
    del false_alarms
    return ratio(hits, np.add(hits, misses))


def f1_of_counts(hits: Numbers, false_alarms: Numbers, misses: Numbers) -> np.ndarray:
    """See `f1`; of arrays of any shape."""
    twice = np.multiply(2, hits)
    return ratio(twice, np.add(twice, false_alarms) + misses)


def iou_of_counts(hits: Numbers, false_alarms: Numbers, misses: Numbers) -> np.ndarray:
    """See `iou`; of arrays of any shape."""
    return ratio(hits, np.add(hits, false_alarms) + misses)


def frequency_bias_of_counts(hits: Numbers, false_alarms: Numbers, misses: Numbers) -> np.ndarray:
    """See `frequency_bias`; of arrays of any shape."""
    return ratio(np.add(hits, false_alarms), np.add(hits, misses))


def brier_skill_of_sums(squared_error: Numbers, burned: Numbers, pixels: Numbers) -> np.ndarray:
    """See `brier_skill`; of a sum of squared errors, and of numbers of pixels."""
    # as numbers of pixels, so that a share of 0 or 1 gives exactly no variance
    variance = ratio(np.multiply(burned, np.subtract(pixels, burned)), pixels)
    return np.asarray(1 - ratio(squared_error, variance))


def calibration_error_of_counts(count: np.ndarray, forecast_sum: np.ndarray, observed_sum: np.ndarray) -> np.ndarray:
    """See `expected_calibration_error`; of the sums that `reliability` gives [..., bin]."""
    return ratio(np.abs(forecast_sum - observed_sum).sum(-1), np.sum(count, -1))


def ratio(part: Numbers, whole: Numbers) -> np.ndarray:
    """Quotient of two arrays, NaN where `whole` is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)


def _known(forecast: Pixels, observed: Pixels) -> tuple[np.ndarray, np.ndarray]:
    """Known pixels [pixel] as float64, so that the choice of storage decides no score."""
    forecast, observed = np.asarray(forecast, np.float64), np.asarray(observed, np.float64)
    if forecast.shape != observed.shape:
        raise ValueError(f"forecast {forecast.shape} and observed {observed.shape} must have one shape")
    known = (observed != UNKNOWN) & ~np.isnan(forecast)
    return forecast[known], observed[known]
