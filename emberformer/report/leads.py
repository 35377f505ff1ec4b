"""How far ahead: scores at each lead time, and the error of the arrival time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from emberformer.report.durations import duration_text
from emberformer.report.figures import Picture, class_plot
from emberformer.report.scoreboard import Scoreboard, name_in_text, network_label
from emberformer.report.verdict import METRICS, number
from emberformer.settings import ForecastSettings

ARRIVAL = {  # score -> its name, and the caption of its chart
    "arrival_mae_min": ("error of the arrival time, min", "Error of the arrival time"),
    "arrival_missed": ("share never reached", "Ground that the forecast fire never reaches"),
}

FED_BACK = {
    "stochastic": "as {members} maps that burn what is likely to burn, each from a probability of its own on",
    "probability": "with its probabilities",
    "threshold": "with what it puts at 50 % or more",
}


class FarAhead(NamedTuple):
    """Sentences, and charts by lead."""

    said: list[str]
    pictures: list[Picture]


def far_ahead(board: Scoreboard, seconds_per_step: list[float]) -> FarAhead | None:
    """Scores by lead; None where there is one lead alone.

    Args:
        board: the verification tables.
        seconds_per_step: length of a step of each data set; leads are durations where all have the same, else steps.
    """
    leads = board.leads
    if len(leads) < 2:
        return None
    same = len(set(seconds_per_step)) == 1
    names = [f"{lead * seconds_per_step[0] / 3600:.3g}" if same else str(lead) for lead in leads]
    texts = [duration_text(lead * seconds_per_step[0]) if same else f"lead {lead}" for lead in leads]
    axis = "hours ahead" if same else "steps ahead"
    methods = [board.headline, *board.others]
    pictures = []
    for metric, (name, threshold) in METRICS.items():
        scores = {m: [board.estimate(m, "new", metric, threshold, lead=lead) for lead in leads] for m in methods}
        pictures.append(class_plot(scores, names, axis, f"new-fire {name}", f"New-fire {name}"))
    for metric, (name, caption) in ARRIVAL.items():
        scores = {m: [board.estimate(m, "new", metric, "validation", lead=lead) for lead in leads[1:]] for m in methods}
        scores = {m: of for m, of in scores.items() if any(np.isfinite(estimate.value) for estimate in of)}
        if scores:
            pictures.append(class_plot(scores, names[1:], f"{axis}, up to", name, caption))
    return FarAhead(_said(board, texts, methods), pictures)


def way_ahead(forecast: ForecastSettings, lead_times: int) -> str:
    """How a network's forecasts reach their leads, in a sentence.

    Args:
        forecast: how far and how it was asked to forecast.
        lead_times: steps ahead that the network was trained for.
    """
    direct = lead_times if forecast.method == "direct" else 1
    if direct >= forecast.leads:
        return "Each of them is forecast directly."
    fed_back = FED_BACK[forecast.feedback].format(members=forecast.members)
    steps = "One step is forecast directly" if direct == 1 else f"Up to {direct} steps are forecast directly"
    return f"{steps}; beyond, the forecast is taken for the newest map, {fed_back}."


def _said(board: Scoreboard, names: list[str], methods: list[str]) -> list[str]:
    first, last = board.leads[0], board.leads[-1]
    f1 = {m: [board.estimate(m, "new", "f1", "validation", lead=lead).value for lead in (first, last)] for m in methods}
    own = f1[board.headline]
    said = [
        f"{network_label(board.headline)}'s F1 on new fire is {number(own[0], 2)} at {names[0]} and "
        f"{number(own[1], 2)} at {names[-1]}."
    ]
    others = {m: of[1] for m, of in f1.items() if m != board.headline and np.isfinite(of[1])}
    if others:
        best = max(others, key=lambda m: others[m])
        said.append(f"The best rival at {names[-1]} is {name_in_text(best)}, with {number(others[best], 2)}.")
    error, missed = (board.estimate(board.headline, "new", metric, "validation", lead=last).value for metric in ARRIVAL)
    if np.isfinite([error, missed]).all():
        said.append(
            f"Where fire came within {names[-1]}, the forecast time of its arrival is wrong by {number(error, 0)} "
            f"minutes on average; {number(100 * missed, 0)} % of that ground the forecast fire never reaches."
        )
    return said
