"""Failures: the steps that were forecast worst, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool
from scipy.stats import spearmanr

from emberformer.data.fires import UNKNOWN, fire_position
from emberformer.evaluate.observed import ObservedForecast, observed_forecasts
from emberformer.evaluate.scores import reliability
from emberformer.geometry import HECTARE, distance_to, surroundings

KINDS = {
    "missed_ha": "largest missed area",
    "false_alarm_ha": "largest false-alarm area",
    "calibration_ha": "largest calibration error",
}
PROPERTIES = (
    "frames_seen", "fire_size_ha", "growth_ha", "wind_speed_m_s", "slope_deg", "fuel_changes", "unburnable_share",
)  # fmt: skip
AROUND = 10  # pixels about the fire whose ground is described
WORST, LEAST = 0.1, 5  # share of steps that count as failures, and their number at least
DRAWN = 2  # failures of each kind that are drawn


def step_errors(forecasts: xr.Dataset, fires: xr.Dataset, split: str, threshold: float) -> pd.DataFrame:
    """Errors and circumstances of every forecast one step ahead.

    Args:
        forecasts: an opened forecast store of probabilities.
        fires: the opened fires store of the same data set.
        split: "validation" or "test".
        threshold: from this probability on a pixel is called burned.

    Returns:
        A row a step: areas in hectares of new fire that was hit, missed and falsely alarmed, and by which probability
        and observed frequency differ (`calibration_ha`: |sum of forecasts - burned| in 15 bins, added up); frames seen,
        size of the fire, growth, wind speed (NaN = unknown), and of the unburned ground within 10 pixels of the fire
        the mean slope, the most common fuel, the share of neighbouring pixels of different fuel and the unburnable
        share (NaN where the data say nothing).
    """
    chosen = forecasts.isel(forecast=np.flatnonzero(forecasts.split.values == split)).isel(lead=[0])
    hectares = float(fires.attrs["cell_m"]) ** 2 / HECTARE
    rows = []
    for one in observed_forecasts(chosen, fires, "failures of"):
        position = fire_position(fires, one.fire_id)
        row = int(fires.row_start.values[position]) + one.init_step
        burned = fires.burned[row].values == 1
        areas = {**_areas(one, threshold), "fire_size_ha": np.count_nonzero(burned)}
        rows.append(
            {"fire_id": one.fire_id, "step": one.init_step, "frames_seen": one.init_step + 1}
            | {name: hectares * value for name, value in areas.items()}
            | _circumstances(burned, row, int(fires.terrain_index.values[position]), fires)
        )
    columns = ["fire_id", "step", "frames_seen", "hit_ha", *KINDS, "fire_size_ha", "growth_ha", "wind_speed_m_s",
               "slope_deg", "fuel", "fuel_changes", "unburnable_share"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def worst_steps(errors: pd.DataFrame, kind: str, number: int) -> pd.DataFrame:
    """Steps of the largest error of a kind, the largest first; none without error."""
    order = errors.sort_values([kind, "fire_id", "step"], ascending=[False, True, True])
    return order.loc[order[kind] > 0].head(number)


def in_common(errors: pd.DataFrame) -> pd.DataFrame:
    """What failures have in common: the tenth of all steps with the largest error of a kind, beside all steps.

    Returns:
        A row for each kind and property: mean over the failures and over all steps, and Spearman's rank correlation of
        property and error over all steps (NaN where either does not vary). For the fuel the most common one among the
        failures (`value`), and its share among failures and all.
    """
    rows = []
    for kind in KINDS:
        failures = worst_steps(errors, kind, max(LEAST, round(WORST * len(errors))))
        same = {"kind": kind, "n_failures": len(failures), "n_steps": len(errors)}
        for name in PROPERTIES:
            correlation = _rank_correlation(errors[name].to_numpy(np.float64), errors[kind].to_numpy(np.float64))
            rows.append({**same, "property": name, "failures": failures[name].mean(), "all": errors[name].mean(),
                         "rank_correlation": correlation})  # fmt: skip
        if failures.fuel.notna().any():
            fuel = failures.fuel.value_counts().sort_index().idxmax()
            rows.append({**same, "property": "fuel", "value": fuel, "failures": (failures.fuel == fuel).mean(),
                         "all": (errors.fuel == fuel).mean(), "rank_correlation": np.nan})  # fmt: skip
    columns = ["kind", "property", "value", "failures", "all", "rank_correlation", "n_failures", "n_steps"]
    return pd.DataFrame(rows, columns=columns)


def _areas(one: ObservedForecast, threshold: float) -> dict[str, float]:
    """Areas in pixels."""
    open_to_fire = (one.burned == 0) & (one.target != UNKNOWN)
    forecast, observed = one.values[open_to_fire].astype(np.float64), one.target[open_to_fire] == 1
    called = forecast >= threshold
    _, forecasts, observations = reliability(forecast, observed.astype(np.float64))
    return {
        "hit_ha": float(np.count_nonzero(called & observed)),
        "missed_ha": float(np.count_nonzero(~called & observed)),
        "false_alarm_ha": float(np.count_nonzero(called & ~observed)),
        "calibration_ha": float(np.abs(forecasts - observations).sum()),
        "growth_ha": float(np.count_nonzero(observed)),
    }


def _circumstances(newest: Bool[np.ndarray, "y x"], row: int, terrain: int, fires: xr.Dataset) -> dict[str, float]:
    """Wind of the step, and the unburned ground about what burns in its newest frame."""
    u, v = fires.weather.sel(weather_variable=["wind_u", "wind_v"])[row].values
    cut = surroundings(newest, AROUND)
    burned = newest[cut]
    ground = ~burned & (distance_to(burned) <= AROUND)
    bands = dict(_bands(fires, terrain, cut))
    fuel, burnable = bands.get("fuel_model"), bands.get("burnable")
    if fuel is None:
        common, changes = np.nan, np.nan
    else:
        known = ground & np.isfinite(fuel)
        codes, counts = np.unique(fuel[known], return_counts=True)
        common = float(codes[counts.argmax()]) if codes.size else np.nan
        beside = known[:, 1:] & known[:, :-1]
        changes = _mean(fuel[:, 1:][beside] != fuel[:, :-1][beside])
    slope = bands.get("slope_deg")
    return {
        "wind_speed_m_s": float(np.hypot(u, v)),
        "slope_deg": np.nan if slope is None else _mean(slope[ground & np.isfinite(slope)]),
        "fuel": common,
        "fuel_changes": changes,
        "unburnable_share": np.nan if burnable is None else _mean(burnable[ground & np.isfinite(burnable)] <= 0),
    }


def _bands(fires: xr.Dataset, terrain: int, cut: tuple[slice, slice]) -> Iterator[tuple[str, np.ndarray]]:
    for number, band in enumerate(map(str, fires.band.values)):
        if band in ("fuel_model", "burnable", "slope_deg"):
            yield band, fires.terrain[terrain, number, *cut].values


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    known = np.isfinite(first) & np.isfinite(second)
    first, second = first[known], second[known]
    varies = len(first) and np.ptp(first) > 0 and np.ptp(second) > 0
    return float(spearmanr(first, second).statistic) if varies else float("nan")  # type: ignore[attr-defined]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
