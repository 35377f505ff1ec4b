"""Forecasts of one fire one after another, beside what burned: small pictures that the page steps through."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Float32, Int, UInt8
from matplotlib.colors import to_rgb, to_rgba
from PIL import Image

from emberformer.data.fires import UNKNOWN, fire_rows, held, observed, stays_burned
from emberformer.geometry import HECTARE
from emberformer.report.cases import Choice, cut_around, growth, has_calendar, terrain_of, wind_of
from emberformer.report.durations import duration_text
from emberformer.report.figures import Picture, data_uri
from emberformer.report.maps import (
    BURNED_COLOUR,
    GROUND_COLOUR,
    OUTCOME_COLOURS,
    PROBABILITY,
    UNKNOWN_COLOUR,
    Key,
    hillshade,
    probability_gradient,
    wind_text,
)
from emberformer.sampling import evenly_spaced

MOST_MOMENTS = 24  # more are thinned evenly: a page is read, not watched
LEVELS = 64  # of probability
BURNED, UNKNOWN_GROUND, HIT, MISS, FALSE_ALARM = range(LEVELS, LEVELS + 5)  # places in the palette
SHOWN_FROM = 0.01  # probability from which on it is coloured
OPAQUE_FROM = 0.2  # probability from which on the ground does not show through
SHADES = 24  # of the ground
PALE_UNBURNABLE = "#BCD0E4"  # paler than on other maps, where no blue hits lie beside it
DARKEST = 0.8  # brightness of the ground that faces away from the light


class Moment(NamedTuple):
    """One forecast: its map, what burned, and a sentence."""

    forecast: Picture
    outcome: Picture
    text: str


class Animation(NamedTuple):
    """Forecasts of a fire in order, to be laid over its ground; `side_m` is the side of every picture in m."""

    ground: Picture
    moments: list[Moment]
    keys: list[Key]
    side_m: float


class Step(NamedTuple):
    """What one forecast had no say in, what it said, and what came [y, x]; `held` and `observed` are 0, 1 or 255."""

    held: UInt8[np.ndarray, "y x"]
    observed: UInt8[np.ndarray, "y x"]
    probability: Float32[np.ndarray, "y x"]
    stays_burned: bool
    begun: str
    ahead: str
    wind: str


def animate_steps(choice: Choice, fires: xr.Dataset, forecasts: xr.Dataset, threshold: float) -> Animation:
    """Every forecast of a fire at the shortest lead time, in the order of time.

    Args:
        choice: the fire.
        fires: opened fires store of its data set.
        forecasts: opened forecast store of the method.
        threshold: probability from which on a pixel is called burned.
    """
    places = _places(choice, fires, forecasts)
    kept = [places[k] for k in evenly_spaced(len(places), MOST_MOMENTS)]
    return _animation([(place, 0) for place in kept], choice, fires, forecasts, threshold)


def animate_leads(choice: Choice, fires: xr.Dataset, forecasts: xr.Dataset, threshold: float) -> Animation | None:
    """One forecast of a fire at all its lead times: the one in whose leads most burned.

    Returns:
        None where the store has one lead time, or the fire is shorter than the longest one.
    """
    leads = forecasts.lead.values
    rows = fire_rows(fires, choice.fire_id)
    last = int(leads[-1])
    places = [p for p in _places(choice, fires, forecasts) if rows.start + _step(forecasts, p) + last < rows.stop]
    if len(leads) < 2 or not places:
        return None

    # The first of them where several are as large.
    place = max(places, key=lambda of: growth(fires, rows.start + _step(forecasts, of), last))
    return _animation([(place, k) for k in range(len(leads))], choice, fires, forecasts, threshold)


def _places(choice: Choice, fires: xr.Dataset, forecasts: xr.Dataset) -> list[int]:
    """Forecasts of the fire, by their initial step, whose shortest lead was observed."""
    rows, lead = fire_rows(fires, choice.fire_id), int(forecasts.lead.values[0])
    of_fire = (forecasts.fire_id.values == choice.fire_id) & (forecasts.split.values == "test")
    found = [p for p in np.flatnonzero(of_fire).tolist() if rows.start + _step(forecasts, p) + lead < rows.stop]
    return sorted(found, key=lambda place: _step(forecasts, place))


def _step(forecasts: xr.Dataset, place: int) -> int:
    return int(forecasts.init_step.values[place])


def _animation(
    wanted: Sequence[tuple[int, int]], choice: Choice, fires: xr.Dataset, forecasts: xr.Dataset, threshold: float
) -> Animation:
    steps = [_read(place, lead, choice, fires, forecasts) for place, lead in wanted]
    fire = np.zeros(fires.burned.shape[1:], bool)
    for step in steps:
        fire |= (step.observed == 1) | (step.held == 1) | (step.probability >= max(threshold, 1e-6))
    cut = cut_around(fire)
    cell_m = float(fires.attrs["cell_m"])
    elevation, _, unburnable = terrain_of(fires, choice.fire_id, cut)
    unknown = any((step.observed[cut] == UNKNOWN).any() or (step.held[cut] == UNKNOWN).any() for step in steps)
    keys = [
        *[Key(BURNED_COLOUR, "burned before")] * any((step.held == 1).any() for step in steps),
        Key(probability_gradient(), "forecast: probability 0 to 100 %"),
        Key(OUTCOME_COLOURS["hit"], "hit: marked, and it burned"),
        Key(OUTCOME_COLOURS["miss"], "miss: burned, but not marked"),
        Key(OUTCOME_COLOURS["false alarm"], "false alarm: marked, but it did not burn"),
        *[Key(PALE_UNBURNABLE, "does not burn")] * bool(unburnable.any()),
        *[Key(UNKNOWN_COLOUR, "unknown")] * unknown,
    ]
    return Animation(
        ground=_ground(unburnable, hillshade(elevation, cell_m)),
        moments=[_moment(step, cut, threshold, cell_m) for step in steps],
        keys=keys,
        side_m=(cut[0].stop - cut[0].start) * cell_m,
    )


def _read(place: int, lead_index: int, choice: Choice, fires: xr.Dataset, forecasts: xr.Dataset) -> Step:
    step, lead = _step(forecasts, place), int(forecasts.lead.values[lead_index])
    row, seconds = fire_rows(fires, choice.fire_id).start + step, float(fires.attrs["seconds_per_frame"])
    if has_calendar(fires, choice.fire_id):
        begun = str(fires.valid_time.values[row].astype("datetime64[m]")).replace("T", " ")
    else:
        begun = f"{duration_text(step * seconds)} after the first map"
    return Step(
        held=held(fires, row),
        stays_burned=stays_burned(fires),
        observed=observed(fires, row + lead),
        probability=forecasts.probability[place, lead_index].values,
        begun=begun,
        ahead=duration_text(lead * seconds),
        wind=wind_text(wind_of(fires, row)),
    )


def _moment(step: Step, cut: tuple[slice, slice], threshold: float, cell_m: float) -> Moment:
    burned, came, probability = step.held[cut] == 1, step.observed[cut], step.probability[cut]
    known = (step.held[cut] == 0) & (came != UNKNOWN)
    called, fire = probability >= threshold, came == 1
    level = np.maximum(np.rint(np.nan_to_num(probability) * (LEVELS - 1)), 1)
    forecast = np.where(probability >= SHOWN_FROM, level, 0).astype(int)
    forecast[np.isnan(probability)] = UNKNOWN_GROUND
    outcome = np.where(known, 0, UNKNOWN_GROUND)
    outcome[known & called & fire], outcome[known & ~called & fire] = HIT, MISS
    outcome[known & called & ~fire] = FALSE_ALARM
    forecast[burned] = outcome[burned] = BURNED
    areas = [_hectares(known & of, cell_m) for of in (fire, called & fire, called & ~fire)]
    grown, marked, false_alarm = areas
    said = (
        f"From {step.begun}, {step.ahead} ahead, {step.wind}: {grown} ha burned{' anew' * step.stays_burned}, "
        f"{marked} ha of it were marked; {false_alarm} ha of false alarm."
    )
    highest = f"highest probability of new fire {100 * float(np.max(probability[known], initial=0)):.0f} %"
    about = f"Forecast from {step.begun}, {step.ahead} ahead: {highest}."
    return Moment(
        forecast=Picture(_png(forecast, _colours()), about, ""),
        outcome=Picture(_png(outcome, _colours()), f"What burned by then: {said}", ""),
        text=said,
    )


def _hectares(area: Bool[np.ndarray, "y x"], cell_m: float) -> str:
    value = np.count_nonzero(area) * cell_m**2 / HECTARE
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def _ground(unburnable: Bool[np.ndarray, "y x"], shade: np.ndarray | None) -> Picture:
    """Pale relief, in another colour where nothing burns; `shade` is a hillshade [y, x] or None."""
    level = np.full(unburnable.shape, SHADES - 1) if shade is None else np.rint(shade * (SHADES - 1)).astype(int)
    brightness = np.linspace(DARKEST, 1, SHADES)[:, None]
    colours = np.concatenate([brightness * to_rgb(of) for of in (GROUND_COLOUR, PALE_UNBURNABLE)])
    return Picture(_png(level + SHADES * unburnable, np.column_stack([colours, np.ones(2 * SHADES)])), "", "")


def _png(places: Int[np.ndarray, "y x"], colours: Float[np.ndarray, "colour 4"]) -> str:
    """A picture of one pixel a cell, which a browser draws larger, in squares.

    Args:
        places: place of each cell's colour.
        colours: red, green, blue and opacity from 0 to 1.
    """
    levels = np.rint(255 * colours).astype(np.uint8)
    image = Image.fromarray(places.astype(np.uint8))
    image.putpalette(levels[:, :3].tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, transparency=levels[:, 3].tobytes())
    return data_uri(buffer.getvalue(), "image/png")


def _colours() -> Float[np.ndarray, "colour 4"]:
    """Of probability, the less the clearer, then of the places named at the top."""
    probability = np.linspace(0, 1, LEVELS)
    colours = PROBABILITY(probability)
    colours[:, 3] = np.minimum(1, probability / OPAQUE_FROM)
    ground = [to_rgba(colour) for colour in (BURNED_COLOUR, UNKNOWN_COLOUR, *OUTCOME_COLOURS.values())]
    return np.concatenate([colours, ground])
