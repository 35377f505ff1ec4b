"""Simple rivals, forecast and stored like the model: persistence, dilation, distance and a logistic regression.

On cumulative burned areas persistence scores high on the whole frame and nothing on new fire, so a model has shown
skill only when it beats a front that widens evenly (dilation, distance) and a regression on what an analyst would look
at (logistic, in `emberformer.logistic`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import get_args

import numpy as np
import xarray as xr
from jaxtyping import Float
from tqdm import tqdm

from emberformer.data.fires import UNKNOWN, open_fires, stays_burned
from emberformer.data.split import read_split
from emberformer.errors import InputError
from emberformer.fire_steps import FireStep, count_steps, fire_steps
from emberformer.forecast_store import ForecastBlock, ScoreKind, valid_times, write_forecasts
from emberformer.geometry import distance_to
from emberformer.layout import Layout
from emberformer.logistic import FRAMES, fit_logistic
from emberformer.provenance import provenance
from emberformer.settings import BaselineName, Settings

FORECAST_SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Baseline:
    """A rival that is ready to forecast.

    Args:
        forecast: gives the probability or score of each pixel that is not burned yet [y, x].
        fitted: what was fitted, on which data; goes into the provenance of the forecasts.
        score_kind: whether `forecast` gives probabilities.
        burned_value: value of pixels that are burned already, at least as high as any other.
        frames: newest frames that `forecast` looks at.
        bands: terrain bands that it looks at.
        sees_wind: whether it looks at the wind that stands at the initial frame.
    """

    forecast: Callable[[FireStep], Float[np.ndarray, "y x"]]
    fitted: Mapping[str, object]
    score_kind: ScoreKind = "probability"
    burned_value: float = 1.0
    frames: int = 1
    bands: tuple[str, ...] = ()
    sees_wind: bool = False


def write_baseline(settings: Settings, layout: Layout, method: str, dataset: str) -> Path:
    """Fit a baseline for each lead time, forecast the validation and test fires of a data set and write the store.

    Args:
        settings: the configuration.
        layout: where its stores lie.
        method: name of the baseline.
        dataset: name of the data set to forecast.

    Returns:
        The store.

    Raises:
        InputError: there is no such baseline, or nothing to fit it on.
    """
    if method not in get_args(BaselineName):
        raise InputError("baseline", repr(method), " or ".join(get_args(BaselineName)), "name one of them")
    fires = {name: open_fires(layout.fires(name)) for name in settings.datasets}
    split, path = read_split(layout.split, settings.split.leakage), layout.forecasts(method, dataset)
    leads, every = settings.forecast.leads, settings.forecast.every
    foresees = all(of.foresees_wind for of in settings.datasets.values())
    by_lead = [
        fit_baseline(method, dataset, fires, split, settings.evaluation.seed, lead, foresees)
        for lead in range(1, leads + 1)
    ]
    first = by_lead[0]
    looked_at = {"frames": first.frames, "bands": first.bands}
    steps = tqdm(
        fire_steps(fires[dataset], split[dataset], FORECAST_SPLITS, foresees_wind=foresees, **looked_at),
        total=count_steps(fires[dataset], split[dataset], FORECAST_SPLITS),
        desc=f"{method} {dataset}",
        unit="frame",
        mininterval=1,
    )
    fitted = dict(first.fitted) if leads == 1 else {f"lead {n}": dict(of.fitted) for n, of in enumerate(by_lead, 1)}
    write_forecasts(
        path,
        (forecast_block(by_lead, step) for step in steps if step.init_step % every == 0),
        method=method,
        dataset=dataset,
        score_kind=first.score_kind,
        shape=(leads, fires[dataset].sizes["y"], fires[dataset].sizes["x"]),
        provenance={**provenance(), "fires": fires[dataset].attrs["content_digest"], "fitted": fitted},
        sees_target_wind=first.sees_wind and settings.datasets[dataset].tells_target_wind,
    )
    return path


def fit_baseline(
    method: str,
    dataset: str,
    fires: Mapping[str, xr.Dataset],
    split: Mapping[str, Mapping[str, str]],
    seed: int,
    lead: int = 1,
    foresees_wind: bool = True,
) -> Baseline:
    """Fit a baseline for a data set and a lead time.

    What is fitted is fitted on fires of the data set itself: the dilation's radius on validation fires, the regression
    on training fires. If the split leaves none there (a landscape that is held out), those of the others serve.

    Args:
        method: name of the baseline.
        dataset: name of the data set that will be forecast.
        fires: data set -> opened fires store; `dataset` and those it may be fitted on.
        split: data set -> fire_id -> "train", "validation" or "test".
        seed: draws the pixels that the regression is fitted on.
        lead: frames ahead.
        foresees_wind: see `FireStep`.

    Raises:
        InputError: there is nothing to fit on.
    """
    if method == "persistence":
        return Baseline(_persistence, {})
    if method == "distance":
        return Baseline(minus_distance, {}, score_kind="score", burned_value=0.0)
    if method == "dilation":
        names = fitting_datasets(dataset, fires, split, "validation", lead)
        observed = (fire_steps(fires[name], split[name], ["validation"], lead=lead) for name in names)
        radius = choose_radius(chain.from_iterable(observed))
        return Baseline(lambda step: dilation(step, radius), {"radius_px": radius, "chosen_on": names})
    names = fitting_datasets(dataset, fires, split, "train", lead)
    training = {name: (fires[name], split[name]) for name in names}
    regression = fit_logistic(training, fires[dataset], seed, lead, foresees_wind)
    fitted, plan = {**regression.description, "fitted_on": names}, regression.plan
    return Baseline(regression.forecast, fitted, frames=FRAMES, bands=plan.bands, sees_wind=plan.wind)


def fitting_datasets(
    dataset: str, fires: Mapping[str, xr.Dataset], split: Mapping[str, Mapping[str, str]], part: str, lead: int = 1
) -> list[str]:
    """Data sets that a baseline for `dataset` is fitted on: itself, or all others if it has no steps of that split.

    Args:
        dataset: name of the data set that will be forecast.
        fires: data set -> opened fires store.
        split: data set -> fire_id -> split.
        part: the split.
        lead: frames ahead.

    Raises:
        InputError: no data set has steps there.
    """
    having = [name for name in fires if count_steps(fires[name], split[name], [part], lead)]
    if not having:
        found = f"no steps of {part} fires in {sorted(fires)}"
        remedy = "give the split a larger share of them, lower `forecast.leads`, or take a baseline that fits nothing"
        raise InputError("split", found, f"at least one {part} fire with {lead + 1} frames", remedy)
    return [dataset] if dataset in having else having


def minus_distance(step: FireStep) -> Float[np.ndarray, "y x"]:
    """Minus the distance to the nearest burned pixel, in pixels: a score, not a probability; 0 on burned pixels.

    If nothing burns yet, every pixel is as far as the raster is wide and high together.
    """
    return -np.minimum(distance_to(step.burned[0] == 1), sum(step.burned[0].shape))


def dilation(step: FireStep, radius: float) -> Float[np.ndarray, "y x"]:
    """Burned area widened by a Euclidean disc: 1 within `radius` pixels of a burned pixel's centre, else 0."""
    return (distance_to(step.burned[0] == 1) <= radius).astype(np.float32)


