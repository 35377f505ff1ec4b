"""Pictures of an interpretation: charts and image grids as PNG files, listed with what they say."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emberformer.interpretation.attention import ROLLOUT
from emberformer.interpretation.components import FeatureImage
from emberformer.interpretation.subject import HISTORY, WIND
from emberformer.report.figures import MODEL_COLOUR, RIVAL_COLOURS, SIZE, STYLE
from emberformer.report.scoreboard import Estimate
from emberformer.report.verdict import interval_text, number

DPI = 170
METADATA = {"Software": None}  # equal pictures have equal bytes


@dataclass(frozen=True)
class Shown:
    """A picture's file and what the report says of it.

    Args:
        part: attention, attribution, importance, features or failures.
        heading: what pictures are grouped under, "" = nothing.
        file: its name.
        caption: a few words above it.
        alt: what it shows, for those who do not see it.
        keys: colours and what they mean.
    """

    part: str
    heading: str
    file: str
    caption: str
    alt: str
    keys: list[tuple[str, str]] = field(default_factory=list)


def write_list(pictures: Sequence[Shown], folder: Path) -> None:
    """pictures.json: all pictures in the order in which they are shown."""
    (folder / "pictures.json").write_text(json.dumps([asdict(picture) for picture in pictures], indent=1) + "\n")


def draw_attention(table: pd.DataFrame, folder: Path) -> list[Shown]:
    """Attention by lag near the front and elsewhere, by layer, and by length of history."""
    if table.empty:
        return []
    longest = table[(table["head"] == "mean") & (table.frames_seen == table.frames_seen.max())]
    labels = {"near_front": "near the front", "elsewhere": "elsewhere"}
    lines: dict[tuple[str, str], pd.DataFrame] = {}
    for (layer, place), of in longest.groupby(["layer", "place"], sort=False):  # type: ignore[misc]
        lines["all layers" if layer == ROLLOUT else f"layer {layer}", place] = pd.DataFrame(of).sort_values(by="lag")
    colours = dict(zip(dict.fromkeys(layer for layer, _ in lines), (MODEL_COLOUR, *RIVAL_COLOURS), strict=False))

    def by_lag(axes: Axes) -> None:
        for (layer, place), of in lines.items():
            style = {"near_front": "-o", "elsewhere": "--o"}[place]
            axes.plot(of.lag, of.weight, style, color=colours[layer], label=f"{layer}, {labels[place]}", markersize=4)
        seen = int(table.frames_seen.max())
        axes.axhline(1 / seen, color="#999999", linewidth=1, linestyle=":", label="no preference")
        _finish_lags(axes, 2)

    last = ROLLOUT if (table.layer == ROLLOUT).any() else table.layer.max()
    near = table.loc[(table.layer == last) & (table["head"] == "mean") & (table.place == "near_front")]

    def by_history(axes: Axes) -> None:
        for place, (seen, of) in enumerate(near.sort_values(by="lag").groupby("frames_seen")):
            shade = matplotlib.colormaps["viridis"](0.9 * (1 - (place + 1) / near.frames_seen.nunique()))
            axes.plot(of.lag, of.weight, "-o", color=shade, label=f"{seen} seen", markersize=4)
        _finish_lags(axes, 4)

    said = "; ".join(
        f"{layer}, {labels[place]}: {', '.join(number(w, 2) for w in of.weight)}"
        for (layer, place), of in lines.items()
    )
    rows = "; ".join(
        f"{seen} seen: {', '.join(number(w, 2) for w in of.sort_values('lag').weight)}"
        for seen, of in near.groupby("frames_seen")
    )
    return [
        _chart(by_lag, folder, "attention", "attention_by_lag.png", "Attention by lag, full history",
               f"Mean attention weight of the newest frame on frames 0, 1, 2 … ago: {said}."),
        _chart(by_history, folder, "attention", "attention_by_history.png", "Attention by frames seen, near the front",
               f"Mean attention weight on frames 0, 1, 2 … ago by the number of frames seen: {rows}."),
    ]  # fmt: skip


def _finish_lags(axes: Axes, columns: int) -> None:
    """Labels and legend of a chart of attention by lag."""
    axes.set(xlabel="frames ago", ylabel="mean attention weight", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend_above(axes, columns)


def _legend_above(axes: Axes, columns: int) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, borderaxespad=0.2)


def draw_importance(table: pd.DataFrame, folder: Path) -> list[Shown]:
    """The drop of new-fire average precision for each input, largest first."""
    if table.empty:
        return []
    table = table.sort_values(["drop", "permuted"], ascending=[False, True]).reset_index(drop=True)

    def draw(axes: Axes) -> None:
        axes.axvline(0, color="#333333", linewidth=1)
        places = np.arange(len(table))
        axes.hlines(places, table.low, table.high, color=MODEL_COLOUR, linewidth=2.2)
        axes.plot(table["drop"], places, "o", color=MODEL_COLOUR, markersize=7)
        axes.set_yticks(places, [_label(name) for name in table.permuted])
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("drop of new-fire AP, 95 % interval over fires")

    said = "; ".join(
        f"{_label(name)} {interval_text(Estimate(*values), signed=True)}"
        for name, *values in table[["permuted", "drop", "low", "high"]].itertuples(index=False)
    )
    height = max(SIZE[1], 1.0 + 0.3 * len(table))
    return [_chart(draw, folder, "importance", "importance.png", "What is lost with another fire's input",
                   f"Drop of new-fire average precision when an input is another fire's: {said}.", height)]  # fmt: skip


def draw_attribution(table: pd.DataFrame, folder: Path) -> list[Shown]:
    """Share of each input in the forecast area of new fire: mean of the signed and of the absolute attribution."""
    if table.empty:
        return []
    named = table.assign(
        name=[
            _label(name) + (f", {int(lag)} ago" if lag > 0 else " of the step" if lag == 0 else "")
            for name, lag in zip(table.input, table.lag, strict=True)
        ]
    )
    named = named[~((named.input == HISTORY) & (named.lag == 0))]  # the newest frame is in the baseline as it is
    mean = named.groupby("name", sort=False).attribution.agg(["mean", lambda of: of.abs().mean()])
    mean.columns = ["signed", "size"]
    mean = mean.sort_values("size", ascending=False)

    def draw(axes: Axes) -> None:
        places = np.arange(len(mean))
        axes.barh(places, mean["size"], color="#c9dcea", height=0.7, label="mean size")
        axes.plot(mean.signed, places, "D", color=MODEL_COLOUR, markersize=5, label="mean, with sign")
        axes.axvline(0, color="#333333", linewidth=1)
        axes.set_yticks(places, mean.index)
        axes.set_ylim(len(mean) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("pixels of forecast new fire")
        _legend_above(axes, 2)

    said = "; ".join(f"{row.Index} {number(row.signed, 1, True)} ({number(row.size, 1)})" for row in mean.itertuples())
    height = max(SIZE[1], 1.0 + 0.3 * len(mean))
    return [_chart(draw, folder, "attribution", "attribution.png", "Attribution, mean over steps",
                   f"Mean attribution in pixels of forecast new fire, in brackets its mean size: {said}.",
                   height)]  # fmt: skip


def draw_features(images: Sequence[FeatureImage], folder: Path) -> list[Shown]:
    """Rasters with their patches' features as colours beside them, frames and terrain apart."""
    captions = {"frames": "The newest frames and their features", "terrain": "Terrain and its features"}
    shown = []
    for group, caption in captions.items():
        own = [image for image in images if image.group == group]
        if not own:
            continue
        columns = 2
        rows = -(-len(own) // columns)
        with matplotlib.rc_context({"font.size": 9, "image.interpolation": "nearest"}):
            figure = Figure(figsize=(SIZE[0], 1.4 * rows), layout="constrained")
            axes = figure.subplots(rows, 2 * columns, squeeze=False)
            for place in axes.flat:
                place.axis("off")
            for number_, image in enumerate(own):
                row, column = divmod(number_, columns)
                left, right = axes[row, 2 * column : 2 * column + 2]
                left.imshow(image.raster, cmap="Greys" if group == "frames" else "terrain")
                right.imshow(image.colours)
                left.set_title(image.name.replace("_", " "), fontsize=9, loc="left")
            figure.savefig(folder / f"features_{group}.png", dpi=DPI, metadata=METADATA)
        names = ", ".join(image.name for image in own)
        alt = f"Each raster beside the first three principal components of its patches' features as colours: {names}."
        shown.append(Shown("features", "", f"features_{group}.png", caption, alt))
    return shown


def _chart(
    draw: Callable[[Axes], None], folder: Path, part: str, file: str, caption: str, alt: str, height: float = SIZE[1]
) -> Shown:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(SIZE[0], height), layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(folder / file, dpi=DPI, metadata=METADATA)
    return Shown(part, "", file, caption, alt)


def _label(name: str) -> str:
    """An input's name for people."""
    known = {HISTORY: "past frames", WIND: "wind", "recency": "time since burned", "known": "where data are known"}
    return known.get(name, name.replace("_", " "))
