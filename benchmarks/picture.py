"""A picture of the figures: how many times as good as its goal each one is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.goals import Goal

REACHED, MISSED = "#2a7f62", "#c8553d"


def draw(figures: Mapping[str, float], goals: Mapping[str, Goal], machine: str) -> Figure:
    """Horizontal bars from the goal (1) on, to the right where it is reached.

    Figures without a goal are left out, and counts that should be 0, which have no ratio.
    """
    shown = [(name, figures[name], goals[name]) for name in figures if name in goals and goals[name].bound]
    shown = [bar for bar in shown if bar[1]]
    picture = Figure(figsize=(9, 1.2 + 0.36 * max(len(shown), 1)), layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.subplots()
    for place, (_, figure, goal) in enumerate(shown):
        good = goal.times_as_good(figure)
        colour = REACHED if goal.reached(figure) else MISSED
        axes.barh(place, good - 1, left=1, color=colour, height=0.6)
        axes.annotate(
            f"{figure:g} (goal {goal})", (good, place), xytext=(4 if good >= 1 else -4, 0), textcoords="offset points",
            va="center", ha="left" if good >= 1 else "right", fontsize=8,
        )  # fmt: skip
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(shown)), [name for name, *_ in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    extremes = [1.0, *(goal.times_as_good(figure) for _, figure, goal in shown)]
    axes.set_xlim(min(extremes) / 2, max(extremes) * 2)
    ticks = [tick for tick in (0.1, 0.25, 0.5, 1, 2, 4, 10, 25, 100) if min(extremes) / 2 < tick < max(extremes) * 2]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("times as good as the goal")
    axes.set_title(machine, fontsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return picture


def save(picture: Figure, path: Path) -> None:
    """Write a PNG without the time at which it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.savefig(path, dpi=130, metadata={"Software": None})
