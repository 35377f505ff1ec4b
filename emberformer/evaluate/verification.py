"""Verification sums: one pass over a forecast store turns pixels into counts from which every score follows.

For each fire, lead time and history length the pixels that were not burned at the initial time ("new fire") are counted
by observation (0, 1) and forecast bin. Sums of fires are sums of counts, so any pooled score, threshold, group or
bootstrap resample comes from these counts without reading a pixel again.

The whole frame needs one number more. A pixel that is already burned stays burned: it is forecast as 1 and observed as
1, whatever the method, so it lies in the highest bin, is a hit at every threshold and has no error.

Bins. Probabilities are binned uniformly in logit (1/64 wide, from -16 to 16), scores of kind "score" uniformly in
asinh(score) (9/1024 wide, to about +-4050); values beyond fall in the end bins. 0.5 is exactly a bin edge. Pixels in
one bin are taken as tied, which moves an average precision of probabilities or distances by less than 1e-3 (4e-4 for a
logistic regression on simulated fires; tests/evaluate/test_verification.py measures it against the exact one). Scores
at a threshold on an edge, Brier score and calibration error are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.special import expit, logit
from tqdm import tqdm

from emberformer.data.fires import UNKNOWN, observed
from emberformer.errors import InputError
from emberformer.evaluate.scores import reliability
from emberformer.forecast_store import ScoreKind

BINS = 2048
CENTRE = BINS // 2  # the bin whose lower edge is probability 0.5, or score 0
BINS_PER_UNIT = {"probability": 64.0, "score": 1024 / 9}
RELIABILITY_BINS = 15
HISTORY_LENGTHS = (1, 2, 3, 4, 5)  # frames seen; the last group holds all longer histories too


def bin_index(forecast: np.ndarray, score_kind: ScoreKind) -> np.ndarray:
    """Bin of each forecast: bin k holds edge k <= forecast < edge k + 1.

    Args:
        forecast: probabilities, or scores of any range; without NaN.
        score_kind: which of the two.

    Returns:
        Indices from 0 to BINS - 1, of the same shape.
    """
    forecast = forecast.astype(np.float64)
    with np.errstate(divide="ignore"):
        stretched = logit(forecast) if score_kind == "probability" else np.arcsinh(forecast)
    # offset after the floor: a probability just below 0.5 must not be rounded up into the bin above
    return np.clip(np.floor(stretched * BINS_PER_UNIT[score_kind]), -CENTRE, CENTRE - 1).astype(np.intp) + CENTRE


def bin_edges(score_kind: ScoreKind) -> np.ndarray:
    """Lower edge of each bin as a probability or score [bin]; the lowest bin also holds everything below."""
    stretched = (np.arange(BINS) - CENTRE) / BINS_PER_UNIT[score_kind]
    return expit(stretched) if score_kind == "probability" else np.sinh(stretched)


class FireSums:
    """Growing sums of one fire; see `sums_of` for their meaning."""

    def __init__(self, leads: int):
        groups = (leads, len(HISTORY_LENGTHS))
        self.steps = np.zeros(groups, np.int64)
        self.count = np.zeros((*groups, 2, BINS), np.uint32)  # of one fire: 4e9 pixels in a bin are out of reach
        self.burned = np.zeros(groups, np.int64)
        self.squared_error = np.zeros(groups)
        self.reliability = np.zeros((*groups, 3, RELIABILITY_BINS))

    def add(
        self, group: tuple[int, int], forecast: np.ndarray, target: np.ndarray, burned: np.ndarray, kind: ScoreKind
    ) -> None:
        """Add one forecast at one lead time; rasters [y, x], `burned` as it was at the initial time."""
        known = (burned != UNKNOWN) & (target != UNKNOWN)
        new_fire = known & (burned == 0)
        forecast, target = forecast[new_fire], target[new_fire]
        self.steps[group] += 1
        self.burned[group] += np.count_nonzero(known) - np.count_nonzero(new_fire)
        place = bin_index(forecast, kind) + BINS * target.astype(np.intp)
        self.count[group] += np.bincount(place, minlength=2 * BINS).reshape(2, BINS).astype(np.uint32)
        if kind == "probability":
            forecast = forecast.astype(np.float64)
            self.squared_error[group] += np.square(forecast - target).sum()
            self.reliability[group] += np.stack(reliability(forecast, target, RELIABILITY_BINS))


class _Location(NamedTuple):
    row_start: int
    row_size: int


class ObservedForecast(NamedTuple):
    """One forecast at one lead time, with what was burned at its initial time and what was observed; rasters [y, x].

    `group` is its place along the axes lead and history of all sums.
    """

    fire_id: str
    init_step: int
    group: tuple[int, int]
    values: np.ndarray
    target: np.ndarray
    burned: np.ndarray


def observed_forecasts(forecasts: xr.Dataset, fires: xr.Dataset, purpose: str) -> Iterator[ObservedForecast]:
    """All forecasts of a store for times that were observed, in its order, with a progress bar.

    Args:
        forecasts: an opened forecast store.
        fires: the opened fires store of the same data set.
        purpose: a word for the progress bar.

    Raises:
        InputError: the stores do not belong together.
    """
    where = _where(forecasts)
    if {name: forecasts.sizes[name] for name in "yx"} != {name: fires.sizes[name] for name in "yx"}:
        raise _mismatch(where, f"frames of {forecasts.sizes['y']} x {forecasts.sizes['x']}")
    rows = zip(fires.row_start.values.tolist(), fires.row_size.values.tolist(), strict=True)
    locations = dict(zip(fires.fire_id.values.tolist(), (_Location(*row) for row in rows), strict=True))
    leads = forecasts.lead.values.tolist()
    fire_ids, init_steps = forecasts.fire_id.values.tolist(), forecasts.init_step.values
    history = forecasts.history_length.values
    for k in tqdm(range(len(fire_ids)), desc=f"{purpose} {where}", unit="forecast", mininterval=1):
        if fire_ids[k] not in locations:
            raise _mismatch(where, f"fire {fire_ids[k]!r}, which is not in the fires store")
        fire, step = locations[fire_ids[k]], int(init_steps[k])
        burned, values = fires.burned[fire.row_start + step].values, forecasts.probability[k].values
        for i, lead in enumerate(leads):
            if step + lead < fire.row_size:
                target = observed(fires, fire.row_start + step + lead)
                group = i, min(int(history[k]), HISTORY_LENGTHS[-1]) - 1
                yield ObservedForecast(fire_ids[k], step, group, values[i], target, burned)


def sums_of(forecasts: xr.Dataset, fires: xr.Dataset) -> xr.Dataset:
    """Sum a forecast store against what was observed, a forecast at a time.

    Args:
        forecasts: an opened forecast store.
        fires: the opened fires store of the same data set.

    Returns:
        Sums with dims fire, lead, history (frames seen: 1, 2, 3, 4, 5 or more) and coordinates fire_id, split: `steps`
        forecasts; `count` [..., observed, bin] new-fire pixels by observation and forecast bin; `burned` pixels already
        burned at the initial time; `squared_error` of the new-fire pixels; `reliability` [..., sum, reliability_bin]
        their number, sum of forecasts and sum of observations. The last two are NaN for the score kind "score".

    Raises:
        InputError: the stores do not belong together, or a forecast is missing where the data are known.
    """
    kind: ScoreKind = forecasts.attrs["score_kind"]
    leads = forecasts.lead.values.tolist()
    sums: dict[str, FireSums] = {fire_id: FireSums(len(leads)) for fire_id in forecasts.fire_id.values.tolist()}
    for one in observed_forecasts(forecasts, fires, "verify"):
        if np.isnan(one.values[(one.burned == 0) & (one.target != UNKNOWN)]).any():
            found = f"no forecast (NaN) for known pixels of {one.fire_id} from step {one.init_step}"
            raise _mismatch(_where(forecasts), found)
        sums[one.fire_id].add(one.group, one.values, one.target, one.burned, kind)
    split_of = dict(zip(forecasts.fire_id.values.tolist(), forecasts.split.values.tolist(), strict=True))
    return _dataset(sums, split_of, leads, forecasts.attrs)


def _where(forecasts: xr.Dataset) -> str:
    return f"forecasts of {forecasts.attrs['method']} for {forecasts.attrs['dataset']}"


def _mismatch(where: str, found: str) -> InputError:
    return InputError(where, found, "complete forecasts of the fires in the fires store", "make the forecasts again")


def _dataset(sums: dict[str, FireSums], split_of: dict[str, str], leads: list[int], attrs: dict) -> xr.Dataset:
    groups = ("fire", "lead", "history")

    def stacked(name: str) -> np.ndarray:
        """Fires first; an empty store gives an axis of length 0."""
        empty = getattr(FireSums(len(leads)), name)[None]
        return np.concatenate([empty[:0], *(getattr(of_fire, name)[None] for of_fire in sums.values())])

    undefined = np.nan if attrs["score_kind"] == "score" else 0.0
    return xr.Dataset(
        {
            "steps": (groups, stacked("steps")),
            "count": ((*groups, "observed", "bin"), stacked("count")),
            "burned": (groups, stacked("burned")),
            "squared_error": (groups, stacked("squared_error") + undefined),
            "reliability": ((*groups, "sum", "reliability_bin"), stacked("reliability") + undefined),
        },
        coords={
            "fire_id": ("fire", np.array(list(sums), object)),
            "split": ("fire", np.array([split_of[fire_id] for fire_id in sums], object)),
            "lead": leads,
            "history": list(HISTORY_LENGTHS),
            "observed": [0, 1],
        },
        attrs={name: attrs[name] for name in ("method", "dataset", "score_kind")},
    )
