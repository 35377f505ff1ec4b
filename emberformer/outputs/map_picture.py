"""A map of a forecast as a picture: terrain, probability, newest perimeter, isochrones, wind, scale and legend."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LightSource, LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke

from emberformer.errors import InputError
from emberformer.geometry import surroundings
from emberformer.outputs import colours
from emberformer.outputs.arrival import THRESHOLD
from emberformer.outputs.fire_forecast import UNKNOWN, north_up
from emberformer.outputs.grid import Grid, grid_of, ground_scale
from emberformer.outputs.isochrones import isochrones
from emberformer.outputs.map_furniture import draw_compass, draw_scale_bar, exaggeration
from emberformer.outputs.times import ahead, minutes, seconds_ahead

SIZE, DPI = (10.0, 8.0), 160  # inches and dots per inch: 1600 x 1280; at 1000 pixels wide the text is 12 pixels high
MAP = (0.07, 0.085, 0.66, 0.79)  # left, bottom, width and height as shares of the picture
SIDE = 0.75  # left edge of the legend
SHOWN_FROM = 0.01  # probability from which on it is coloured
FRAMED_FROM = 0.05  # probability from which on it is inside the map's frame
MOST_LINES = 6  # isochrones drawn
EARLIEST_LINE, LATEST_LINE = "#56B4E9", "#00224e"


class Layers(NamedTuple):
    """What a map shows, first row in the north.

    `elevation` is in m [y, x], or None; `lead` 0 shows what is burned at init_time; `threshold` is of the isochrones.
    """

    forecast: xr.Dataset
    grid: Grid
    elevation: np.ndarray | None
    lead: int
    threshold: float


def write_map(
    forecast: xr.Dataset, path: Path, *, elevation: np.ndarray | None = None, threshold: float = THRESHOLD
) -> None:
    """Write the map of the last lead as PNG, 1600 x 1280 pixels.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        path: file to write.
        elevation: m, on the forecast's grid [y, x], NaN = unknown; None = plain ground.
        threshold: probability of the isochrones.
    """
    figure = draw_map(forecast, int(forecast.lead.values[-1]), elevation=elevation, threshold=threshold)
    figure.savefig(path, dpi=DPI, metadata={"Software": "EmberFormer"})


def draw_map(
    forecast: xr.Dataset, lead: int, *, elevation: np.ndarray | None = None, threshold: float = THRESHOLD
) -> Figure:
    """The map of a lead; 0 is the map at `init_time`, with what is burned alone. All leads have the same frame.

    Raises:
        InputError: the elevation is not on the forecast's grid.
    """
    layers = _layers(forecast, lead, elevation, threshold)
    figure = Figure(figsize=SIZE, facecolor="white")
    axes = figure.add_axes(MAP)
    _draw_ground(axes, layers)
    image = _draw_probability(axes, layers)
    _draw_newest(axes, layers)
    lines = _draw_isochrones(axes, layers)
    _frame(axes, layers)
    draw_scale_bar(axes, layers.grid)
    bar = figure.add_axes((SIDE, 0.835, 0.21, 0.022))
    figure.colorbar(image, cax=bar, orientation="horizontal", ticks=[0.01, 0.25, 0.5, 0.75, 1])
    bar.set_xticklabels(["1", "25", "50", "75", "100 %"], fontsize=9)
    bar.set_title("Probability of being burned", fontsize=10, loc="left")
    handles, corner = [*_legend(layers), *lines], (SIDE - 0.012, 0.79)
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=corner, fontsize=9.5, frameon=False)
    draw_compass(figure, (SIDE, 0.085, 0.22, 0.27), layers.grid, _wind(layers))
    _write_texts(figure, layers)
    return figure


def _layers(forecast: xr.Dataset, lead: int, elevation: np.ndarray | None, threshold: float) -> Layers:
    if elevation is not None:
        if np.shape(elevation) != forecast.burned.shape:
            found, expected = f"shape {np.shape(elevation)}", f"the forecast's grid {forecast.burned.shape}"
            raise InputError("elevation of the map", found, expected, "warp it to the forecast's grid first")
        forecast = forecast.assign(elevation=(("y", "x"), np.asarray(elevation, float)))
    upright = north_up(forecast)
    height = upright.elevation.values if elevation is not None and np.isfinite(elevation).any() else None
    return Layers(upright, grid_of(upright), height, lead, threshold)


def _draw_ground(axes: Axes, layers: Layers) -> None:
    axes.set_facecolor("#f4f1ea")
    if layers.elevation is None:
        return
    height = np.where(np.isfinite(layers.elevation), layers.elevation, np.nanmean(layers.elevation))
    metres_x, metres_y = ground_scale(layers.grid)
    dx, dy = abs(layers.grid.transform.a) * metres_x, abs(layers.grid.transform.e) * metres_y
    times = exaggeration(*np.gradient(height, dy, dx))
    shade = LightSource(315, 45).hillshade(height, vert_exag=times, dx=dx, dy=dy)
    axes.imshow(shade, cmap="gray", vmin=-0.9, vmax=1.05, extent=_extent(layers.grid), interpolation="bilinear")


def _draw_probability(axes: Axes, layers: Layers):
    """The coloured probability, clear where it is below 1 %; returns the picture for its colour bar."""
    ramp = {0.0: colours.PROBABILITY[0.05], **colours.PROBABILITY}
    opaque = {0.0: 0.0, SHOWN_FROM: 0.15, 0.1: 0.8}
    stops = [(p, (*to_rgb(colours.between(ramp, p)), opaque.get(p, 0.85))) for p in sorted({*ramp, *opaque} - {0.05})]
    colour_map = LinearSegmentedColormap.from_list("probability", stops, N=512)
    values = np.zeros(layers.grid.shape) if layers.lead == 0 else layers.forecast.probability[layers.lead - 1].values
    burned = layers.forecast.burned.values
    shown = np.ma.masked_where(np.isnan(values) | (values < SHOWN_FROM) | (burned == 1), values)
    style = {"extent": _extent(layers.grid), "interpolation": "nearest"}
    unknown = np.ma.masked_where(~(np.isnan(values) | (burned == UNKNOWN)), np.ones(layers.grid.shape))
    axes.imshow(unknown, cmap=LinearSegmentedColormap.from_list("unknown", [colours.UNKNOWN] * 2), alpha=0.85, **style)
    return axes.imshow(shown, cmap=colour_map, vmin=0, vmax=1, **style)


def _draw_newest(axes: Axes, layers: Layers) -> None:
    burned = layers.forecast.burned.values == 1
    grey = LinearSegmentedColormap.from_list("burned", [colours.BURNED] * 2)
    area = np.ma.masked_where(~burned, np.ones(burned.shape))
    axes.imshow(area, cmap=grey, alpha=0.75, extent=_extent(layers.grid), interpolation="nearest")


def _draw_isochrones(axes: Axes, layers: Layers) -> list[Line2D]:
    """The newest perimeter and up to `MOST_LINES` isochrones, the last the lead's; returns the legend's lines."""
    leads = layers.forecast.sizes["lead"]
    chosen = np.unique(np.linspace(leads, 1, min(leads, MOST_LINES)).round()).astype(int)
    rows = isochrones(layers.forecast, layers.threshold)
    handles = []
    for lead, time, label, lines in zip(rows.lead, rows.arrival_time, rows.label, rows.geometry, strict=True):
        if lead > layers.lead or (lead and lead not in chosen):
            continue
        share = (lead - 1) / (leads - 1) if leads > 1 else 1.0
        colour = colours.between({0.0: EARLIEST_LINE, 1.0: LATEST_LINE}, share) if lead else colours.NEWEST
        halo = [Stroke(linewidth=3.2, foreground="white", alpha=0.8), Normal()]
        for line in lines.geoms:
            # The observed perimeter stays in sight where forecasts coincide with it.
            order = 3 if lead else 4
            axes.plot(*line.xy, color=colour, linewidth=1.8, path_effects=halo, solid_joinstyle="round", zorder=order)
        text = f"{label if lead else 'newest perimeter'}, {time:%H:%M} UTC"
        handles.append(Line2D([], [], color=colour, linewidth=2.2, label=text))
    if any(handle.get_color() != colours.NEWEST for handle in handles):
        heading = f"Isochrones (probability {100 * layers.threshold:g} %)"
        handles.insert(1 if rows.lead.iloc[0] == 0 else 0, Line2D([], [], linestyle="none", label=heading))
    return handles


def _legend(layers: Layers) -> list[Patch]:
    burned = layers.forecast.burned.values
    patches = []
    if (burned == 1).any():
        patches.append(Patch(facecolor=colours.BURNED, alpha=0.75, label="burned so far"))
    if (burned == UNKNOWN).any() or np.isnan(layers.forecast.probability.values).any():
        patches.append(Patch(facecolor=colours.UNKNOWN, label="unknown"))
    return patches


def _frame(axes: Axes, layers: Layers) -> None:
    """Show a square around the fire and its forecast, as far as there are pixels; axes in units of the CRS."""
    last = layers.forecast.probability[-1].values
    fire = (last >= FRAMED_FROM) | (layers.forecast.burned.values == 1)
    rows, columns = surroundings(fire if fire.any() else np.ones_like(fire), 0)
    spans = []
    side = max(rows.stop - rows.start, columns.stop - columns.start)
    side += 2 * max(4, round(0.15 * side))
    for part, length in ((rows, layers.grid.shape[0]), (columns, layers.grid.shape[1])):
        wide = min(side, length)
        start = int(np.clip((part.start + part.stop - wide) // 2, 0, length - wide))
        spans.append((start, start + wide))
    left, top = layers.grid.transform * (spans[1][0], spans[0][0])
    right, bottom = layers.grid.transform * (spans[1][1], spans[0][1])
    metres_x, metres_y = ground_scale(layers.grid)
    axes.set(xlim=(left, right), ylim=(bottom, top), anchor="NW")
    axes.set_aspect(metres_y / metres_x)
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=8, color="#666666", labelcolor="#444444")
    for label in axes.get_yticklabels():
        label.set(rotation=90, verticalalignment="center")
    crs = layers.grid.crs
    name, unit = ("no CRS", "metre") if crs is None else (crs.name, crs.axis_info[0].unit_name)
    axes.set_xlabel(f"{name} ({unit})", fontsize=8.5, color="#444444")


def _wind(layers: Layers) -> tuple[float, float] | None:
    """Wind of the shown lead's step, of the first for the map at init_time; None where none is known."""
    place = max(layers.lead, 1) - 1
    u, v = (float(layers.forecast[name].values[place]) for name in ("wind_u", "wind_v"))
    return (u, v) if np.isfinite([u, v]).all() else None


def _write_texts(figure: Figure, layers: Layers) -> None:
    attributes, init = layers.forecast.attrs, minutes(layers.forecast.init_time.values)
    figure.text(MAP[0], 0.955, attributes["title"], fontsize=14, fontweight="bold", va="center")
    if layers.lead == 0:
        when = f"Observed at {init} UTC"
    else:
        valid = minutes(layers.forecast.valid_time.values[layers.lead - 1])
        later = ahead(float(seconds_ahead(layers.forecast)[layers.lead - 1]))
        when = f"Forecast made at {init} UTC, valid at {valid} UTC ({later})"
    figure.text(MAP[0], 0.912, when, fontsize=11, va="center")
    made = f"EmberFormer, {attributes['method']}, model {attributes['model_hash']}."
    warning = "A forecast, not an observed perimeter." if layers.lead else ""
    figure.text(MAP[0], 0.018, f"{made} {warning}", fontsize=8.5, color="#444444", va="center")


def _extent(grid: Grid) -> tuple[float, float, float, float]:
    left, top = grid.transform * (0, 0)
    right, bottom = grid.transform * (grid.shape[1], grid.shape[0])
    return left, right, bottom, top
