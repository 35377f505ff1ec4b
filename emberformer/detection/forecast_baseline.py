"""The rival of a detector: connected pieces of a thresholded forecast, as fronts and spots of the next step.

It needs no boxes to learn from, so a detector of coming fire has shown skill only where it beats this. Boxes are of the
burned frames. Where a source has a target of its own (`target_kind: cumulative`) forecasts are of that target, which
runs ahead of the frames: the threshold is chosen for the frames, and that is all that makes the rival fit them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float, UInt8
from scipy.ndimage import mean

from emberformer.detection.coco_metrics import coco_scores
from emberformer.detection.fire_objects import KINDS, ClusterRule, fire_objects, objects_new_in
from emberformer.detection.found import Detections, Objects
from emberformer.errors import InputError

CATEGORIES = tuple(f"{kind}_next" for kind in KINDS)
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class ForecastFrame(NamedTuple):
    """One forecast of the next step, and what came.

    Args:
        fire_id: name of the fire.
        init_step: newest frame that the forecast saw.
        probability: of being burned one step later, NaN = unknown.
        burned: in the newest frame.
        told: objects that were new one step later.
    """

    fire_id: str
    init_step: int
    probability: Float[np.ndarray, "y x"]
    burned: UInt8[np.ndarray, "y x"]
    told: Objects


class ForecastBaseline(NamedTuple):
    """The rival with its threshold.

    Args:
        threshold: of the probability.
        validation: threshold -> mean AP50 over the categories that validation fires have.
        frames: of the test.
        found: detections in each of them.
    """

    threshold: float
    validation: dict[float, float]
    frames: list[ForecastFrame]
    found: list[Detections]


def forecast_detections(
    probability: Float[np.ndarray, "y x"], burned: UInt8[np.ndarray, "y x"], threshold: float, rule: ClusterRule
) -> Detections:
    """Objects that a forecast speaks of, told apart and joined by the rule that the truth follows.

    Args:
        probability: of being burned one step later, NaN = unknown.
        burned: in the newest frame.
        threshold: pixels from this probability on are new fire.
        rule: what makes an object.

    Returns:
        Labels of `CATEGORIES`; the score of an object is the mean probability of its pixels.
    """
    coming = np.where((burned == 0) & (probability >= threshold), np.uint8(1), burned)
    objects = fire_objects(coming, burned, rule)
    boxes = objects.boxes(rule)
    numbers = np.flatnonzero(np.bincount(objects.clusters.ravel())[1:] >= np.array(rule.least)[objects.labels]) + 1
    scores = np.asarray(mean(probability, objects.clusters, numbers), float).reshape(-1)
    return Detections(boxes.boxes, boxes.labels, scores)


def forecast_frames(forecasts: xr.Dataset, fires: xr.Dataset, split: str, rule: ClusterRule) -> Iterator[ForecastFrame]:
    """Forecasts of a split whose next step was observed.

    Args:
        forecasts: an opened forecast store.
        fires: the opened fires store of the same data set.
        split: 'validation' or 'test'.
        rule: what makes an object.

    Raises:
        InputError: the store holds scores and not probabilities, no forecast of one step, or fires that are not there.
    """
    where = f"forecasts of {forecasts.attrs['method']}"
    if forecasts.attrs["score_kind"] != "probability":
        raise InputError(where, "scores", "probabilities, for one threshold to mean the same", "take another method")
    if 1 not in forecasts.lead.values:
        raise InputError(where, f"leads {forecasts.lead.values.tolist()}", "lead 1", "forecast one step too")
    lead = forecasts.lead.values.tolist().index(1)
    rows = zip(fires.row_start.values.tolist(), fires.row_size.values.tolist(), strict=True)
    places = dict(zip(fires.fire_id.values.tolist(), rows, strict=True))
    for k in np.flatnonzero(forecasts.split.values == split).tolist():
        fire_id, step = str(forecasts.fire_id.values[k]), int(forecasts.init_step.values[k])
        if fire_id not in places:
            raise InputError(where, f"fire {fire_id!r}", "a fire of the fires store", "make the forecasts again")
        start, size = places[fire_id]
        if step + 1 < size:
            told = objects_new_in(fires, start + step + 1, rule).boxes(rule)
            yield ForecastFrame(
                fire_id, step, forecasts.probability[k, lead].values, fires.burned[start + step].values,
                Objects.of(told.boxes, told.labels),
            )  # fmt: skip


def forecast_baseline(
    forecasts: xr.Dataset, fires: xr.Dataset, rule: ClusterRule, thresholds: Sequence[float] = THRESHOLDS
) -> ForecastBaseline:
    """Choose the threshold with the best AP50 on validation fires, and detect in those of the test.

    Raises:
        InputError: as `forecast_frames`, or there is no forecast of validation fires.
    """
    validation = list(forecast_frames(forecasts, fires, "validation", rule))
    if not validation:
        where, remedy = f"forecasts of {forecasts.attrs['method']}", "forecast validation fires too"
        raise InputError(where, "none of validation fires", "some, to choose the threshold on", remedy)
    scores = {}
    for threshold in thresholds:
        found = [forecast_detections(of.probability, of.burned, threshold, rule) for of in validation]
        of_category = coco_scores([frame.told for frame in validation], found, CATEGORIES)
        ap50 = [of_category[f"AP50 {category}"] for category in CATEGORIES]
        scores[threshold] = float(np.nanmean(ap50)) if np.isfinite(ap50).any() else 0.0
    best = max(scores, key=lambda threshold: scores[threshold])
    frames = list(forecast_frames(forecasts, fires, "test", rule))
    found = [forecast_detections(of.probability, of.burned, best, rule) for of in frames]
    return ForecastBaseline(best, scores, frames, found)
