"""Charts of ensembles: rank histogram, spread against skill, reliability, and the members of one forecast."""

from __future__ import annotations

import io
from collections.abc import Mapping

import matplotlib
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from emberformer.arrival_leads import NEVER, UNKNOWN, arrival_percentiles, burn_probability
from emberformer.geometry import surroundings
from emberformer.outputs.colours import ARRIVAL
from emberformer.report.figures import (
    BASELINE_MARKERS,
    MODEL_COLOUR,
    RIVAL_COLOURS,
    SEED_MARKERS,
    Picture,
    chart,
    data_uri,
    legend_above,
)
from emberformer.report.maps import PROBABILITY, UNKNOWN_COLOUR
from emberformer.report.verdict import number
from emberformer.sampling import evenly_spaced

RAMP = LinearSegmentedColormap.from_list("arrival", ARRIVAL)
MEMBERS_SHOWN = 6
GROUND, BURNED_COLOUR = "#f4f1ea", "#1a1a1a"  # apart from all of the arrival times
PANELS, DPI = (8.4, 8.6), 150  # inches, dots per inch
MARKERS = (SEED_MARKERS[0], *BASELINE_MARKERS.values(), "v", "P")


def rank_plot(histograms: Mapping[str, Int[np.ndarray, " rank"]]) -> Picture:
    """Rank histogram of each method, so that ensembles of different sizes can be compared.

    Args:
        histograms: method -> number of forecasts by how many members lie below the observed area, the subject first.
    """

    def draw(axes: Axes) -> None:
        axes.axhline(1, color="#333333", linewidth=1, linestyle=(0, (4, 3)), label="flat: like the truth")
        for place, (method, histogram) in enumerate(histograms.items()):
            ranks = len(histogram)
            relative = histogram * ranks / max(histogram.sum(), 1)
            axes.stairs(relative, np.arange(ranks + 1) / ranks, color=_colour(place), label=method, linewidth=1.8)
        axes.set(xlim=(0, 1), xlabel="share of members below the observed area", ylabel="forecasts, flat = 1")
        axes.set_ylim(bottom=0)
        legend_above(axes)

    said = "; ".join(f"{method} {', '.join(map(str, of.tolist()))}" for method, of in histograms.items())
    return chart(draw, f"Rank histogram of the observed area, forecasts by rank: {said}.", "Rank of the observed area")


def spread_skill_plot(
    spread: Mapping[str, Float[np.ndarray, " lead"]], rmse: Mapping[str, Float[np.ndarray, " lead"]]
) -> Picture:
    """Spread of the area against the error of its ensemble mean, a point a lead.

    Args:
        spread: method -> spread in hectares at each lead, the subject first.
        rmse: method -> root mean squared error of the ensemble mean in hectares.
    """
    most = 1.08 * max((float(np.nanmax([*spread[name], *rmse[name]])) for name in spread), default=1.0)

    def draw(axes: Axes) -> None:
        axes.plot([0, most], [0, most], color="#333333", linewidth=1, linestyle=(0, (4, 3)), label="like the truth")
        for place, method in enumerate(spread):
            marker = MARKERS[place % len(MARKERS)]
            axes.plot(rmse[method], spread[method], marker=marker, color=_colour(place), label=method)
        axes.set(xlim=(0, most), ylim=(-0.02 * most, most))
        axes.set(xlabel="error of the mean area (RMSE, ha)", ylabel="spread of the area (ha)")
        legend_above(axes)

    both = {method: zip(spread[method], rmse[method], strict=True) for method in spread}
    said = "; ".join(f"{m} {', '.join(f'{number(s, 0)} for {number(e, 0)}' for s, e in of)}" for m, of in both.items())
    return chart(draw, f"Spread of the area for its error, in hectares, by lead: {said}.", "Spread and skill")


def burn_reliability_plot(
    forecast: Mapping[str, Float[np.ndarray, " bin"]], observed: Mapping[str, Float[np.ndarray, " bin"]]
) -> Picture:
    """How often pixels burned that a share of the members burns.

    Args:
        forecast: method -> mean burn probability of each bin, NaN = empty, the subject first.
        observed: method -> share of its pixels that burned.
    """

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color="#333333", linewidth=1, linestyle=(0, (4, 3)), label="perfect")
        for place, method in enumerate(forecast):
            marker = MARKERS[place % len(MARKERS)]
            held = ~np.isnan(forecast[method])
            axes.plot(forecast[method][held], observed[method][held], marker=marker, color=_colour(place), label=method)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set(xlabel="burn probability (share of members)", ylabel="observed frequency")
        legend_above(axes)

    said = "; ".join(f"{method} {_pairs(forecast[method], observed[method])}" for method in forecast)
    return chart(draw, f"Reliability of the burn probability, forecast then observed: {said}.", "Reliability")


