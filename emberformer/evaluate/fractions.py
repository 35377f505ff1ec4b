"""Fractions skill score: how large a neighbourhood must be for the burned share in it to be forecast well.

The fraction of a pixel is the share of burned pixels in the square window around it, P_f of the forecast and P_o of the
observation. Over all pixels of the raster

    FSS = 1 - sum (P_f - P_o)^2 / (sum P_f^2 + sum P_o^2)

What lies beyond the raster counts as unburned. A window of one pixel compares pixel by pixel: FSS is F1 then.

Reference: Roberts and Lean (2008), Scale-selective verification of rainfall accumulations from high-resolution
forecasts of convective events, doi:10.1175/2007MWR2123.1; pools of forecasts by sums of either part: Mittermaier
(2021), doi:10.1175/MWR-D-18-0106.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from emberformer.evaluate.pooling import REGIONS, Score
from emberformer.evaluate.scores import Numbers, ratio
from emberformer.geometry import surroundings

WINDOWS = (1, 3, 5, 9, 17)  # sides in pixels, odd
REACH = WINDOWS[-1] // 2


def fractions_skill_score(forecast: Bool[np.ndarray, "y x"], observed: Bool[np.ndarray, "y x"], window: int) -> float:
    """Fractions skill score of two regions (true = burned).

    Args:
        forecast: pixels that are forecast to be burned.
        observed: pixels that burned.
        window: side of the neighbourhood in pixels, odd.

    Returns:
        0 to 1 (perfect); NaN where nothing burned and nothing is forecast.

    >>> fractions_skill_score(np.eye(3, dtype=bool), np.eye(3, dtype=bool), 3)
    1.0
    """
    products = _products(np.stack([forecast, observed]), (window,))[0]
    return float(1 - ratio(_squared_difference(products), np.trace(products)))


def fraction_sums(
    forecast: Bool[np.ndarray, "y x"], observed: Bool[np.ndarray, "y x"], burned: Bool[np.ndarray, "y x"]
) -> Float[np.ndarray, "region window part=2"]:
    """Both sums of the score, sum (P_f - P_o)^2 and sum P_f^2 + sum P_o^2, for every window of `WINDOWS`.

    Args:
        forecast: pixels that are forecast to be burned; holds `burned`.
        observed: pixels that burned; holds `burned`.
        burned: pixels that were burned at the initial time; they are no part of the region "new".
    """
    cut = surroundings(forecast | observed, REACH)  # no window beyond holds a burned pixel
    forecast, observed, burned = forecast[cut], observed[cut], burned[cut]
    products = _products(np.stack([forecast & ~burned, observed & ~burned, burned]), WINDOWS)
    error = _squared_difference(products)  # what was burned before cancels: one error for both regions
    new = products[:, 0, 0] + products[:, 1, 1]
    whole = new + 2 * (products[:, 0, 2] + products[:, 1, 2] + products[:, 2, 2])
    reference = {"new": new, "whole": whole}
    return np.stack([np.stack([error, reference[region]], 1) for region in REGIONS])


def fraction_scores_of(
    table: Float[np.ndarray, "F region window part=2"], weights: Float[np.ndarray, "R F"]
) -> dict[Score, np.ndarray]:
    """Fractions skill scores [R] of pools of fires, at the threshold chosen on validation: `fss_<window>px`."""
    error, reference = np.moveaxis(np.tensordot(weights, table, 1), -1, 0)
    skill = 1 - ratio(error, reference)
    return {
        Score(region, "validation", f"fss_{window}px"): skill[:, place, k]
        for place, region in enumerate(REGIONS)
        for k, window in enumerate(WINDOWS)
    }


def _products(
    regions: Bool[np.ndarray, "region y x"], windows: Sequence[int]
) -> Float[np.ndarray, "window region region"]:
    """Sums over all pixels of the product of the fractions of two regions, for each pair and window."""
    pad = max(windows) // 2
    edges = ((0, 0), (pad + 1, pad), (pad + 1, pad))
    totals = np.pad(regions.astype(np.int32), edges).cumsum(1, dtype=np.int32).cumsum(2, dtype=np.int32)
    found = []
    for window in windows:
        skip = pad - window // 2  # so that window k lies around pixel k
        of_window = totals[:, skip : totals.shape[1] - skip, skip : totals.shape[2] - skip]
        rows = of_window[:, window:] - of_window[:, :-window]
        burned = (rows[:, :, window:] - rows[:, :, :-window]).reshape(len(regions), -1).astype(np.float64)
        found.append(burned @ burned.T / window**4)
    return np.stack(found)


def _squared_difference(products: np.ndarray) -> Numbers:
    """Sum of the squared differences of the first two regions' fractions."""
    return products[..., 0, 0] + products[..., 1, 1] - 2 * products[..., 0, 1]
