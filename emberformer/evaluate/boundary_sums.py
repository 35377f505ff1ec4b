"""Sums of the perimeters of a forecast at its threshold, from which scores of any pool of fires follow.

A forecast is compared as a region: what is burned already, and what is forecast from the threshold on. Unknown pixels
belong to neither region. The region "whole" compares whole perimeters; "new" those parts that moved: pixels of either
perimeter that were not burned at the initial time, each with its distance to the whole perimeter of the other. Where a
front stands still, whole perimeters agree without skill.

Scores of a pool are ratios of sums over its forecasts (never means of ratios): boundary F1 and mean surface distance of
perimeter pixels; the 95th percentile of the Hausdorff distance, the number of isolated pixels and of detached
components as means over forecasts. A forecast in which one of the two has no perimeter has no distance and is left out
of distances; its perimeter pixels count as missed or as false.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from emberformer.evaluate.boundaries import (
    boundary_f1_of_counts,
    detached_components,
    hausdorff_95_of,
    isolated_pixels,
    perimeter_distances,
)
from emberformer.evaluate.pooling import REGIONS, Score
from emberformer.evaluate.scores import ratio
from emberformer.geometry import surroundings

SUMS = (
    "forecast_near", "forecast_pixels", "observed_near", "observed_pixels",  # of perimeters
    "distance_m", "distances", "hausdorff_m", "hausdorffs",
    "isolated", "detached", "forecasts",
)  # fmt: skip
PLACE = {name: number for number, name in enumerate(SUMS)}


def boundary_sums(
    forecast: Bool[np.ndarray, "y x"],
    observed: Bool[np.ndarray, "y x"],
    burned: Bool[np.ndarray, "y x"],
    tolerance: int,
    cell_m: float,
) -> Float[np.ndarray, "region sum"]:
    """Sums of one forecast, computed in the surroundings of the two regions.

    Args:
        forecast: pixels that are forecast to be burned; holds `burned`.
        observed: pixels that burned; holds `burned`.
        burned: pixels that were burned at the initial time.
        tolerance: pixels within which two perimeters agree.
        cell_m: side of a pixel in metres.
    """
    cut = surroundings(forecast | observed, 1)
    burned, forecast, observed = burned[cut], forecast[cut], observed[cut]
    found = np.zeros((len(REGIONS), len(SUMS)))
    found[:, PLACE["forecasts"]] = 1
    if not burned.size:
        return found
    found[:, PLACE["isolated"]] = isolated_pixels(forecast, burned)
    found[:, PLACE["detached"]] = detached_components(forecast, burned)
    distances = perimeter_distances(forecast, observed)
    found[REGIONS.index("whole"), :8] = _of_distances(distances, tolerance, cell_m)
    moved = [np.where(burned, np.nan, values) for values in distances]
    found[REGIONS.index("new"), :8] = _of_distances(moved, tolerance, cell_m)
    return found


def _of_distances(distances: Sequence[np.ndarray], tolerance: int, cell_m: float) -> Float[np.ndarray, "sum=8"]:
    counts = [
        count for values in distances for count in (np.sum(values <= tolerance), np.count_nonzero(~np.isnan(values)))
    ]
    hausdorff = hausdorff_95_of(*distances)
    if np.isnan(hausdorff):
        return np.array([*counts, 0, 0, 0, 0], float)
    total = sum(float(np.nansum(values)) for values in distances)
    return np.array([*counts, total * cell_m, counts[1] + counts[3], hausdorff * cell_m, 1], float)


def boundary_scores_of(
    table: Float[np.ndarray, "F region sum"], weights: Float[np.ndarray, "R F"]
) -> dict[Score, np.ndarray]:
    """Scores of pools of fires, at the threshold chosen on validation.

    Args:
        table: sums of the fires.
        weights: pools.

    Returns:
        Scores [R]; distances in metres; NaN where a pool does not define them.
    """
    pools = np.tensordot(weights, table, 1)
    scores = {}
    for number, region in enumerate(REGIONS):
        of = dict(zip(SUMS, np.moveaxis(pools[:, number], -1, 0), strict=True))
        named = {
            "boundary_f1": boundary_f1_of_counts(
                of["forecast_near"], of["forecast_pixels"], of["observed_near"], of["observed_pixels"]
            ),
            "hausdorff_95_m": ratio(of["hausdorff_m"], of["hausdorffs"]),
            "surface_distance_m": ratio(of["distance_m"], of["distances"]),
            "perimeter_ratio": ratio(of["forecast_pixels"], of["observed_pixels"]),
        }
        if region == "new":
            named["isolated_pixels"] = ratio(of["isolated"], of["forecasts"])
            named["detached_components"] = ratio(of["detached"], of["forecasts"])
        scores |= {Score(region, "validation", metric): values for metric, values in named.items()}
    return scores
