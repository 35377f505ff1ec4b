"""What each method does, in one line, and what it was given and fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from emberformer.report.scoreboard import Scoreboard, is_seed, method_label
from emberformer.report.verdict import number
from emberformer.settings import Settings

DESCRIPTIONS = {
    "persistence": "Nothing new burns: the last burned area once more.",
    "dilation": "The last burned area grows by a radius in every direction, the one of highest F1 on validation fires.",
    "distance": "A score that falls with the distance from the burned area: it ranks pixels, but is no probability.",
    "logistic": "Logistic regression on what a pixel shows: distance from the fire, wind along the way, slope, fuel.",
}
UNITS = {"_px": " px", "_m_s": " m/s", "_m": " m", "_s": " s"}  # endings of names, the longest first


class Method(NamedTuple):
    """A method as the table of methods shows it."""

    label: str
    description: str
    fitted: str
    threshold: str
    wind: str


def describe_methods(
    board: Scoreboard, settings: Settings, backbone: str, sees_wind: Mapping[str, bool]
) -> list[Method]:
    """The model, all its seeds in one entry, then each baseline.

    Args:
        board: the verification tables, with thresholds and what was fitted.
        settings: the configuration.
        backbone: name of the backbone, as its feature store says it.
        sees_wind: method -> whether it was given the wind of the step that it forecasts.
    """
    seeds = [name for name in board.models if is_seed(name)]
    description = (
        f"Frozen {backbone} features of the newest {settings.model.history} frames and of the terrain, with the wind, "
        "through a temporal transformer and a decoder that ends at full resolution."
    )
    methods = []
    if seeds:
        label = method_label(seeds[0]) if len(seeds) == 1 else f"EmberFormer, {len(seeds)} seeds"
        thresholds = ", ".join(_threshold_text(board, name) for name in seeds)
        methods.append(Method(label, description, "training fires", thresholds, _yes_or_no(sees_wind.get(seeds[0]))))
    for name in board.baselines:
        fitted = _fitted_text(board.thresholds.get(name, {}).get("fitted") or {}) or "nothing"
        description = DESCRIPTIONS.get(name, "No description.")
        wind = _yes_or_no(sees_wind.get(name))
        methods.append(Method(method_label(name), description, fitted, _threshold_text(board, name), wind))
    return methods


def _threshold_text(board: Scoreboard, method: str) -> str:
    threshold = board.thresholds.get(method, {}).get("threshold")
    return "–" if threshold is None else number(float(threshold))


def _yes_or_no(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "not known"}[value]


def _fitted_text(fitted: Mapping[str, Mapping[str, object]]) -> str:
    """What was fitted on which data set, without tables of numbers; said once where all data sets say the same.

    >>> _fitted_text({"portillo": {"radius_px": 3.5}, "dogrib": {"radius_px": 2, "weights": {"a": 1, "b": 2}}})
    'portillo: radius 3.5 px; dogrib: radius 2 px, 2 weights'
    """
    texts = {
        dataset: ", ".join(_value_text(key, value) for key, value in of.items() if value not in ([], {}, [dataset]))
        for dataset, of in fitted.items()
    }
    texts = {dataset: text for dataset, text in texts.items() if text}
    if len(set(texts.values())) <= 1:
        return next(iter(texts.values()), "")
    return "; ".join(f"{dataset}: {text}" for dataset, text in texts.items())


def _value_text(key: str, value: object) -> str:
    suffix = next((suffix for suffix in UNITS if key.endswith(suffix)), "")
    key, unit = key.removesuffix(suffix).replace("_", " "), UNITS.get(suffix, "")
    if isinstance(value, Mapping):
        return f"{len(value)} {key}"
    if isinstance(value, list):
        return f"{key} {', '.join(map(str, value))}" if len(value) <= 4 else f"{len(value)} {key}"
    if isinstance(value, float) and np.isfinite(value):
        return f"{key} {value:.4g}{unit}".replace("-", "−")
    return f"{key} {value}{unit}"
