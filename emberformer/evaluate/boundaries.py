"""Scores of a perimeter as pure functions: how far the forecast edge of a fire lies from the observed one.

All take two regions `forecast, observed` (true = burned, [y, x]) and compare their perimeters. A region's perimeter is
its pixels that have an unburned pixel above, below, left or right. The edge of the raster is no perimeter: what lies
beyond is not known. Distances are Euclidean, between pixel centres.

A region without perimeter (nothing burned, or everything) has no distance to another: NaN, never 0 and never infinite.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_erosion, convolve, label

from emberformer.evaluate.scores import Numbers, ratio
from emberformer.geometry import distance_to

Region = Bool[np.ndarray, "y x"]
AROUND = np.ones((3, 3), int)  # a pixel and its eight neighbours


def perimeter(region: Region) -> Region:
    """Pixels of a region with an unburned pixel above, below, left or right.

    >>> perimeter(np.ones((3, 3), bool)).any()
    np.False_
    """
    return region & ~binary_erosion(region, border_value=1)


def perimeter_distances(
    forecast: Region, observed: Region
) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"]]:
    """Distances in pixels: of each pixel of the forecast perimeter to the observed one, and the other way round.

    Returns:
        Two arrays, NaN off the perimeter that they are about; infinite where the other region has none.
    """
    edges = perimeter(forecast), perimeter(observed)
    to_observed = np.where(edges[0], distance_to(edges[1]), np.nan)
    return to_observed, np.where(edges[1], distance_to(edges[0]), np.nan)


def boundary_f1(forecast: Region, observed: Region, tolerance: float) -> float:
    """Harmonic mean of the shares of either perimeter that lie within a tolerance of the other.

    Args:
        forecast: pixels that are forecast to be burned.
        observed: pixels that burned.
        tolerance: in pixels; a distance that equals it is within.

    Returns:
        0 to 1; 0 where only one has a perimeter, NaN where neither has.

    References:
        Csurka, Larlus and Perronnin (2013), What is a good evaluation measure for semantic segmentation?, BMVC,
        doi:10.5244/C.27.32.
    """
    counts = [part for d in perimeter_distances(forecast, observed) for part in (np.sum(d <= tolerance), _count(d))]
    return float(boundary_f1_of_counts(*counts))


def hausdorff_95(forecast: Region, observed: Region) -> float:
    """Larger of the two 95th percentiles of the distances between perimeters, in pixels.

    Returns:
        0 or more; NaN where one has no perimeter.

    References:
        Huttenlocher, Klanderman and Rucklidge (1993), Comparing images using the Hausdorff distance,
        doi:10.1109/34.232073 (the percentile in place of the maximum).
    """
    return hausdorff_95_of(*perimeter_distances(forecast, observed))


def mean_surface_distance(forecast: Region, observed: Region) -> float:
    """Mean distance in pixels of all pixels of both perimeters to the other one.

    Returns:
        0 or more; NaN where one has no perimeter.
    """
    known = [values[~np.isnan(values)] for values in perimeter_distances(forecast, observed)]
    distances = np.concatenate(known)
    return float(distances.mean()) if np.isfinite(distances).all() and distances.size else float("nan")


def isolated_pixels(forecast: Region, burned: Region) -> int:
    """Pixels of the forecast area without another one, or one that is burned already, among their eight neighbours."""
    neighbours = convolve((forecast | burned).astype(np.int8), AROUND, mode="constant")
    return int(np.count_nonzero(forecast & ~burned & (neighbours == 1)))


def detached_components(forecast: Region, burned: Region) -> int:
    """Parts of the forecast area, connected over edges or corners, that hold no pixel which is burned already."""
    parts, count = label(forecast | burned, AROUND)  # type: ignore[misc]
    return int(count) - len(np.unique(parts[burned]))


def hausdorff_95_of(*distances: Float[np.ndarray, "y x"]) -> float:
    """Largest 95th percentile of several sets of distances, each NaN off its perimeter; sets without any are left out.

    Returns:
        NaN where no set has a distance, or one is infinite.
    """
    known = [values[~np.isnan(values)] for values in distances]
    if not any(values.size for values in known) or any(np.isinf(values).any() for values in known):
        return float("nan")
    return max(float(np.percentile(values, 95)) for values in known if values.size)


def boundary_f1_of_counts(
    forecast_near: Numbers,
    forecast_pixels: Numbers,
    observed_near: Numbers,
    observed_pixels: Numbers,
) -> np.ndarray:
    """`boundary_f1` from numbers of perimeter pixels, and of those within the tolerance, of any shape."""
    precision = ratio(forecast_near, forecast_pixels)
    recall = ratio(observed_near, observed_pixels)
    both = np.nan_to_num(precision) + np.nan_to_num(recall)
    f1 = np.nan_to_num(ratio(2 * np.nan_to_num(precision) * np.nan_to_num(recall), both))
    return np.where(np.isnan(precision) & np.isnan(recall), np.nan, f1)


def _count(distances: np.ndarray) -> int:
    return int(np.count_nonzero(~np.isnan(distances)))
