"""Logistic regression on what an analyst would look at: the simple rival that is hard to beat.

Each unburned pixel near the fire is described by the spread rate that would reach it within the step, wind and slope
along the way from the nearest burned pixel, fuel at both ends, how much of its neighbourhood burns or cannot burn, and
how long ago the nearest part of the front was reached. Where a source lacks a band or wind, those columns are left out
and the fit says so.

Steps of the training fires are drawn at random, and of each step some pixels; each pixel weighs as many as it stands
for, so the probabilities are those of all pixels. Pixels beyond all but 0.1 % of the training growth share one small
probability.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int, UInt8
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from emberformer.errors import InputError
from emberformer.fire_steps import FireStep, count_steps, fire_steps
from emberformer.geometry import distance_to, nearest_pixel, share_nearby, surroundings

FRAMES = 4  # newest frames that the features look at
STEPS, BURNED_PIXELS, UNBURNED_PIXELS = 1500, 70, 130  # training sample: steps, and pixels of each
GROWTH_COVERED = 0.999  # share of the training growth within reach of the regression
KNOTS = (0.25, 0.5, 0.75, 0.9, 0.97)  # quantiles of the training growth where the effect of the spread rate may bend
BURNED_SIDES, BARRIER_SIDES = (3, 7, 15), (3, 7)  # pixels
BANDS = ("elevation", "fuel_model", "burnable")
WIND_UNIT = 10.0  # m s-1

Training = Mapping[str, tuple[xr.Dataset, Mapping[str, str]]]  # data set -> fires store, fire_id -> split
Places = tuple[np.ndarray, np.ndarray]  # rows and columns [pixel]
Features = dict[str, np.ndarray]  # name -> values [pixel]


@dataclass(frozen=True)
class Plan:
    """What the features are made from, fitted on training fires.

    Args:
        reach: fastest spread rate looked at, m s-1.
        knots: spread rates where the effect may bend, m s-1.
        wind: whether there is wind.
        bands: which of elevation, fuel_model and burnable there are.
        fuels: codes of `fuel_model` that have a column of their own.
    """

    reach: float
    knots: tuple[float, ...]
    wind: bool
    bands: tuple[str, ...]
    fuels: tuple[float, ...]


class Pixels(NamedTuple):
    """Unburned pixels within reach of the fire, and their features; `row` and `column` in the whole raster [pixel]."""

    row: Int[np.ndarray, " pixel"]
    column: Int[np.ndarray, " pixel"]
    features: Features


class Sample(NamedTuple):
    """Pixels to fit on: features, whether they burned (1 or 0), and how many pixels each stands for [pixel]."""

    features: Features
    burned: UInt8[np.ndarray, " pixel"]
    weights: Float[np.ndarray, " pixel"]


def describe(step: FireStep, plan: Plan) -> Pixels:
    """Features of every pixel that is not burned and within reach."""
    metres_s = step.cell_m / step.seconds  # a pixel a step as a spread rate
    margin = int(plan.reach / metres_s) + 1
    rows, columns = surroundings(step.burned[0] == 1, margin)
    newest = [frame[rows, columns] for frame in step.burned]
    burned = newest[0] == 1
    nearest = nearest_pixel(burned)
    row, column = np.nonzero((newest[0] == 0) & (nearest.distance * metres_s <= plan.reach))
    from_row, from_column = nearest.row[row, column], nearest.column[row, column]
    distance = nearest.distance[row, column]
    rate = distance * metres_s
    log_rate = np.log(rate)

    features = {"rate": rate, "log_rate": log_rate}
    features |= {f"rate_beyond_{k}": np.maximum(rate - knot, 0) for k, knot in enumerate(plan.knots)}
    shares = {f"burned_share_{side}": share_nearby(burned, side)[row, column] for side in BURNED_SIDES}
    features |= shares | _front_age(newest, (row, column), (from_row, from_column), metres_s, plan)
    if plan.wind:
        along = (column - from_column) / distance, (from_row - row) / distance  # unit vector; rows run south
        features |= _wind(np.nan_to_num(step.wind), along, rate, shares["burned_share_7"], plan)
    terrain = {band: step.terrain[band][rows, columns] for band in plan.bands}
    if "elevation" in terrain:
        rise = terrain["elevation"][row, column] - terrain["elevation"][from_row, from_column]
        slope = np.nan_to_num(rise / (distance * step.cell_m))
        features |= {"slope_along": slope, "slope_along_log_rate": slope * log_rate}
    if "fuel_model" in terrain:
        to_fuel, from_fuel = terrain["fuel_model"][row, column], terrain["fuel_model"][from_row, from_column]
        for code in plan.fuels:
            here = (to_fuel == code).astype(np.float64)
            features |= {f"fuel_{code:g}": here, f"fuel_{code:g}_log_rate": here * log_rate}
            features[f"from_fuel_{code:g}"] = from_fuel == code
    if (barrier := _barrier(terrain)) is not None:
        features["barrier"] = barrier[row, column]
        features |= {f"barrier_share_{side}": share_nearby(barrier, side)[row, column] for side in BARRIER_SIDES}
    return Pixels(row + rows.start, column + columns.start, features)


@dataclass(frozen=True)
class Regression:
    """A fitted regression.

    Args:
        plan: what the features are made from.
        scaler: standardises the features.
        model: the regression on standardised features.
        beyond: probability of pixels beyond reach.
        description: what was fitted, for the provenance.
    """

    plan: Plan
    scaler: StandardScaler
    model: LogisticRegression
    beyond: float
    description: Mapping[str, Any]

    def forecast(self, step: FireStep) -> Float[np.ndarray, "y x"]:
        """Probability that each unburned pixel is burned at `valid_time`; values on burned pixels mean nothing."""
        probability = np.full(step.burned[0].shape, self.beyond, np.float32)
        pixels = describe(step, self.plan)
        if len(pixels.row):
            standardised = self.scaler.transform(_matrix(pixels.features))
            probability[pixels.row, pixels.column] = self.model.predict_proba(standardised)[:, 1]
        return probability


def fit_logistic(
    training: Training, target: xr.Dataset, seed: int, lead: int = 1, foresees_wind: bool = True
) -> Regression:
    """Fit the regression on training fires.

    Args:
        training: data set -> its opened fires store and fire_id -> split; fires of split "train" are used.
        target: fires store that will be forecast; only bands and wind that it has are used.
        seed: draws steps and pixels.
        lead: frames ahead.
        foresees_wind: see `FireStep`.

    Raises:
        InputError: no pixel burns in the training steps, so there is nothing to learn.
    """
    plan = _make_plan(training, target, seed, lead)
    random = np.random.default_rng(seed)
    beyond, samples, without_wind = np.zeros(2), [], 0
    for step in _drawn_steps(training, seed, plan.bands, lead, foresees_wind):
        pixels = describe(step, plan)
        new_fire = step.new_fire[pixels.row, pixels.column]
        without_wind += not np.isfinite(step.wind).all()
        beyond += _counts(step.new_fire) - _counts(new_fire)
        samples.append(_sample(pixels, new_fire, random))
    features = {name: np.concatenate([sample.features[name] for sample in samples]) for name in samples[0].features}
    burned, weights = (np.concatenate([getattr(sample, name) for sample in samples]) for name in ("burned", "weights"))
    scaler = StandardScaler(copy=False)
    standardised = scaler.fit_transform(_matrix(features))
    model = LogisticRegression(max_iter=1000).fit(standardised, burned, sample_weight=weights / weights.mean())
    probability_beyond = float((beyond[1] + 0.5) / (beyond.sum() + 1))  # never 0, which would forbid what can happen
    has = {"wind": plan.wind} | {band: band in plan.bands for band in BANDS}
    description = {
        "reach_m_s": plan.reach,
        "steps": len(samples),
        "pixels": len(burned),
        "steps_without_wind": int(without_wind) if plan.wind else len(samples),  # if there is wind elsewhere: calm
        "left_out": [name for name, there in has.items() if not there],
        "probability_beyond_reach": probability_beyond,
        "coefficients_of_standardised_features": dict(zip(features, model.coef_[0].tolist(), strict=True)),
    }
    return Regression(plan, scaler, model, probability_beyond, description)


def _make_plan(training: Training, target: xr.Dataset, seed: int, lead: int) -> Plan:
    stores = [fires for fires, _ in training.values()] + [target]
    bands = tuple(band for band in BANDS if all(band in fires["band"].values for fires in stores))
    winds = [fires["weather"].sel(weather_variable=["wind_u", "wind_v"]).values for fires in stores]
    growth = np.concatenate([np.zeros(0), *(_growth_rates(step) for step in _drawn_steps(training, seed, (), lead))])
    if not growth.size:
        found = "no pixel that burns in a step from a frame that has fire"
        raise InputError(f"training fires of {sorted(training)}", found, "fires that grow", "train on more fires")
    return Plan(
        reach=float(np.quantile(growth, GROWTH_COVERED)),
        knots=tuple(np.unique(np.quantile(growth, KNOTS)).tolist()),
        wind=all(np.isfinite(wind).any() for wind in winds),
        bands=bands,
        fuels=_fuels(training) if "fuel_model" in bands else (),
    )


def _drawn_steps(
    training: Training, seed: int, bands: tuple[str, ...], lead: int, foresees_wind: bool = True
) -> Iterator[FireStep]:
    """The same random steps of training fires at each call."""
    total = sum(count_steps(fires, split_of, ["train"], lead) for fires, split_of in training.values())
    drawn = iter(np.random.default_rng(seed).permutation(total) < STEPS)
    for fires, split_of in training.values():
        steps = fire_steps(
            fires, split_of, ["train"], frames=FRAMES, bands=bands, lead=lead, foresees_wind=foresees_wind
        )
        for step in steps:
            if next(drawn):
                yield step


def _growth_rates(step: FireStep) -> Float[np.ndarray, " pixel"]:
    """Spread rate in m s-1 that reaches each pixel burned in the step from the nearest burned pixel, straight."""
    rows, columns = surroundings((step.burned[0] == 1) | (step.new_fire == 1), 0)
    distance = distance_to(step.burned[0][rows, columns] == 1)[step.new_fire[rows, columns] == 1]
    return distance[np.isfinite(distance)] * step.cell_m / step.seconds


def _sample(pixels: Pixels, new_fire: np.ndarray, random: np.random.Generator) -> Sample:
    """Draw some of the pixels that burned and some of those that did not."""
    chosen, weights = [], []
    for value, wanted in ((0, UNBURNED_PIXELS), (1, BURNED_PIXELS)):
        found = np.flatnonzero(new_fire == value)
        chosen.append(random.choice(found, min(wanted, len(found)), replace=False))
        weights.append(np.full(len(chosen[-1]), len(found) / max(len(chosen[-1]), 1)))
    places = np.concatenate(chosen)
    features = {name: values[places].astype(np.float32) for name, values in pixels.features.items()}
    return Sample(features, new_fire[places], np.concatenate(weights))


def _front_age(newest: list[np.ndarray], at: Places, nearest: Places, metres_s: float, plan: Plan) -> Features:
    """How long the nearest burned pixel has burned, and how far the part of the fire is that burned in the last step.

    A front that stood still for a step has met a barrier or the wind; the fresh front carries the fire on.
    """
    burned, earlier = newest[0] == 1, [frame == 1 for frame in newest[1:]]
    steps_burned = sum((frame[nearest] for frame in earlier), np.zeros(len(nearest[0]), np.int64))
    fresh = burned & ~earlier[0] if earlier else burned
    rate = np.minimum(distance_to(fresh)[at] * metres_s, 2 * plan.reach)
    ages = {f"front_age_{age}": (steps_burned == age).astype(np.float64) for age in range(1, FRAMES)}
    return ages | {"fresh_rate": rate, "log_fresh_rate": np.log(rate)}


def _wind(
    wind: np.ndarray, along: tuple[np.ndarray, np.ndarray], rate: np.ndarray, share: np.ndarray, plan: Plan
) -> Features:
    """Wind along and across the way from the front, in 10 m s-1, and how it changes the effect of the distance."""
    east, north = wind / WIND_UNIT
    speed = np.full(len(share), np.hypot(east, north))
    tail = east * along[0] + north * along[1]
    cross = np.abs(east * along[1] - north * along[0])
    log_rate = np.log(rate)
    return {
        "tailwind": tail,
        "tailwind_signed_square": tail * np.abs(tail),
        "tailwind_rate": tail * rate / plan.reach,
        "tailwind_log_rate": tail * log_rate,
        "tailwind_speed": tail * speed,
        "tailwind_burned_share": tail * share,
        "crosswind": cross,
        "crosswind_log_rate": cross * log_rate,
        "speed": speed,
        "speed_log_rate": speed * log_rate,
        "speed_burned_share": speed * share,
    }


def _barrier(terrain: Mapping[str, np.ndarray]) -> Bool[np.ndarray, "y x"] | None:
    """Pixels that cannot burn: by the band that says so, else where there is no fuel; None if unknown."""
    if "burnable" in terrain:
        return ~(terrain["burnable"] > 0)  # NaN is not burnable
    return np.isnan(terrain["fuel_model"]) if "fuel_model" in terrain else None


def _fuels(training: Training) -> tuple[float, ...]:
    """Fuel codes in the windows of the training fires."""
    codes: set[float] = set()
    for fires, split_of in training.values():
        band = fires["band"].values.tolist().index("fuel_model")
        is_training = np.array([split_of.get(fire_id) == "train" for fire_id in fires["fire_id"].values.tolist()], bool)
        for window in np.unique(fires["terrain_index"].values[is_training]).tolist():
            values = np.unique(fires["terrain"][window, band].values)
            codes |= set(values[~np.isnan(values)].tolist())
    return tuple(sorted(codes))


def _counts(new_fire: np.ndarray) -> np.ndarray:
    """Pixels that stayed unburned, and that burned."""
    return np.array([np.count_nonzero(new_fire == 0), np.count_nonzero(new_fire == 1)], float)


def _matrix(features: Features) -> Float[np.ndarray, "pixel feature"]:
    return np.stack(list(features.values()), axis=1).astype(np.float32)
