"""All scores of one forecast, for who has nothing but arrays: no store, no configuration, no bins."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import xarray as xr

from emberformer.data.fires import UNKNOWN
from emberformer.errors import InputError
from emberformer.evaluate import scores
from emberformer.evaluate.areas import area_scores_of
from emberformer.evaluate.arrivals import arrival_scores_of
from emberformer.evaluate.bands import band_scores_of
from emberformer.evaluate.boundary_sums import boundary_scores_of, boundary_sums
from emberformer.evaluate.fractions import fraction_scores_of, fraction_sums
from emberformer.evaluate.observed import ObservedForecast, whole_leads
from emberformer.evaluate.pooling import Score
from emberformer.evaluate.spatial import arrivals_of, band_sums_of, regions_of
from emberformer.geometry import HECTARE

PIXEL_SCORES = {
    "average_precision": scores.average_precision,
    "brier": scores.brier,
    "brier_skill": scores.brier_skill,
    "nll": scores.negative_log_likelihood,
    "ece": scores.expected_calibration_error,
}
THRESHOLD_SCORES = {
    "f1": scores.f1,
    "iou": scores.iou,
    "precision": scores.precision,
    "recall": scores.recall,
    "frequency_bias": scores.frequency_bias,
}
ALONE = np.ones((1, 1))  # a pool of one forecast


def verify(
    forecast: xr.DataArray,
    observed: xr.DataArray,
    burned: xr.DataArray,
    *,
    cell_m: float,
    step_minutes: float,
    threshold: float = 0.5,
    tolerance: int = 2,
) -> pd.DataFrame:
    """Score one forecast against what was observed, by the metrics of scores.csv.

    Args:
        forecast: probability that a pixel is burned at each lead time, 0 to 1, with the dimensions of `burned` and, for
            several lead times, `lead` (steps ahead; 1, 2 ... without such a coordinate).
        observed: what was burned then, of the same dimensions: 1 or true, 0 or false; 255 or NaN = unknown.
        burned: what was burned at the initial time, of the two dimensions y and x; values as in `observed`.
        cell_m: side of a pixel in metres.
        step_minutes: length of a step of `lead`.
        threshold: from this probability on a pixel is called burned.
        tolerance: pixels within which two perimeters agree.

    Returns:
        A row for each lead, region (new fire, whole frame), threshold ("" = it needs none) and metric, with its value;
        NaN = not defined. Arrival times are those up to the lead.

    Raises:
        InputError: the arrays do not belong together, lead times are no whole steps that rise, a probability is none,
            or lacks where the data are known.

    >>> field = xr.DataArray(np.eye(4), dims=("y", "x"))
    >>> table = verify(field * 0.8, field, field * 0, cell_m=30, step_minutes=30)
    >>> table[(table.region == "new") & (table.metric == "nll")].value.round(3).tolist()
    [0.056]
    """
    probability, target, before, leads = _checked(forecast, observed, burned)
    fields = zip(leads, probability, target, strict=True)
    each = [ObservedForecast("", 0, lead, 1, p, o, before) for lead, p, o in fields]
    regions = [regions_of(one, threshold) for one in each]
    found = []
    for one, of_one, arrivals in zip(each, regions, arrivals_of(each, regions, step_minutes), strict=True):
        of_lead = _pixel_scores(one, threshold)
        of_lead |= _area_scores(one, threshold, cell_m)
        of_lead |= band_scores_of(band_sums_of(one)[None], ALONE)
        of_lead |= boundary_scores_of(boundary_sums(*of_one, tolerance, cell_m)[None], ALONE)
        of_lead |= fraction_scores_of(fraction_sums(*of_one)[None], ALONE)
        of_lead |= arrival_scores_of(arrivals[None], ALONE)
        found += [(one.lead, *_named(score, threshold), float(np.squeeze(value))) for score, value in of_lead.items()]
    return pd.DataFrame(found, columns=["lead", *Score._fields, "value"])


def _named(score: Score, threshold: float) -> Score:
    """The score with the threshold that was given in place of one chosen on validation."""
    return score._replace(threshold=f"{threshold:g}") if score.threshold == "validation" else score


def _pixel_scores(one: ObservedForecast, threshold: float) -> dict[Score, float]:
    known, new_fire, probability, target = one.known, one.new_fire, one.values, one.target
    whole = np.where(new_fire, probability, 1.0), np.where(new_fire, target, 1)  # burned stays burned
    of_region = {
        "new": (probability[new_fire], target[new_fire]),
        "whole": tuple(field[known] for field in whole),
    }
    found = {}
    for region, (p, o) in of_region.items():
        found |= {Score(region, "", name): score(p, o) for name, score in PIXEL_SCORES.items()}
        found[Score(region, "", "prevalence")] = float(scores.ratio(o.sum(), o.size))
        found |= {Score(region, "validation", name): score(p, o, threshold) for name, score in THRESHOLD_SCORES.items()}
    return found


def _area_scores(one: ObservedForecast, threshold: float, cell_m: float) -> dict[Score, np.ndarray]:
    p, grown = one.values[one.new_fire], np.count_nonzero(one.target[one.new_fire])
    areas = np.array([p.sum(), np.count_nonzero(p >= threshold), grown], float) * cell_m**2 / HECTARE
    sums = np.array([[1, areas[2], area, abs(area - areas[2])] for area in areas[:2]])
    return area_scores_of(sums[None], ALONE, ["", "validation"])


def _checked(
    forecast: xr.DataArray, observed: xr.DataArray, burned: xr.DataArray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """Probability and target [lead, y, x], burned [y, x] and leads, as plain arrays."""
    remedy = "give arrays of one grid, with a dimension lead where there are several lead times"
    try:
        xr.align(forecast, observed, burned, join="exact")
        lead_first = ("lead", *burned.dims)
        both = [(one if "lead" in one.dims else one.expand_dims("lead")).transpose(*lead_first)
                for one in (forecast, observed)]  # fmt: skip
        xr.align(*both, join="exact")
    except ValueError as error:
        found = f"dimensions {forecast.dims}, {observed.dims} and {burned.dims} of {forecast.shape}, {observed.shape} "
        expected = "forecast and observed with the dimensions and coordinates of burned"
        raise InputError("verify", f"{found}and {burned.shape}: {error}", expected, remedy) from error
    probability, target, before = both[0].values.astype(np.float64), _as_burned(both[1]), _as_burned(burned)
    needed = probability[(before == 0) & (target != UNKNOWN)]
    if not (np.isfinite(needed).all() and (needed >= 0).all() and (needed <= 1).all()):
        found = "a forecast that is missing, or outside 0 to 1, where the data are known"
        raise InputError("verify", found, "probabilities from 0 to 1", "correct the forecast")
    leads = both[0]["lead"].values if "lead" in both[0].coords else np.arange(1, len(probability) + 1)
    return probability, target, before, whole_leads(leads, "verify")


def _as_burned(field: xr.DataArray) -> np.ndarray:
    """0, 1 and 255 = unknown, from flags or from numbers with NaN."""
    values = np.asarray(cast(np.ndarray, field.values), np.float64)
    values = np.where(np.isnan(values), UNKNOWN, values)
    if not np.isin(values, (0, 1, UNKNOWN)).all():
        found = f"values {np.unique(values)[:5]}"
        raise InputError("verify: observed, burned", found, "0, 1, and 255 or NaN = unknown", "correct the array")
    return values.astype(np.uint8)