def members_picture(
    observed: UInt8[np.ndarray, "y x"], arrival_lead: UInt8[np.ndarray, "member y x"], leads: int, title: str
) -> Picture:
    """What was observed, six members by size from the smallest to the largest, burn probability and median arrival.

    Args:
        observed: arrival of the fire, see `emberformer.arrival_leads`.
        arrival_lead: of the members.
        leads: number of leads K.
        title: above the panels.
    """
    fire = (observed <= leads) | (arrival_lead <= leads).any(0)
    window = surroundings(fire if fire.any() else np.ones_like(fire), max(4, int(0.05 * max(fire.shape))))
    observed, arrival_lead = observed[window], arrival_lead[:, *window]
    sizes = (arrival_lead <= leads).sum((1, 2))
    shown = np.argsort(sizes, kind="stable")[evenly_spaced(len(sizes), MEMBERS_SHOWN)]
    panels = {"observed": _arrival_colours(observed, leads)}
    for place, member in enumerate(shown):
        panels[f"member {member}" + {0: ", smallest", len(shown) - 1: ", largest"}.get(place, "")] = _arrival_colours(
            arrival_lead[member], leads
        )
    median = arrival_percentiles(arrival_lead, (50,), leads)[0]
    unknown = (arrival_lead == UNKNOWN).any(0)
    probability = PROBABILITY(np.nan_to_num(burn_probability(arrival_lead, leads)[-1]))[..., :3]
    panels[f"burn probability by lead {leads}"] = _over(probability, observed, unknown)
    coded = np.where(unknown, UNKNOWN, np.where(np.isnan(median), NEVER, median)).astype(np.uint8)
    panels["median arrival"] = _arrival_colours(coded, leads)
    sizes_said = ", ".join(str(int(sizes[member])) for member in shown)
    alt = f"{title}: arrival of the fire, {int((observed <= leads).sum())} pixels observed, members with {sizes_said}."
    return _picture(panels, observed == 0, leads, title, alt)


def _arrival_colours(arrival: UInt8[np.ndarray, "y x"], leads: int) -> Float[np.ndarray, "y x 3"]:
    """Earliest darkest; grey where burned before."""
    colour = RAMP(np.clip(arrival / max(leads, 1), 0, 1))[..., :3]
    colour[arrival == NEVER] = to_rgb(GROUND)
    return _over(colour, arrival, arrival == UNKNOWN)


def _over(
    colour: Float[np.ndarray, "y x 3"], arrival: UInt8[np.ndarray, "y x"], unknown: np.ndarray
) -> Float[np.ndarray, "y x 3"]:
    """With what was burned before and what is unknown drawn over it."""
    colour = colour.copy()
    colour[arrival == 0] = to_rgb(BURNED_COLOUR)
    colour[unknown] = to_rgb(UNKNOWN_COLOUR)
    return colour


def _picture(panels: Mapping[str, np.ndarray], front: np.ndarray, leads: int, title: str, alt: str) -> Picture:
    with matplotlib.rc_context({"image.interpolation": "nearest", "font.size": 9.5}):
        figure = Figure(figsize=PANELS, layout="constrained")
        figure.suptitle(title, fontsize=12)
        rows = -(-len(panels) // 3)
        for axes, (name, colour) in zip(
            np.ravel(figure.subplots(rows, 3, squeeze=False)), panels.items(), strict=False
        ):
            axes.imshow(colour)
            if front.any():
                axes.contour(front, levels=[0.5], colors="white", linewidths=0.8)
            axes.set_title(name, fontsize=9.5, loc="left")
        for place, axes in enumerate(figure.axes):
            axes.set(xticks=[], yticks=[], visible=place < len(panels))
        chosen = evenly_spaced(leads, 5) + 1
        keys = [Line2D([], [], marker="s", linestyle="", color=BURNED_COLOUR, label="burned before")]
        keys += [Line2D([], [], marker="s", linestyle="", color=RAMP(lead / leads), label=f"by lead {lead}")
                 for lead in chosen]  # fmt: skip
        figure.legend(handles=keys, loc="outside lower center", ncols=len(keys), frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(data_uri(buffer.getvalue(), "image/png"), alt, title)


def _colour(place: int) -> str:
    return MODEL_COLOUR if place == 0 else RIVAL_COLOURS[(place - 1) % len(RIVAL_COLOURS)]


def _pairs(forecast: np.ndarray, observed: np.ndarray) -> str:
    """At most five bins, evenly chosen."""
    held = np.flatnonzero(~np.isnan(forecast))
    chosen = held[evenly_spaced(len(held), 5)]
    return ", ".join(f"{forecast[k]:.2f} {observed[k]:.2f}" for k in chosen)
