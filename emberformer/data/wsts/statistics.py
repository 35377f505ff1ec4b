"""Mean and standard deviation of the bands over the training years of the WildfireSpreadTS protocol."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from emberformer.data.wsts.bands import BANDS, PLACE
from emberformer.data.wsts.days import Day

ANGLES = [PLACE[name] for name in ("wind_direction", "aspect_deg", "forecast_wind_direction")]
AS_THEY_ARE = [*ANGLES, PLACE["landcover"]]


@dataclass(frozen=True)
class Statistics:
    """Of each band of the source: mean and standard deviation, in its unit."""

    mean: Float32[np.ndarray, " band"]
    std: Float32[np.ndarray, " band"]


def band_statistics(days: Iterable[Day]) -> Statistics:
    """Statistics over all pixels of all days, in one pass.

    NaN does not count. The hour of the active fire counts where there was a detection, so that its mean is that of
    detections: in features, no fire lies far below zero. Directions and land cover get mean 0 and standard deviation 1.
    Nothing divides by zero: a band of one value gets a standard deviation of 1, one that is nowhere known a mean of 0
    as well.

    Args:
        days: all days of the training years.

    Returns:
        Mean and standard deviation (of the population) of the 23 bands.

    References:
        Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance: analysis and recommendations,
        The American Statistician 37, doi:10.1080/00031305.1983.10483115.
    """
    count, mean, squares = np.zeros(len(BANDS)), np.zeros(len(BANDS)), np.zeros(len(BANDS))
    for day in days:
        values = day.bands.reshape(len(BANDS), -1).astype("float64")
        values[-1, day.burned.ravel() == 0] = np.nan
        known = np.isfinite(values)
        own_count = known.sum(1)
        own_mean = np.where(known, values, 0).sum(1) / np.maximum(own_count, 1)
        own_squares = np.where(known, (values - own_mean[:, None]) ** 2, 0).sum(1)
        total = np.maximum(count + own_count, 1)
        away = own_mean - mean
        squares += own_squares + away**2 * count * own_count / total
        mean += away * own_count / total
        count += own_count
    std = np.sqrt(squares / np.maximum(count, 1))
    mean[AS_THEY_ARE], std[AS_THEY_ARE] = 0, 1
    return Statistics(mean.astype("float32"), np.where(std > 0, std, 1).astype("float32"))
