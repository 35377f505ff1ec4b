"""The section on detection: COCO's scores of the boxes, beside the pieces of a forecast, and some to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from emberformer.errors import InputError
from emberformer.layout import Layout
from emberformer.report.figures import Picture, data_uri
from emberformer.report.scoreboard import name_in_text
from emberformer.report.tables import Cell, Column, Row
from emberformer.report.verdict import number

DETECTOR = "detector-seed-"
Scores = dict[str, float]
NO_SPREAD: Mapping[str, float] = {}
OF_ALL = (Column("AP", "", "AP"), Column("AP50", "", "AP50"), Column("AP75", "", "AP75"))
OF_SIZES = tuple(Column(f"AP_{size}", "", f"AP, {size}") for size in ("small", "medium", "large"))
WINDOWS = {
    "all": "All test windows, and all objects",
    "next": "What comes within the next frame, on the frames that were also forecast",
}


class DetectionSection(NamedTuple):
    """Sentences, tables with their columns by caption, and a picture."""

    said: list[str]
    tables: dict[str, tuple[list[Column], list[Row]]]
    pictures: list[Picture]


def read_detections(layout: Layout) -> DetectionSection | None:
    """The section; None where the configuration has no detector.

    Raises:
        InputError: the scores or the picture are missing.
    """
    if layout.settings.detection is None:
        return None
    paths = layout.detection / "scores.csv", layout.detection / "found.png"
    try:
        scores, picture = pd.read_csv(paths[0]), paths[1].read_bytes()
    except OSError as error:
        raise InputError(
            error.filename, "not there", "the scores of the detector", "run `snakemake detection`"
        ) from error
    methods = {windows: _of_windows(scores, windows) for windows in WINDOWS}
    tables = {WINDOWS[windows]: _table(of) for windows, of in methods.items() if of}
    shown = Picture(
        data_uri(picture, "image/png"),
        "test windows with boxes",
        "Test windows: dashed what was there, whole what was found",
    )
    return DetectionSection(_said(methods["all"]), tables, [shown])


def _of_windows(scores: pd.DataFrame, windows: str) -> dict[str, Scores]:
    """Scores of each method on some windows."""
    own: dict[str, Scores] = {}
    for method, score, value in scores.loc[scores.windows == windows, ["method", "score", "value"]].to_numpy().tolist():
        own.setdefault(method, {})[score] = float(value)
    return own


def _table(methods: Mapping[str, Scores]) -> tuple[list[Column], list[Row]]:
    """The detector's mean over seeds, its seeds and the rivals, with columns for what was there."""
    seeds = {method.removeprefix(DETECTOR): of for method, of in methods.items() if method.startswith(DETECTOR)}
    of_seeds = {score: np.array([of[score] for of in seeds.values()]) for score in next(iter(seeds.values()))}
    shown = [score for score, values in of_seeds.items() if np.isfinite(values).any()]
    columns = [
        *OF_ALL,
        *(Column(name, "", name.replace(" ", ", ").replace("_", " ")) for name in shown if name.startswith("AP50 ")),
        *(column for column in OF_SIZES if column.metric in shown),
    ]
    several = len(seeds) > 1
    mean = {score: float(values.mean()) for score, values in of_seeds.items()}
    spread = {score: float(values.std(ddof=1)) for score, values in of_seeds.items()} if several else {}
    rivals = {name: of for name, of in methods.items() if not name.startswith(DETECTOR)}
    best = {c.metric: max([mean[c.metric], *(of[c.metric] for of in rivals.values())]) for c in columns}

    def row(label: str, of: Scores, minor: bool = False, spread: Mapping[str, float] = NO_SPREAD) -> Row:
        cells = []
        for column in columns:
            seeds = f"seeds ±{number(spread[column.metric])}" if spread else ""
            value = of[column.metric]
            cells.append(Cell(number(value), "", seeds, not minor and value == best[column.metric]))
        return Row(label, cells, minor, "")

    rows = [row("detector", mean, spread=spread)]
    rows += [row(f"detector, seed {seed}", of, minor=True) for seed, of in seeds.items() if several]
    return columns, rows + [row(_rival(name), of) for name, of in rivals.items()]


def _rival(method: str) -> str:
    return f"pieces of {name_in_text(method.removeprefix('pieces of '))}"


def _said(methods: Mapping[str, Scores]) -> list[str]:
    """How many spot fires there were, and how many of them were found, by the seeds' mean."""
    said, seeds = [], list(methods.values())
    for told, count in seeds[0].items():
        if not told.endswith(" told"):
            continue
        spot = told.removesuffix(" told")
        name = spot.replace("_", " ")
        if count:
            recall, away = (float(np.mean([of[f"{spot} {what}"] for of in seeds])) for what in ("recall", "distance_m"))
            found = f"{100 * recall:.0f} % are found, {number(away, 0)} m away on average"
            said.append(f"Of {int(count)} {name} in the test {found}.")
        else:
            said.append(f"There is no {name} in the test.")
    return said
