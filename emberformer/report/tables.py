"""Tables of the report, formatted: a value, its interval, and whether it is the best of its column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from emberformer.report.scoreboard import (
    Estimate,
    Scoreboard,
    group_of,
    is_seed,
    method_label,
    name_in_text,
    network_label,
)
from emberformer.report.verdict import METRICS, number


class Column(NamedTuple):
    """One score of a table; `threshold` as in scores.csv. Where no value is best, `ranked` is false."""

    metric: str
    threshold: str
    heading: str
    digits: int = 3
    lower_is_better: bool = False
    ranked: bool = True


class Cell(NamedTuple):
    """A formatted score; `interval` and `seeds` (deviation between seeds) are "" where there is none."""

    text: str
    interval: str
    seeds: str
    best: bool


class Row(NamedTuple):
    """A method and its cells; `minor`: one seed among several, shown small; `group`: what it stands under."""

    label: str
    cells: list[Cell]
    minor: bool
    group: str


AT_VALIDATION = (
    Column("average_precision", "", "AP"),
    Column("f1", "validation", "F1"),
    Column("iou", "validation", "IoU"),
    Column("precision", "validation", "Precision"),
    Column("recall", "validation", "Recall"),
    Column("frequency_bias", "validation", "Bias", 2, ranked=False),
    Column("brier", "", "Brier", 4, lower_is_better=True),
    Column("brier_skill", "", "Brier skill"),
    Column("ece", "", "ECE", 4, lower_is_better=True),
)
NEW_FIRE = (*AT_VALIDATION, Column("area_bias_ha", "validation", "Area error, ha", 1, ranked=False))
AT_HALF = tuple(Column(metric, "0.5", heading) for metric, heading in
                [("f1", "F1"), ("iou", "IoU"), ("precision", "Precision"), ("recall", "Recall")])  # fmt: skip
PERIMETERS = (
    Column("boundary_f1", "validation", "Boundary F1"),
    Column("hausdorff_95_m", "validation", "HD95, m", 0, lower_is_better=True),
    Column("surface_distance_m", "validation", "Mean, m", 0, lower_is_better=True),
    Column("perimeter_ratio", "validation", "Length ratio", 2, ranked=False),
    Column("isolated_pixels", "validation", "Isolated", 2, lower_is_better=True, ranked=False),
    Column("detached_components", "validation", "Detached", 2, lower_is_better=True, ranked=False),
)
WHOLE_PERIMETERS = PERIMETERS[:4]
SLOPES = (
    Column("low", "", "Low", 2, ranked=False),
    Column("high", "", "High", 2, ranked=False),
    Column("offset", "", "Offset", 2, ranked=False),
)
BEFORE_AND_AFTER = (
    Column("ece", "", "ECE", 4, lower_is_better=True),
    Column("brier", "", "Brier", 4, lower_is_better=True),
    Column("nll", "", "NLL", 4, lower_is_better=True),
)
CALIBRATION = (*SLOPES, *BEFORE_AND_AFTER)
BRIEF = tuple(Column(metric, threshold, name) for metric, (name, threshold) in METRICS.items())


def score_rows(board: Scoreboard, region: str, columns: Sequence[Column], datasets: Sequence[str]) -> list[Row]:
    """One row a method, with the columns of each data set ("all" = pooled) beside each other.

    The best value of a column is marked among all methods but single seeds beside their mean.
    """
    methods, standing = board.methods, board.standing
    minor = {name: name not in standing for name in methods}
    estimates = {
        name: [board.estimate(name, region, c.metric, c.threshold, dataset) for dataset in datasets for c in columns]
        for name in methods
    }
    shown = [column for _ in datasets for column in columns]
    best = [
        _best([estimates[name][place].value for name in methods if not minor[name]], column.lower_is_better)
        for place, column in enumerate(shown)
    ]
    return [
        Row(
            method_label(name),
            [
                _cell(e, c, not minor[name] and c.ranked and e.value == b)
                for e, c, b in zip(estimates[name], shown, best, strict=True)
            ],
            minor[name],
            group_of(name),
        )
        for name in methods
    ]


def difference_rows(board: Scoreboard) -> list[Row]:
    """A row for each pair that was subtracted: the difference of new-fire scores, marked where surely above zero."""
    rows = []
    for model in board.models:
        for other in board.compared(model):
            cells = []
            for metric in METRICS:
                estimate = board.difference(model, other, metric)
                cells.append(_cell(estimate, Column(metric, "", ""), estimate.verdict == "better", signed=True))
            label = f"{method_label(model)} minus {name_in_text(other)}"
            minor = is_seed(model) and model not in board.standing
            rows.append(Row(label, cells, minor, network_label(model)))
    return rows


def calibration_rows(board: Scoreboard) -> list[Row]:
    """A row for each network that names its calibration: scores of new fire before and after, marked where lower after.

    Without intervals, which overlap where the change is sure: before and after are of the same pixels.
    """
    rows = []
    for name in board.methods:
        pairs = [
            [board.estimate(name, "new", column.metric + when, "").value for when in ("_as_trained", "")]
            for column in BEFORE_AND_AFTER
        ]
        if not np.isfinite(pairs[0][0]):
            continue
        calibration = board.calibration(name)
        told = ["–"] * len(SLOPES) if calibration is None else [number(value, 2) for value in calibration]
        cells = [Cell(text, "", "", False) for text in told]
        for column, (before, after) in zip(BEFORE_AND_AFTER, pairs, strict=True):
            text = f"{number(before, column.digits)} → {number(after, column.digits)}"
            cells.append(Cell(text, "", "", after < before))
        rows.append(Row(method_label(name), cells, name not in board.standing, group_of(name)))
    return rows


def _best(values: Sequence[float], lower_is_better: bool) -> float:
    defined = [value for value in values if np.isfinite(value)]
    return (min if lower_is_better else max)(defined, default=float("nan"))


def _cell(estimate: Estimate, column: Column, best: bool, signed: bool = False) -> Cell:
    digits = column.digits
    interval = seeds = ""
    if np.isfinite([estimate.low, estimate.high]).all():
        joint = " to " if signed or estimate.low < 0 else "–"
        interval = f"{number(estimate.low, digits, signed)}{joint}{number(estimate.high, digits, signed)}"
    if np.isfinite(estimate.seed_sd):
        seeds = f"seeds ±{number(estimate.seed_sd, digits)}"
    return Cell(number(estimate.value, digits, signed), interval, seeds, best)
