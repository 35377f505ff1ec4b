"""Maps of one forecast: the ground, the fire so far, the forecast, and what burned."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from emberformer.data.fires import UNKNOWN
from emberformer.geometry import HECTARE
from emberformer.outputs import colours
from emberformer.outputs.map_furniture import exaggeration
from emberformer.report.cases import Case
from emberformer.report.figures import Picture, data_uri

# Hits, misses and false alarms: blue, vermilion, yellow of Okabe and Ito, also apart in brightness.
OUTCOME_COLOURS = {"hit": "#0072B2", "miss": "#D55E00", "false alarm": "#F0E442"}
BURNED_COLOUR, UNBURNABLE_COLOUR, GROUND_COLOUR = "#8c8c8c", "#7FA3C7", "#e9e6df"
THRESHOLD_COLOUR, UNKNOWN_COLOUR = "#0072B2", "#dcdcdc"
# Fills for any colour vision by Paul Tol (technical note SRON/EPS/TN/09-002, "light"), without blue, a third paler.
FUEL_COLOURS = ("#F4E9B2", "#D3DE7B", "#86D3BF", "#F4B29C", "#C8C859", "#FFC8D3")
OTHER_FUEL_COLOUR = "#E4E4E4"
PROBABILITY = LinearSegmentedColormap.from_list("burn", ["#ffffff", *colours.PROBABILITY.values()])
PERIMETERS = LinearSegmentedColormap.from_list("perimeters", ["#f6d9a8", "#d98a4a", "#7a2a0c"])
SIDE, DPI = 3.4, 170  # inches, dots per inch
COMPASS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")


class Key(NamedTuple):
    """One entry of a map's key: a colour (a CSS background, "" = none) and what it means."""

    colour: str
    text: str


class Panel(NamedTuple):
    """A map, its title and its key."""

    title: str
    picture: Picture
    keys: list[Key]


def probability_gradient() -> str:
    """The probability colours as a CSS background."""
    return f"linear-gradient(to right, {', '.join(to_hex(PROBABILITY(p)) for p in np.linspace(0, 1, 9))})"


def fuel_colours(cases: Sequence[Case]) -> dict[float, str]:
    """One colour a fuel code, the same on all maps of a data set; the rarest share a grey."""
    codes, counts = np.unique(
        np.concatenate([_burning_fuels(case) for case in cases] or [np.empty(0)]), return_counts=True
    )
    order = np.lexsort((codes, -counts))
    return {float(codes[k]): FUEL_COLOURS[place] for place, k in enumerate(order[: len(FUEL_COLOURS)])}


def draw_case(case: Case, fuels: Mapping[float, str]) -> list[Panel]:
    """The four maps of one forecast.

    Args:
        case: the rasters.
        fuels: colours of the fuel codes, see `fuel_colours`.
    """
    shade = hillshade(case.elevation, case.cell_m)
    return [_ground(case, fuels, shade), _last_burned(case, shade), _forecast(case), _outcome(case)]


def hillshade(elevation: np.ndarray | None, cell_m: float) -> np.ndarray | None:
    """Brightness of the ground in light from the upper left, 45 degrees high: max(0, normal . light).

    Flat terrain is exaggerated, see `exaggeration`.

    Args:
        elevation: m [y, x]; NaN = unknown, drawn as level ground at the mean height.
        cell_m: side of a pixel in m.

    Returns:
        0 (dark) to 1; level ground is 0.71. None without elevation.
    """
    if elevation is None or min(elevation.shape) < 2 or not np.isfinite(elevation).any():
        return None
    down, right = np.gradient(np.where(np.isfinite(elevation), elevation, np.nanmean(elevation)) / cell_m)
    times = exaggeration(down, right)
    down, right = down * times, right * times
    # normal = (-right, -down, 1) in (x right, y down, up); light = (-1/2, -1/2, 1/sqrt 2)
    return np.clip((right / 2 + down / 2 + np.sqrt(0.5)) / np.sqrt(1 + right**2 + down**2), 0, 1)


def wind_text(wind: tuple[float, float] | None) -> str:
    """Speed and direction in words.

    >>> wind_text((3.0, 4.0))
    'wind 5.0 m/s towards north-east'
    """
    if wind is None:
        return "wind not known"
    speed, towards = np.hypot(*wind), np.degrees(np.arctan2(wind[0], wind[1]))
    return f"wind {speed:.1f} m/s towards {COMPASS[round(towards / 45) % 8]}" if speed >= 0.05 else "no wind"


