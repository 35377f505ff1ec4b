"""Errors of the newly burned area of a forecast, in hectares and relative to what burned.

The forecast area is that of the pixels from a threshold on, or without threshold the expected area: the sum of the
probabilities. Only pixels that were not burned at the initial time count; what is burned already is no error.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from emberformer.evaluate.pooling import Score
from emberformer.evaluate.scores import ratio
from emberformer.evaluate.verification import BINS, RELIABILITY_BINS, ForecastSums


def area_sums(sums: ForecastSums, thresholds: Mapping[str, int]) -> Float[np.ndarray, "row threshold sum=4"]:
    """Sums of each forecast: 1, observed area, forecast area, absolute difference of the two (hectares).

    Args:
        sums: of its pixels.
        thresholds: name of a threshold -> bin of which it is the lower edge. Before them stands, for probabilities, the
            expected area.
    """
    observed = np.asarray(sums.count[:, BINS:].sum(1), float) * sums.pixel_ha
    forecast = []
    if sums.score_kind == "probability":
        forecast.append(sums.reliability[:, RELIABILITY_BINS : 2 * RELIABILITY_BINS].sum(1))
    forecast += [sums.count[:, k:BINS].sum(1) + sums.count[:, BINS + k :].sum(1) for k in thresholds.values()]
    areas = np.reshape(np.array(forecast, float), (len(forecast), len(observed))).T * sums.pixel_ha
    both = np.broadcast_arrays(1.0, observed[:, None], areas, np.abs(areas - observed[:, None]))
    return np.stack(both, -1)


def area_scores_of(
    table: Float[np.ndarray, "F threshold sum=4"], weights: Float[np.ndarray, "R F"], thresholds: list[str]
) -> dict[Score, np.ndarray]:
    """Scores [R] of pools of fires for each threshold, "" = the expected area.

    `area_bias_ha`: mean of forecast minus observed area of a forecast; `area_mae_ha`: mean absolute difference;
    `area_bias_relative`: the sum of the differences over the area that burned.
    """
    scores = {}
    for k, name in enumerate(thresholds):
        forecasts, observed, forecast, absolute = (weights @ table[:, k]).T
        scores[Score("new", name, "area_bias_ha")] = ratio(forecast - observed, forecasts)
        scores[Score("new", name, "area_mae_ha")] = ratio(absolute, forecasts)
        scores[Score("new", name, "area_bias_relative")] = ratio(forecast - observed, observed)
    return scores
