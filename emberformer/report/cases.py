"""Fires to look at: the best, the median and the worst of the test fires, each at the step of its largest growth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from emberformer.data.fires import UNKNOWN, fire_position, fire_rows, fire_transform, held, observed
from emberformer.errors import InputError
from emberformer.report.scoreboard import Scoreboard, select

CALENDAR_FROM = np.datetime64("1971-01-01")  # earlier times are counted from zero, without a calendar
MARGIN = 0.2  # of the fire's extent, on each side
LEAST_MARGIN, LEAST_SIDE = 5, 30  # pixels


@dataclass(frozen=True)
class Choice:
    """A test fire and why it is shown; `average_precision` is that of new fire over all its steps."""

    rank: str
    dataset: str
    fire_id: str
    average_precision: float


@dataclass(frozen=True)
class Case:
    """One step of one fire, its rasters cut to the fire [y, x].

    Args:
        choice: which fire, and why.
        step: newest frame that the forecast saw, 0 = first.
        elapsed_s: seconds from the first frame to that frame.
        step_s: seconds that the forecast looks ahead.
        valid_time: time that the forecast is for, None without a calendar.
        burned: 0, 1 or 255 by each frame up to `step` [frame, y, x]; where fires go out, at it.
        held: what the forecast has no say in (`emberformer.data.fires.held`): nothing, where fires go out.
        observed: what was burned at the valid time: 0, 1 or 255.
        probability: forecast that a pixel is burned at the valid time, NaN = unknown.
        elevation: m, NaN = unknown; None if the data have none.
        fuel: code of the fuel; None if the data have none.
        unburnable: ground that cannot burn, as far as the data say so.
        wind: towards east and north in m s-1 during the step; None if not known.
        compass: where east and north point in the raster, two unit vectors (column, row).
        cell_m: side of a pixel in m.
        threshold: probability from which on a pixel is called burned.
    """

    choice: Choice
    step: int
    elapsed_s: float
    step_s: float
    valid_time: np.datetime64 | None
    burned: np.ndarray
    held: np.ndarray
    observed: np.ndarray
    probability: np.ndarray
    elevation: np.ndarray | None
    fuel: np.ndarray | None
    unburnable: np.ndarray
    wind: tuple[float, float] | None
    compass: np.ndarray
    cell_m: float
    threshold: float

    @property
    def open_to_fire(self) -> np.ndarray:
        """Pixels that new fire can be scored on."""
        return (self.held == 0) & (self.observed != UNKNOWN)

    @property
    def outcomes(self) -> dict[str, np.ndarray]:
        """Where new fire was forecast and observed, observed only, and forecast only."""
        forecast, fire = self.probability >= self.threshold, self.observed == 1
        return {
            "hit": self.open_to_fire & forecast & fire,
            "miss": self.open_to_fire & ~forecast & fire,
            "false alarm": self.open_to_fire & forecast & ~fire,
        }


def choose_fires(board: Scoreboard, method: str) -> list[Choice]:
    """The test fires of highest, median (the lower one of two) and lowest new-fire AP; fewer if there are fewer."""
    table = select(board.per_fire, {"method": method, "lead": board.lead}).dropna(subset=["average_precision"])
    table = table.sort_values(["average_precision", "dataset", "fire_id"], ascending=[False, True, True])
    places = {"Best": 0, "Worst": len(table) - 1, "Median": len(table) // 2}
    chosen: dict[int, str] = {}
    for rank, place in places.items():
        if len(table):
            chosen.setdefault(place, rank)
    rows = ((chosen[place], table.iloc[place]) for place in sorted(chosen))
    return [Choice(rank, row.dataset, row.fire_id, float(row.average_precision)) for rank, row in rows]


def typical(choices: Sequence[Choice]) -> Choice | None:
    """The median of the fires that `choose_fires` gives; of two the lower one."""
    return choices[len(choices) // 2] if choices else None


def read_case(
    choice: Choice,
    fires: xr.Dataset,
    forecasts: xr.Dataset,
    threshold: float,
    split: str = "test",
    step: int | None = None,
) -> Case:
    """Read one forecast step, cut to the fire with a margin.

    Args:
        choice: the fire.
        fires: opened fires store of its data set.
        forecasts: opened forecast store of the method; the shortest lead time is taken.
        threshold: probability from which on a pixel is called burned.
        split: the fire's split.
        step: newest frame that the forecast saw; None: of the step in which most burned.

    Raises:
        InputError: the forecast store has no forecast of the fire.
    """
    places = np.flatnonzero((forecasts.fire_id.values == choice.fire_id) & (forecasts.split.values == split))
    rows, lead = fire_rows(fires, choice.fire_id), int(forecasts.lead.values[0])
    steps = {int(forecasts.init_step.values[k]): int(k) for k in places}
    steps = {number: k for number, k in steps.items() if rows.start + number + lead < rows.stop}
    if not steps:
        found = f"no {split} forecast of {choice.fire_id}"
        raise InputError(
            f"forecasts by {forecasts.attrs['method']} for {choice.dataset}", found, "all its steps", "forecast again"
        )
    if step is None:
        grown = {number: growth(fires, rows.start + number, lead) for number in steps}
        step = max(sorted(grown), key=lambda candidate: grown[candidate])
    burned = fires.burned[rows.start : rows.start + step + 1].values
    target = observed(fires, rows.start + step + lead)
    probability = forecasts.probability[steps[step], 0].values
    cut = cut_around((target == 1) | (burned[-1] == 1) | (probability >= max(threshold, 1e-6)))
    elevation, fuel, unburnable = terrain_of(fires, choice.fire_id, cut)
    seconds = float(fires.attrs["seconds_per_frame"])
    valid_time = fires.valid_time.values[rows.start + step + lead]
    return Case(
        choice=choice,
        step=step,
        elapsed_s=step * seconds,
        step_s=lead * seconds,
        valid_time=valid_time.astype("datetime64[s]") if has_calendar(fires, choice.fire_id) else None,
        burned=burned[:, *cut],
        held=held(fires, rows.start + step)[cut],
        observed=target[cut],
        probability=probability[cut],
        elevation=elevation,
        fuel=fuel,
        unburnable=unburnable,
        wind=wind_of(fires, rows.start + step),
        compass=_compass(fire_transform(fires, choice.fire_id)[:6]),
        cell_m=float(fires.attrs["cell_m"]),
        threshold=threshold,
    )


def growth(fires: xr.Dataset, row: int, lead: int) -> int:
    """Pixels of new fire some frames after a row of the fires store."""
    return int(np.count_nonzero((held(fires, row) == 0) & (observed(fires, row + lead) == 1)))


def cut_around(fire: np.ndarray) -> tuple[slice, slice]:
    """A square around the fire with a margin, moved or cut so that it lies inside the window."""
    places = np.argwhere(fire) if fire.any() else np.array([[0, 0], np.subtract(fire.shape, 1)])
    low, high = places.min(0), places.max(0) + 1
    extent = int((high - low).max())
    side = max(extent + 2 * max(LEAST_MARGIN, round(MARGIN * extent)), LEAST_SIDE)
    slices = []
    for axis, size in enumerate(fire.shape):
        length = min(side, size)
        start = int(np.clip((low[axis] + high[axis] - length) // 2, 0, size - length))
        slices.append(slice(start, start + length))
    return slices[0], slices[1]


def terrain_of(
    fires: xr.Dataset, fire_id: str, cut: tuple[slice, slice]
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
    """Elevation (m) and fuel code, None if the data have none, and unburnable ground, as far as they say so [y, x]."""
    index = int(fires.terrain_index.values[fire_position(fires, fire_id)])
    bands = list(map(str, fires.band.values))

    def band(name: str) -> np.ndarray | None:
        return fires.terrain[index, bands.index(name), *cut].values if name in bands else None

    fuel, burnable = band("fuel_model"), band("burnable")
    unburnable = np.zeros([part.stop - part.start for part in cut], bool)
    if burnable is not None:
        unburnable |= ~(burnable > 0)
    elif fuel is not None:
        unburnable |= np.isnan(fuel)
    return band("elevation"), fuel, unburnable


def has_calendar(fires: xr.Dataset, fire_id: str) -> bool:
    """Whether a fire's times are of a calendar; those of 1970 are counted from zero."""
    return bool(fires.valid_time.values[fire_rows(fires, fire_id).start] >= CALENDAR_FROM)


def wind_of(fires: xr.Dataset, row: int) -> tuple[float, float] | None:
    """Wind towards east and north in m s-1 in a row of the fires store; None if not known."""
    names = list(map(str, fires.weather_variable.values))
    if not {"wind_u", "wind_v"} <= set(names):
        return None
    u, v = (float(fires.weather[row, names.index(name)]) for name in ("wind_u", "wind_v"))
    return (u, v) if np.isfinite([u, v]).all() else None


def _compass(transform: Sequence[float]) -> np.ndarray:
    """Directions of the map's x and y axes in the raster; right and up where the transform says nothing."""
    a, b, _, d, e, _ = transform
    if abs(a * e - b * d) < 1e-12:
        return np.array([[1.0, 0.0], [0.0, -1.0]])
    directions = np.linalg.inv(
        np.array([[a, b], [d, e]])
    ).T  # column k: pixels for one map unit along axis k; rows after .T
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)
