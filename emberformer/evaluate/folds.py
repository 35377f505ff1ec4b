"""Scores of a cross-validation: pooled over all pixels of a fold's test, then mean and spread over the folds.

This is how WildfireSpreadTS is scored (Gerard et al. 2023, https://openreview.net/forum?id=RgdGkPRQ03): one average
precision a fold, over the pixels of all test samples together, and the mean and standard deviation of 12 folds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from emberformer.data.fires import UNKNOWN
from emberformer.evaluate.scores import f1_of_counts, iou_of_counts, precision_of_counts, ratio, recall_of_counts


class PooledScores(NamedTuple):
    """Of all pixels together; the last four forecast a pixel as burned if its probability is above 0.5."""

    average_precision: float
    f1: float
    precision: float
    recall: float
    iou: float
    prevalence: float


def pooled_scores(samples: Iterable[tuple[np.ndarray, np.ndarray]]) -> PooledScores:
    """Scores over the pixels of all samples, each pixel counting the same.

    All forecasts are held in memory as float32, so that average precision is exact.

    Args:
        samples: forecast probability and observation (1 burned, 0 not, 255 unknown) of each sample, of one shape.

    Returns:
        Scores, NaN where they are not defined; unknown pixels and NaN forecasts do not count.
    """
    burned: list[np.ndarray] = []
    unburned: list[np.ndarray] = []
    for forecast, observed in samples:
        if forecast.shape != observed.shape:
            raise ValueError(f"forecast {forecast.shape} and observed {observed.shape} must have one shape")
        known = (observed != UNKNOWN) & ~np.isnan(forecast)
        burned.append(forecast[known & (observed == 1)].astype("float32"))
        unburned.append(forecast[known & (observed == 0)].astype("float32"))
    of_burned, of_unburned = (np.sort(np.concatenate([np.empty(0, "float32"), *parts])) for parts in (burned, unburned))
    counts = (int((of_burned > 0.5).sum()), int((of_unburned > 0.5).sum()), int((of_burned <= 0.5).sum()))
    return PooledScores(
        average_precision=_average_precision(of_burned, of_unburned),
        f1=float(f1_of_counts(*counts)),
        precision=float(precision_of_counts(*counts)),
        recall=float(recall_of_counts(*counts)),
        iou=float(iou_of_counts(*counts)),
        prevalence=float(ratio(len(of_burned), len(of_burned) + len(of_unburned))),
    )


def _average_precision(of_burned: Float32[np.ndarray, " hit"], of_unburned: Float32[np.ndarray, " alarm"]) -> float:
    """See `scores.average_precision`; of the sorted forecasts of both kinds of pixels. Recall rises at burned ones."""
    values, times = np.unique(of_burned, return_counts=True)
    hits = len(of_burned) - np.searchsorted(of_burned, values)
    alarms = len(of_unburned) - np.searchsorted(of_unburned, values)
    return float(ratio((times * ratio(hits, hits + alarms)).sum(), len(of_burned)))


def over_folds(scores: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (of the sample, n - 1) over folds.

    >>> over_folds([1, 2, 3])
    (2.0, 1.0)
    """
    return float(np.mean(scores)), float(np.std(scores, ddof=1))
