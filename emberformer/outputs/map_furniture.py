"""Scale bar, and north and wind arrows, true to the ground; how steep its relief is drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib_scalebar.scalebar import ScaleBar
from numpy.typing import ArrayLike

from emberformer.outputs import colours
from emberformer.outputs.grid import Grid, ground_scale, north

POINTS = ["N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW"]
STILL = 0.05  # m/s


def exaggeration(down: ArrayLike, right: ArrayLike) -> float:
    """How many times steeper flat ground is drawn, so that it shows its forms: 1 to 5.

    Args:
        down: slope along the columns, height by distance [y, x].
        right: along the rows.
    """
    return float(np.clip(0.7 / max(np.percentile(np.hypot(down, right), 95), 1e-6), 1, 5))


def draw_scale_bar(axes: Axes, grid: Grid) -> None:
    """A scale bar in metres or kilometres on the ground, at the centre of the map."""
    metres, _ = ground_scale(grid)
    # Only across: up the map a unit may be of another length.
    style = {"rotation": "horizontal-only", "box_alpha": 0.85, "border_pad": 0.6, "font_properties": {"size": 9}}
    axes.add_artist(ScaleBar(metres, "m", location="lower left", width_fraction=0.012, **style))


def draw_compass(
    figure: Figure, place: tuple[float, float, float, float], grid: Grid, wind: tuple[float, float] | None
) -> None:
    """Arrows towards true north and with the wind, and the wind in words.

    Args:
        figure: where to draw.
        place: left, bottom, width and height, as shares of the figure.
        grid: the map.
        wind: m/s towards east and north; None = not known.
    """
    axes = figure.add_axes(place)
    axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
    axes.axis("off")
    up = np.array(north(grid))
    right = np.array([up[1], -up[0]])
    _arrow(axes, (-0.85, 0.45), up, "black")
    axes.text(-0.85 + 0.95 * up[0], 0.45 + 0.95 * up[1], "N", ha="center", va="center", fontsize=11, fontweight="bold")
    if wind is not None and np.hypot(*wind) >= STILL:
        _arrow(axes, (0.75, 0.45), (wind[0] * right + wind[1] * up) / np.hypot(*wind), colours.WIND)
    axes.text(0.0, -0.75, wind_text(wind), ha="center", va="top", fontsize=10, color=colours.WIND)


def wind_text(wind: tuple[float, float] | None) -> str:
    r"""Speed of the wind and where it comes from, as forecasters say it.

    >>> wind_text((0.0, -5.0))
    'Wind 5.0 m/s (18 km/h)\nfrom N (0°)'
    >>> wind_text((3.0, 3.0)).splitlines()[1]
    'from SW (225°)'
    """
    if wind is None:
        return "Wind not known"
    speed = float(np.hypot(*wind))
    if speed < STILL:
        return "No wind"
    degrees = float(np.degrees(np.arctan2(-wind[0], -wind[1]))) % 360
    point = POINTS[round(degrees / 22.5) % 16]
    return f"Wind {speed:.1f} m/s ({3.6 * speed:.0f} km/h)\nfrom {point} ({round(degrees) % 360}°)"


def _arrow(axes: Axes, centre: tuple[float, float], direction: np.ndarray, colour: str) -> None:
    across, up = 0.7 * direction
    start, end = (centre[0] - across, centre[1] - up), (centre[0] + across, centre[1] + up)
    shape = {"arrowstyle": "-|>,head_width=0.4,head_length=0.8", "color": colour, "linewidth": 2.4}
    axes.annotate("", xy=end, xytext=start, arrowprops=shape | {"shrinkA": 0, "shrinkB": 0})
