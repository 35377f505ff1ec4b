"""Scores of probabilities in a band around the observed perimeter, where forecasts are hard and differ.

The boundary of the observed region at the valid time is the pixels on both sides of it: burned ones with an unburned
pixel above, below, left or right, and unburned ones with a burned pixel there. The band of r pixels holds the pixels
within r of such a one, Euclidean between pixel centres; r = 0 is the boundary itself. It is the trimap of segmentation,
over pixels that are open to new fire: not burned at the initial time, and known. The edge of the raster is no boundary.
An observation without boundary (nothing burned, or everything) has no band.

Reference: Kohli, Ladicky and Torr (2009), Robust higher order potentials for enforcing label consistency,
doi:10.1007/s11263-008-0202-0, section 7.2.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Num

from emberformer.evaluate.boundaries import perimeter
from emberformer.evaluate.pooling import Score
from emberformer.evaluate.scores import log_loss, ratio
from emberformer.geometry import distance_to, surroundings

WIDTHS = tuple(range(11))  # pixels


def boundary(observed: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """Pixels on both sides of the edge of a region."""
    return perimeter(observed) | perimeter(~observed)


def boundary_band(observed: Bool[np.ndarray, "y x"], width: float) -> Bool[np.ndarray, "y x"]:
    """Pixels within `width` pixels of the boundary of a region.

    >>> boundary_band(np.array([[True, True, True, False, False, False]]), 1)
    array([[False,  True,  True,  True,  True, False]])
    """
    return distance_to(boundary(observed)) <= width


def band_sums(
    forecast: Num[np.ndarray, "y x"],
    observed: Bool[np.ndarray, "y x"],
    new_fire: Bool[np.ndarray, "y x"],
) -> Float[np.ndarray, "width sum=3"]:
    """Number of pixels, sum of squared error and sum of negative log-likelihood in the band of every width of `WIDTHS`.

    Args:
        forecast: probability that a pixel is burned; NaN only outside `new_fire`.
        observed: pixels that burned.
        new_fire: pixels that are counted.
    """
    edge = boundary(observed)
    cut = surroundings(edge, WIDTHS[-1])
    distance = distance_to(edge[cut])
    counted = new_fire[cut] & (distance <= WIDTHS[-1])
    probability, burned = forecast[cut][counted].astype(np.float64), observed[cut][counted]
    ring = np.ceil(distance[counted]).astype(np.intp)
    values = np.ones(len(ring)), np.square(probability - burned), log_loss(probability, burned)
    rings = np.stack([np.bincount(ring, of_pixel, len(WIDTHS)) for of_pixel in values], 1)
    return rings.cumsum(0, dtype=np.float64)


def band_scores_of(
    table: Float[np.ndarray, "F width sum=3"], weights: Float[np.ndarray, "R F"]
) -> dict[Score, np.ndarray]:
    """Brier scores and negative log-likelihoods [R] of pools of fires: `band_brier_<r>px`, `band_nll_<r>px`."""
    pixels, *sums = np.moveaxis(np.tensordot(weights, table, 1), -1, 0)
    return {
        Score("new", "", f"band_{name}_{width}px"): ratio(of[:, k], pixels[:, k])
        for name, of in zip(("brier", "nll"), sums, strict=True)
        for k, width in enumerate(WIDTHS)
    }
