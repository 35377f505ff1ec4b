"""Spatial sums: a second pass over a forecast store, at the threshold that was chosen on validation.

Each forecast is seen as a region: what is burned already, and what is forecast from the threshold on. Unknown pixels
belong to neither region. A row stands for the same forecast and lead time as in `ForecastSums`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from emberformer.data.fires import UNKNOWN
from emberformer.evaluate.arrivals import arrival_sums
from emberformer.evaluate.bands import WIDTHS, band_sums
from emberformer.evaluate.boundary_sums import SUMS, boundary_sums
from emberformer.evaluate.fractions import WINDOWS, fraction_sums
from emberformer.evaluate.observed import ObservedForecast, observed_forecasts
from emberformer.evaluate.pooling import REGIONS
from emberformer.evaluate.scored_part import EVERYTHING, ScoredPart


class SpatialSums(NamedTuple):
    """Sums of each forecast at each lead time; what needs a threshold, or a probability, is empty without it."""

    perimeters: Float[np.ndarray, "row region sum"]  # see `boundary_sums`
    fractions: Float[np.ndarray, "row region window part=2"]  # see `fractions`
    arrivals: Float[np.ndarray, "row sum=4"]  # see `arrivals`, over the leads up to this one; 0 at the first
    bands: Float[np.ndarray, "row width sum=3"]  # see `bands`


def spatial_sums_of(
    forecasts: xr.Dataset, fires: xr.Dataset, threshold: float | None, tolerance: int, part: ScoredPart = EVERYTHING
) -> SpatialSums:
    """Sum a forecast store against what was observed.

    Args:
        forecasts: an opened forecast store.
        fires: the opened fires store of the same data set.
        threshold: from this forecast on a pixel is called burned; None: only what needs none is summed.
        tolerance: pixels within which two perimeters agree.
        part: which forecasts and pixels count.
    """
    cell_m, minutes = float(fires.attrs["cell_m"]), float(fires.attrs["seconds_per_frame"]) / 60
    is_probability = forecasts.attrs["score_kind"] == "probability"
    perimeters, fractions, arrivals, bands = [], [], [], []
    each = observed_forecasts(forecasts, fires, "perimeters of", part)
    for _, one_init in groupby(each, lambda one: (one.fire_id, one.init_step)):
        leads = list(one_init)
        if is_probability:
            bands += [band_sums_of(one) for one in leads]
        if threshold is not None:
            regions = [regions_of(one, threshold) for one in leads]
            perimeters += [boundary_sums(*of, tolerance, cell_m) for of in regions]
            fractions += [fraction_sums(*of) for of in regions]
            arrivals += arrivals_of(leads, regions, minutes)
    return SpatialSums(
        np.reshape(np.array(perimeters, float), (-1, len(REGIONS), len(SUMS))),
        np.reshape(np.array(fractions, float), (-1, len(REGIONS), len(WINDOWS), 2)),
        np.reshape(np.array(arrivals, float), (-1, 4)),
        np.reshape(np.array(bands, float), (-1, len(WIDTHS), 3)),
    )


def regions_of(one: ObservedForecast, threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecast, observed and already burned pixels."""
    known = one.known
    burned = known & (one.burned == 1)
    with np.errstate(invalid="ignore"):
        forecast = burned | (known & (one.values >= threshold))
    return forecast, burned | (known & (one.target == 1)), burned


def band_sums_of(one: ObservedForecast) -> Float[np.ndarray, "width sum=3"]:
    """`band_sums` of a forecast."""
    return band_sums(one.values, one.known & ((one.burned == 1) | (one.target == 1)), one.new_fire)


def arrivals_of(
    leads: list[ObservedForecast], regions: list[tuple[np.ndarray, np.ndarray, np.ndarray]], minutes: float
) -> Iterator[Float[np.ndarray, "sum=4"]]:
    """Sums over the leads up to each; zeros at the first."""
    yield np.zeros(4)
    forecast, observed = (np.stack([of[k] for of in regions]) for k in (0, 1))
    open_to_fire = leads[0].burned == 0
    open_to_fire &= leads[0].target != UNKNOWN
    for last in range(1, len(leads)):
        open_to_fire &= leads[last].target != UNKNOWN
        steps = [one.lead for one in leads[: last + 1]]
        yield arrival_sums(forecast[: last + 1], observed[: last + 1], open_to_fire, steps, minutes)