def choose_radius(steps: Iterable[FireStep]) -> float:
    """Radius of the dilation with the highest F1 over all new-fire pixels of the steps, in half pixels from 0.5 up.

    One pass: pixels are counted by distance, and a cumulative sum gives hits and false alarms of every radius.

    Returns:
        Radius in pixels; the smallest of equals.
    """
    burned, unburned = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for step in steps:
        distance, new_fire = minus_distance(step), step.new_fire
        half_pixels = np.ceil(-2 * distance).astype(np.intp)  # within radius r when half_pixels <= 2 r
        burned = _added(burned, np.bincount(half_pixels[new_fire == 1]))
        unburned = _added(unburned, np.bincount(half_pixels[new_fire == 0]))
    length = max(len(burned), len(unburned))
    hits, false_alarms = (_added(counts, np.zeros(length, np.int64)).cumsum()[1:] for counts in (burned, unburned))
    f1 = 2 * hits / np.maximum(hits + false_alarms + burned.sum(), 1)  # hits + misses = all that burned
    return (int(f1.argmax()) + 1) / 2 if len(f1) else 0.5


def forecast_block(by_lead: Sequence[Baseline], step: FireStep) -> ForecastBlock:
    """Forecast from one frame, with burned pixels at their value and unknown ones NaN.

    What was not observed is not forecast, NaN, unless fires go out; and no value falls from lead to lead.
    """
    burned, seconds = step.burned[0], step.fires.attrs["seconds_per_frame"]
    values = np.full((len(by_lead), *burned.shape), np.nan, np.float32)
    for number, baseline in enumerate(by_lead):
        of_lead = replace(step, lead=number + 1)
        if of_lead.was_observed:
            values[number] = np.where(burned == 1, baseline.burned_value, baseline.forecast(of_lead))
    values = np.maximum.accumulate(values)
    if stays_burned(step.fires):
        values[:, burned == UNKNOWN] = np.nan
    valid_time = valid_times(step.init_time, seconds, len(by_lead))
    return ForecastBlock(step.fire_id, step.split, step.init_step, step.init_time, valid_time, values)


def _persistence(step: FireStep) -> Float[np.ndarray, "y x"]:
    """Nothing spreads."""
    return np.zeros(step.burned[0].shape, np.float32)


def _added(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sum of two counts of different length."""
    total = np.zeros(max(len(first), len(second)), np.int64)
    total[: len(first)] += first
    total[: len(second)] += second
    return total
