"""Where the model does well and where it fails: scores by wind, slope, size of the fire, and history."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from emberformer.evaluate.observed import HISTORY_LENGTHS
from emberformer.evaluate.strata import class_names
from emberformer.report.figures import Picture, class_plot
from emberformer.report.scoreboard import Scoreboard, select
from emberformer.report.verdict import number

AXES = {  # stratum -> axis of its chart, its name, and its unit
    "wind_m_s": ("wind of the step, m/s", "Wind", "m/s"),
    "slope_deg": ("slope about the fire, degrees", "Slope", "degrees"),
    "size_ha": ("size of the fire so far, ha", "Size", "ha"),
}
UNKNOWN = "unknown"
FEWEST_FIRES = 5  # in a class that a sentence speaks of


class Circumstances(NamedTuple):
    """Sentences on the strongest and weakest classes, and a chart of each stratum."""

    said: list[str]
    pictures: list[Picture]


def by_circumstance(board: Scoreboard) -> Circumstances:
    """New-fire F1 at the threshold chosen on validation by class of wind, slope and size, and by frames seen.

    Strata of a single class tell nothing and are left out.
    """
    said, pictures = [], []
    for stratum, (axis, name, unit) in AXES.items():
        fires = _fires(board, stratum)
        if len(fires) < 2:
            continue
        scores = {
            method: [board.class_estimate(method, "f1", "validation", stratum, of) for of in fires]
            for method in [board.headline, *board.others]
        }
        ticks = [f"{class_text(of)}\n{count} fires" for of, count in fires.items()]
        pictures.append(class_plot(scores, ticks, axis, "new-fire F1", f"By {name.lower()}"))
        own = {of: estimate.value for of, estimate in zip(fires, scores[board.headline], strict=True)}
        own = {of: value for of, value in own.items() if np.isfinite(value) and fires[of] >= FEWEST_FIRES}
        if len(own) > 1:
            said.append(f"{name}: {_extremes(own, unit)}.")
    return Circumstances(said, [*pictures, history_plot(board)])


def history_plot(board: Scoreboard) -> Picture:
    """New-fire F1 by how many frames of the fire had been seen."""
    lengths = [str(length) for length in HISTORY_LENGTHS]
    scores = {
        method: [board.estimate(method, "new", "f1", "validation", history=length) for length in lengths]
        for method in [board.headline, *board.others]
    }
    ticks = [*lengths[:-1], f"{lengths[-1]} or more"]
    return class_plot(scores, ticks, "maps seen before the forecast", "new-fire F1", "By history")


def class_text(name: str) -> str:
    """A class of a stratum for people, in whole numbers from 100 on.

    >>> class_text("<3.4"), class_text("3.4-5.5"), class_text(">=2023.4")
    ('< 3.4', '3.4–5.5', '≥ 2,023')
    """
    numbers = name.strip("<>=").split("-")
    sign = {"<": "< ", ">": "≥ "}.get(name[0], "")
    return sign + "–".join(f"{float(of):,.0f}" if float(of) >= 100 else f"{float(of):g}" for of in numbers)


def _fires(board: Scoreboard, stratum: str) -> dict[str, int]:
    """Class -> how many test fires are in it, from low to high; what is unknown is no class of the chart."""
    wanted = {"method": board.headline, "split": "test", "lead": board.lead, "dataset": "all", "stratum": stratum}
    table = select(board.strata, {**wanted, "metric": "f1", "threshold": "validation"}).set_index("class_name")
    return {name: int(table.n_fires[name]) for name in class_names(stratum) if name in table.index and name != UNKNOWN}


def _extremes(values: dict[str, float], unit: str) -> str:
    """The weakest and the strongest class.

    >>> _extremes({"<3.4": 0.61, ">=8": 0.8}, "m/s")
    'F1 is lowest, 0.61, at < 3.4 m/s, and highest, 0.80, at ≥ 8 m/s'
    """
    places = {"lowest": min(values, key=lambda of: values[of]), "highest": max(values, key=lambda of: values[of])}
    parts = [f"{rank}, {number(values[of], 2)}, at {class_text(of)} {unit}" for rank, of in places.items()]
    return f"F1 is {', and '.join(parts)}"