def _ground(case: Case, fuels: Mapping[float, str], shade: np.ndarray | None) -> Panel:
    colour = np.broadcast_to(to_rgb(GROUND_COLOUR), (*case.unburnable.shape, 3)).copy()
    keys = []
    if case.fuel is not None:
        colour[np.isfinite(case.fuel)] = to_rgb(OTHER_FUEL_COLOUR)
        present = set(_burning_fuels(case).tolist())
        for code in sorted(present & set(fuels)):
            colour[case.fuel == code] = to_rgb(fuels[code])
            keys.append(Key(fuels[code], f"fuel {code:g}"))
        keys += [Key(OTHER_FUEL_COLOUR, "other fuels")] * bool(present - set(fuels))
    colour[case.unburnable] = to_rgb(UNBURNABLE_COLOUR)
    keys += [Key(UNBURNABLE_COLOUR, "does not burn")] * bool(case.unburnable.any())

    def draw(axes: Axes) -> None:
        axes.imshow(_lit(colour, shade, 0.55))
        _outline(axes, case.burned[-1] == 1, "black", 1.2)
        _scale_bar(axes, case)
        _north_arrow(axes, case)
        _wind_arrow(axes, case)

    shown = ", ".join(key.text for key in keys) or "no fuel data"
    alt = f"Shaded relief with {shown} and the fire's outline; {wind_text(case.wind)}."
    return Panel("Ground and wind", _picture(draw, alt), [*keys, Key("black", "front"), Key("", wind_text(case.wind))])


def _last_burned(case: Case, shade: np.ndarray | None) -> Panel:
    colour = np.broadcast_to(to_rgb(GROUND_COLOUR), (*case.unburnable.shape, 3)).copy()
    burned = case.burned[-1] == 1
    colour[burned] = to_rgb("#4a4a4a")

    def draw(axes: Axes) -> None:
        axes.imshow(_lit(colour, None if shade is None else np.where(burned, np.sqrt(0.5), shade), 0.25))
        for step, frame in enumerate(case.burned[:-1]):
            _outline(axes, frame == 1, PERIMETERS(0.8 - 0.8 * step / max(1, len(case.burned) - 1)), 0.8)
        _outline(axes, burned, "black", 1.4)

    area = np.count_nonzero(burned) * case.cell_m**2 / HECTARE
    keys = [Key("#4a4a4a", f"burned by map {case.step + 1}, {area:,.0f} ha")]
    keys += [Key(to_hex(PERIMETERS(0.3)), "earlier perimeters, first one darkest")] * (case.step > 0)
    alt = f"Burned area on map {case.step + 1}, {area:,.0f} hectares, with {case.step} earlier perimeters."
    return Panel("Last burned area seen", _picture(draw, alt), keys)


def _forecast(case: Case) -> Panel:
    colour = PROBABILITY(np.nan_to_num(np.clip(case.probability, 0, 1)))[..., :3]
    colour[case.held == 1] = to_rgb(BURNED_COLOUR)
    colour[np.isnan(case.probability)] = to_rgb(UNKNOWN_COLOUR)
    # The contour goes round the new fire and the old: inside the old fire there is no edge.
    called = (case.probability >= case.threshold) | (case.held == 1)

    def draw(axes: Axes) -> None:
        axes.imshow(colour)
        _outline(axes, called, THRESHOLD_COLOUR, 1.4)
        _outline(axes, case.burned[-1] == 1, "black", 1.2)

    keys = [
        Key(probability_gradient(), "probability 0 to 1"),
        Key("black", "front"),
        Key(THRESHOLD_COLOUR, f"marked: from {case.threshold:.2f}"),
    ]
    keys += [Key(UNKNOWN_COLOUR, "unknown")] * bool(np.isnan(case.probability).any())
    highest = float(np.max(case.probability[case.open_to_fire], initial=0))
    alt = f"Probability of new fire, highest {highest:.2f}, with the front and the contour at {case.threshold:.2f}."
    return Panel("Forecast probability of new fire", _picture(draw, alt), keys)


def _outcome(case: Case) -> Panel:
    colour = np.ones((*case.unburnable.shape, 3))
    unknown = (case.observed == UNKNOWN) | (case.held == UNKNOWN)
    colour[unknown] = to_rgb(UNKNOWN_COLOUR)
    colour[case.held == 1] = to_rgb(BURNED_COLOUR)
    for name, places in case.outcomes.items():
        colour[places] = to_rgb(OUTCOME_COLOURS[name])

    def draw(axes: Axes) -> None:
        axes.imshow(colour)
        _outline(axes, case.burned[-1] == 1, "black", 0.8)

    plural = {"hit": "hits", "miss": "misses", "false alarm": "false alarms"}
    counts = {name: int(np.count_nonzero(places)) for name, places in case.outcomes.items()}
    keys = [Key(OUTCOME_COLOURS[name], f"{plural[name]} {count:,}") for name, count in counts.items()]
    alt = f"What burned against the forecast at {case.threshold:.2f}, in pixels: {', '.join(key.text for key in keys)}."
    keys += [Key(BURNED_COLOUR, "burned before")] * bool((case.held == 1).any())
    keys += [Key("black", "front")] * bool((case.held != case.burned[-1]).any())
    keys += [Key(UNKNOWN_COLOUR, "unknown")] * bool(unknown.any())
    return Panel("What burned", _picture(draw, alt), keys)


