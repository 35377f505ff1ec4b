"""Pictures of objects: a frame or an image with the boxes that were told and those that were found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from emberformer.detection.fire_objects import newly_burned
from emberformer.detection.found import Detections, Objects
from emberformer.outputs import colours

PANEL = 3.6  # inches
GROUND, NEW = "#f4f1ea", "#F6A58B"
STYLE: dict = {"font.size": 9, "svg.fonttype": "path", "svg.hashsalt": "emberformer"}  # equal pictures, equal bytes


class Panel(NamedTuple):
    """A picture with boxes.

    Args:
        pixels: red, green and blue.
        told: objects that are there: dashed lines.
        found: objects that were found: solid lines, with their scores.
        title: what stands above.
    """

    pixels: UInt8[np.ndarray, "y x 3"]
    told: Objects
    found: Detections
    title: str


def fire_pixels(after: UInt8[np.ndarray, "y x"], before: UInt8[np.ndarray, "y x"] | None) -> UInt8[np.ndarray, "y x 3"]:
    """A frame of a fire as a picture: what is new is lighter and red, what is unknown light grey.

    In a fire's first frame (`before` is None) all that burns is new.
    """
    image = np.empty((*after.shape, 3))
    image[:] = to_rgb(GROUND)
    image[after == 255] = to_rgb(colours.UNKNOWN)
    image[after == 1] = to_rgb(colours.BURNED)
    image[newly_burned(after, before)] = to_rgb(NEW)
    return (image * 255).round().astype(np.uint8)


def draw_panels(
    panels: Sequence[Panel], categories: Sequence[str], least_score: float = 0.3, columns: int = 3
) -> Figure:
    """Panels beside each other, with a legend of the categories.

    Args:
        panels: at least one.
        categories: names of the labels.
        least_score: of the detections that are drawn.
        columns: panels in a row.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(PANEL * columns, (PANEL + 0.3) * rows + 0.4), layout="constrained")
    for place, panel in enumerate(panels):
        axes = figure.add_subplot(rows, columns, place + 1)
        height, width = panel.pixels.shape[:2]
        axes.imshow(panel.pixels, extent=(0, width, height, 0), interpolation="nearest")  # edges of pixels are whole
        axes.set_title(panel.title, fontsize=9)
        axes.set_axis_off()
        _draw_boxes(axes, panel, least_score)
    lines = [Line2D([], [], color=colours.of_object(label), label=name) for label, name in enumerate(categories)]
    told = Line2D([], [], color="#333333", linestyle=(0, (3, 2)), label="told")
    figure.legend(handles=[*lines, told], loc="outside lower center", ncols=len(categories) + 1, frameon=False)
    return figure


def _draw_boxes(axes: Axes, panel: Panel, least_score: float) -> None:
    for (x0, y0, x1, y1), label in zip(panel.told.boxes, panel.told.labels, strict=True):
        style = {"fill": False, "edgecolor": colours.of_object(int(label)), "linestyle": (0, (3, 2)), "linewidth": 1.0}
        axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, **style))
    for (x0, y0, x1, y1), label, score in zip(*panel.found, strict=True):
        if score >= least_score:
            colour = colours.of_object(int(label))
            axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.4))
            axes.annotate(f"{score:.2f}", (x0, y0), (0, 2), textcoords="offset points", color=colour, fontsize=7)


def write_panels(path: Path, panels: Sequence[Panel], categories: Sequence[str], least_score: float = 0.3) -> None:
    """Write panels as PNG or SVG, by the name's ending; equal panels give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        figure = draw_panels(panels, categories, least_score)
        nameless = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": "EmberFormer"}
        figure.savefig(path, dpi=130, metadata=nameless)
