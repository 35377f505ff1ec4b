"""Charts of the report: paired differences, scores by history, training curves, reliability."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emberformer.evaluate.rows import AS_FORECAST, AS_TRAINED, POOLED
from emberformer.evaluate.verification import RELIABILITY_BINS
from emberformer.report.scoreboard import (
    Estimate,
    Scoreboard,
    group_of,
    is_model,
    method_label,
    name_in_text,
    network_label,
    select,
)
from emberformer.report.verdict import METRICS, interval_text, number
from emberformer.sampling import evenly_spaced

# Colours of Okabe and Ito (2008), Color Universal Design: told apart with any colour vision.
MODEL_COLOUR = "#0072B2"
BASELINE_COLOURS = {"persistence": "#777777", "dilation": "#E69F00", "distance": "#CC79A7", "logistic": "#009E73"}
BASELINE_MARKERS = {"persistence": "X", "dilation": "s", "distance": "^", "logistic": "D"}
RIVAL_COLOURS = ("#D55E00", "#8C510A", "#762A83", "#B8860B", "#9B2226", "#C51B7D")
RIVAL_MARKERS = "v<>d1234"
SPARE_COLOUR, SPARE_MARKER = "#56B4E9", "v"
SEED_MARKERS = "o*Pph8"
SIZE = (4.8, 3.3)  # inches: two beside each other on a page, one on a phone
LEGEND_ROW = 0.21  # inches
LETTER, HANDLE = 0.078, 0.5  # inches: mean width of a letter in a legend, and what stands before the name
STYLE: dict[Any, object] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "svg.fonttype": "path",
    "svg.hashsalt": "emberformer",  # equal charts have equal bytes
}


@dataclass(frozen=True)
class Picture:
    """A picture of the page: a data URI, what it says to those who do not see it, and a caption."""

    uri: str
    alt: str
    caption: str

    @property
    def content(self) -> bytes:
        """The picture as a file holds it."""
        return base64.b64decode(self.uri.partition(",")[2])


def forest_plot(board: Scoreboard, metric: str) -> Picture:
    """Paired differences of one new-fire score: the headline model minus what stands for each other method."""
    name, _ = METRICS[metric]
    others = [other for other in board.compared(board.headline) if other in board.standing]
    differences = {name_in_text(other): board.difference(board.headline, other, metric) for other in others}

    def draw(axes: Axes) -> None:
        axes.axvline(0, color="#333333", linewidth=1)
        for place, estimate in enumerate(differences.values()):
            axes.plot(
                [estimate.low, estimate.high], [place, place], color=MODEL_COLOUR, linewidth=2.2, solid_capstyle="butt"
            )
            face = MODEL_COLOUR if estimate.verdict in ("better", "worse") else "white"
            axes.plot(estimate.value, place, "o", markersize=7, markerfacecolor=face, color=MODEL_COLOUR)
            if np.isfinite(estimate.value):
                text, offset = number(estimate.value, signed=True), (0, 8)
                axes.annotate(
                    text, (estimate.value, place), offset, textcoords="offset points", ha="center", fontsize=10
                )
        axes.set_yticks(range(len(differences)), [f"minus {baseline}" for baseline in differences])
        axes.set_ylim(len(differences) - 0.5, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"difference in new-fire {name}, 95 % interval")

    said = "; ".join(
        f"minus {baseline} {interval_text(estimate, signed=True)}" for baseline, estimate in differences.items()
    )
    alt = f"{method_label(board.headline)}, difference in new-fire {name}: {said}."
    return chart(draw, alt, f"New-fire {name}", max(SIZE[1], 1.2 + 0.36 * len(differences)))


def class_plot(
    scores: Mapping[str, Sequence[Estimate]], classes: Sequence[str], axis: str, score: str, caption: str
) -> Picture:
    """One score of several methods, class by class, with its intervals.

    Args:
        scores: method -> its score in each class.
        classes: names of the classes.
        axis: what the classes are of.
        score: name of the score.
        caption: of the picture.
    """

    def draw(axes: Axes) -> None:
        for place, (method, estimates) in enumerate(scores.items()):
            colour, marker = _look(method, place)
            value, low, high = np.array([estimate[:3] for estimate in estimates]).T
            at = np.arange(len(classes)) + 0.06 * (place - (len(scores) - 1) / 2)
            order = 3 if is_model(method) else 2
            axes.plot(at, value, marker=marker, color=colour, label=network_label(method), zorder=order)
            axes.vlines(at, low, high, color=colour, alpha=0.6, linewidth=1.2)
        axes.set_xticks(range(len(classes)), list(classes))
        axes.set(xlabel=axis, ylabel=score)
        axes.set_ylim(bottom=0)
        legend_above(axes)

    said = "; ".join(f"{method_label(m)} {', '.join(number(e.value, 2) for e in of)}" for m, of in scores.items())
    named = ", ".join(name.replace("\n", " ") for name in classes)
    return chart(draw, f"{score} by {axis} ({named}): {said}.", caption)


def training_curves(curves: Mapping[int, pd.DataFrame]) -> list[Picture]:
    """Losses and validation scores by epoch, one line a seed.

    Args:
        curves: seed -> table with the column epoch and any of train/loss, val/loss, val/new_ap, val/new_f1.
    """
    return [
        _course(curves, {"train/loss": ("training", ":"), "val/loss": ("validation", "-")}, "loss"),
        _course(
            curves, {"val/new_ap": ("AP", "-"), "val/new_f1": ("F1 at 0.5", "--")}, "new-fire score, validation fires"
        ),
    ]


def reliability_plot(board: Scoreboard) -> list[Picture]:
    """How often new fire was observed where it was forecast with some probability, and how often that was forecast.

    Of the model whose forecasts are drawn also how often it was observed before calibration.
    """
    table = select(board.reliability, {"region": "new", "dataset": POOLED, "lead": board.lead})
    table = table.loc[table.n_pixels.to_numpy() > 0].sort_values(by="lower")
    shown = [*board.first_seeds.values(), *board.baselines]
    named = [name for name in board.methods if name in shown]
    parts = {name: select(table, {"method": name, "calibration": AS_FORECAST}) for name in named}
    parts = {name: part for name, part in parts.items() if len(part)}
    before = select(table, {"method": board.first_seed, "calibration": AS_TRAINED})
    return [_frequency_chart(parts, board.first_seed, before), _number_chart(parts)] if parts else []


def chart(draw: Callable[[Axes], None], alt: str, caption: str, height: float = SIZE[1]) -> Picture:
    """A chart in the style of the page, as SVG; equal charts have equal bytes."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], height), layout="constrained")
        draw(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(data_uri(buffer.getvalue(), "image/svg+xml"), alt, caption)


def legend_above(axes: Axes) -> None:
    """A legend over the whole width, in as many columns as its names leave room for; the figure grows by its rows."""
    handles, names = axes.get_legend_handles_labels()
    columns = int(np.clip(SIZE[0] // (HANDLE + LETTER * max(map(len, names))), 1, 3))
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * (-(-len(names) // columns) - 1))
    figure.legend(handles, names, loc="outside upper left", ncols=columns, columnspacing=1.2, handlelength=1.6)


def _frequency_chart(parts: Mapping[str, pd.DataFrame], calibrated: str, before: pd.DataFrame) -> Picture:
    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color="#333333", linewidth=1, linestyle=(0, (4, 3)), label="perfect")
        for place, (method, part) in enumerate(parts.items()):
            colour, marker = _look(method, place)
            label = method_label(method)
            axes.plot(part.mean_forecast, part.observed_frequency, marker=marker, color=colour, label=label)
        if len(before):
            colour, marker = _look(calibrated, list(parts).index(calibrated))
            axes.plot(
                before.mean_forecast, before.observed_frequency, linestyle=(0, (2, 1.5)), marker=marker, color=colour,
                markerfacecolor="white", linewidth=1.1, label="before calibration",
            )  # fmt: skip
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set(xlabel="mean forecast probability", ylabel="observed frequency")
        legend_above(axes)

    said = "; ".join(f"{method_label(method)} {_reliability_text(part)}" for method, part in parts.items())
    if len(before):
        said += f"; {method_label(calibrated)} before calibration {_reliability_text(before)}"
    alt = f"Reliability of the new-fire probabilities, forecast then observed: {said}."
    return chart(draw, alt, "Reliability")


def _number_chart(parts: Mapping[str, pd.DataFrame]) -> Picture:
    def draw(axes: Axes) -> None:
        edges = np.linspace(0, 1, RELIABILITY_BINS + 1)
        for place, (method, part) in enumerate(parts.items()):
            pixels = np.full(RELIABILITY_BINS, np.nan)
            pixels[(part.lower.to_numpy() * RELIABILITY_BINS).round().astype(int)] = part.n_pixels
            axes.stairs(pixels, edges, color=_look(method, place)[0], label=method_label(method), linewidth=1.6)
        axes.set(xlim=(-0.02, 1.02), yscale="log", xlabel="forecast probability", ylabel="pixels in the bin")
        legend_above(axes)

    said = "; ".join(f"{method_label(m)} {int(part.n_pixels.sum())} in {len(part)} bins" for m, part in parts.items())
    alt = f"Histogram of the new-fire probabilities, in pixels: {said}."
    return chart(draw, alt, "How often each probability was forecast")


def _course(curves: Mapping[int, pd.DataFrame], columns: Mapping[str, tuple[str, str]], label: str) -> Picture:
    drawn, said = [], []
    for place, (seed, table) in enumerate(curves.items()):
        for column, (name, line) in columns.items():
            if column not in table:
                continue
            of_epoch = table[["epoch", column]].dropna().groupby("epoch")[column].last()
            if len(of_epoch):
                drawn.append((of_epoch, f"{name}, seed {seed}", line, place))
                said.append(f"{name} of seed {seed} from {number(of_epoch.iloc[0])} to {number(of_epoch.iloc[-1])}")

    def draw(axes: Axes) -> None:
        for of_epoch, name, line, place in drawn:
            marker = SEED_MARKERS[place % len(SEED_MARKERS)] if len(of_epoch) < 40 else None
            axes.plot(
                of_epoch.index + 1,
                of_epoch.values,
                line,
                marker=marker,
                markersize=3.5,
                color=_seed_colour(place),
                label=name,
            )
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if drawn:
            legend_above(axes)

    return chart(draw, f"{label.capitalize()} by epoch: {'; '.join(said) or 'no values'}.", label.capitalize())


def data_uri(content: bytes, media_type: str) -> str:
    """Content as part of the page itself."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _look(method: str, place: int) -> tuple[str, str]:
    """Colour and marker of a method; phases and seeds of EmberFormer share a family of colours, rivals another."""
    if is_model(method):
        return _seed_colour(place), SEED_MARKERS[place % len(SEED_MARKERS)]
    if group_of(method) == "Trained rivals":
        return RIVAL_COLOURS[place % len(RIVAL_COLOURS)], RIVAL_MARKERS[place % len(RIVAL_MARKERS)]
    return BASELINE_COLOURS.get(method, SPARE_COLOUR), BASELINE_MARKERS.get(method, SPARE_MARKER)


def _seed_colour(place: int) -> str:
    return (MODEL_COLOUR, "#56B4E9", "#003E66")[place % 3]


def _reliability_text(part: pd.DataFrame) -> str:
    """At most five bins, evenly chosen."""
    chosen = part.iloc[evenly_spaced(len(part), 5)]
    return ", ".join(f"{f:.2f} {o:.2f}" for f, o in zip(chosen.mean_forecast, chosen.observed_frequency, strict=True))