def _picture(draw: Callable[[Axes], None], alt: str) -> Picture:
    with matplotlib.rc_context({"image.interpolation": "nearest", "font.size": 9}):
        figure = Figure(figsize=(SIDE, SIDE))
        axes = figure.add_axes((0.004, 0.004, 0.992, 0.992))
        draw(axes)
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_edgecolor("#666666")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"optimize": True})
    return Picture(data_uri(buffer.getvalue(), "image/png"), alt, "")


def _burning_fuels(case: Case) -> np.ndarray:
    return np.empty(0) if case.fuel is None else case.fuel[np.isfinite(case.fuel) & ~case.unburnable]


def _lit(colour: np.ndarray, shade: np.ndarray | None, strength: float) -> np.ndarray:
    """Colours in the light of a hillshade; level ground keeps its colour."""
    if shade is None:
        return colour
    return np.clip(colour * (1 + strength * (shade - np.sqrt(0.5)) / np.sqrt(0.5))[..., None], 0, 1)


def _outline(axes: Axes, area: np.ndarray, colour: object, width: float) -> None:
    if area.any() and not area.all():
        axes.contour(area, levels=[0.5], colors=[colour], linewidths=width)


def _scale_bar(axes: Axes, case: Case) -> None:
    """A round length of at most a third of the map."""
    width = case.unburnable.shape[1]
    longest = width * case.cell_m / 3
    power = 10.0 ** np.floor(np.log10(longest))
    length = max(step * power for step in (1, 2, 5) if step * power <= longest)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    share, left, bottom = length / case.cell_m / width, 0.05, 0.045
    _card(axes, left - 0.025, bottom - 0.02, share + 0.05, 0.095)
    axes.add_patch(
        Rectangle((left, bottom), share, 0.012, transform=axes.transAxes, color="black", linewidth=0, zorder=6)
    )
    axes.text(
        left + share / 2, bottom + 0.02, text, transform=axes.transAxes, ha="center", va="bottom", fontsize=8, zorder=6
    )


def _north_arrow(axes: Axes, case: Case) -> None:
    column, row = case.compass[1]
    _card(axes, 0.885, 0.84, 0.09, 0.135)
    _arrow(axes, (0.93, 0.895), (column, -row), 0.075, "black")
    tip = 0.93 + 0.058 * column, 0.895 - 0.058 * row
    axes.text(*tip, "N", transform=axes.transAxes, ha="center", va="center", fontsize=8, zorder=7)


def _wind_arrow(axes: Axes, case: Case) -> None:
    if case.wind is None or np.hypot(*case.wind) < 0.05:
        return
    column, row = np.asarray(case.wind) @ case.compass / np.hypot(*case.wind)
    _card(axes, 0.025, 0.765, 0.21, 0.21)
    _arrow(axes, (0.13, 0.895), (column, -row), 0.115, "#0050A0")
    text = f"{np.hypot(*case.wind):.1f} m/s"
    axes.text(0.13, 0.782, text, transform=axes.transAxes, ha="center", va="bottom", fontsize=8, zorder=7)


def _arrow(axes: Axes, centre: tuple[float, float], direction: tuple[float, float], length: float, colour: str) -> None:
    column, row = direction[0] * length / 2, direction[1] * length / 2
    start, end = (centre[0] - column, centre[1] - row), (centre[0] + column, centre[1] + row)
    shape = {
        "arrowstyle": "-|>,head_width=0.35,head_length=0.6",
        "color": colour,
        "linewidth": 1.8,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.annotate("", xy=end, xytext=start, xycoords="axes fraction", arrowprops=shape, zorder=7)


def _card(axes: Axes, left: float, bottom: float, width: float, height: float) -> None:
    style = {"boxstyle": "round,pad=0,rounding_size=0.02", "facecolor": "white", "edgecolor": "none", "alpha": 0.82}
    axes.add_patch(FancyBboxPatch((left, bottom), width, height, transform=axes.transAxes, zorder=5, **style))
