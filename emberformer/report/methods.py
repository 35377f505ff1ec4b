"""What each method does, in one line, and what it was given and fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from emberformer.evaluate.names import parse_method
from emberformer.forecast_store import CREDITS
from emberformer.layout import Layout, Trained
from emberformer.report.scoreboard import Scoreboard, is_seed, method_label, network_label
from emberformer.report.verdict import number

DESCRIPTIONS = {
    "persistence": "The last map once more, and nothing else burns.",
    "dilation": "The last burned area grows by a radius in every direction, the one of highest F1 on validation fires.",
    "distance": "A score that falls with the distance from the burned area: it ranks pixels, but is no probability.",
    "logistic": "Logistic regression on what a pixel shows: distance from the fire, wind along the way, slope, fuel.",
}
UNITS = {"_px": " px", "_m_s": " m/s", "_m": " m", "_s": " s"}  # endings of names, the longest first


NETWORKS = {
    "token": "The temporal part of EmberFormer on what a patch holds of fire, on terrain means and wind alone.",
    "conv_head": "Convolutions over the newest frame, terrain and wind.",
    "tiny_3d": "A small 3-D convolutional network over the newest frames, terrain and wind.",
    "unet_grid": "A U-Net on the grid of patches.",
    "unet": "A U-Net on the pixels of the newest frames, terrain and wind.",
    "res18_unet": "A U-Net with a ResNet-18 encoder on the pixels of the newest frames, terrain and wind.",
    "conv_lstm": "A convolutional LSTM over the pixels of the newest frames, terrain and wind.",
    "utae": "A U-Net with temporal attention over the pixels of the newest frames, terrain and wind.",
}
TOKENS = {"conv": "a convolutional stem of the terrain", "linear": "a linear map of the terrain's pixels"}


class Method(NamedTuple):
    """A method as the table of methods shows it."""

    label: str
    description: str
    fitted: str
    threshold: str
    wind: str


def describe_methods(board: Scoreboard, layout: Layout, backbone: str, sees_wind: Mapping[str, bool]) -> list[Method]:
    """Each trained network and phase, all its seeds in one entry, then each baseline.

    Args:
        board: the verification tables, with thresholds and what was fitted.
        layout: its `trained` networks and their settings.
        backbone: name of the backbone, as its feature store says it.
        sees_wind: method -> whether it was given the wind of the step that it forecasts.
    """
    methods = []
    for trained in board.first_seeds:
        seeds = [name for name in board.methods if is_seed(name) and parse_method(name).trained == trained]
        label = method_label(seeds[0]) if len(seeds) == 1 else f"{network_label(seeds[0])}, {len(seeds)} seeds"
        thresholds = ", ".join(_threshold_text(board, name) for name in seeds)
        if trained in layout.trained:
            description, fitted = network_description(layout.trained[trained], backbone), "training fires"
        else:
            description, fitted = others_description(_stores(board, seeds[0])), "not known"
        methods.append(Method(label, description, fitted, thresholds, _wind_text(board, seeds[0], sees_wind)))
    for name in board.baselines:
        fitted = _fitted_text(board.thresholds.get(name, {}).get("fitted") or {})
        if name in DESCRIPTIONS:
            description, fitted = DESCRIPTIONS[name], fitted or "nothing"
        else:
            description, fitted = others_description(_stores(board, name)), fitted or "not known"
        wind = _wind_text(board, name, sees_wind)
        methods.append(Method(method_label(name), description, fitted, _threshold_text(board, name), wind))
    return methods


def others_description(stores: Mapping[str, Mapping[str, object]]) -> str:
    """Where forecasts come from that others made, and what their stores say of them.

    >>> others_description({"hills": {"path": "theirs/hills.zarr", "institution": "Fire Lab", "source": "simulator 3"}})
    'Scored from files of another source: theirs/hills.zarr. Institution: Fire Lab. Source: simulator 3.'
    """
    paths = dict.fromkeys(str(of["path"]) for of in stores.values())
    said = {name: dict.fromkeys(str(of[name]).rstrip(".") for of in stores.values() if name in of) for name in CREDITS}
    credits_ = [f"{name.capitalize()}: {', '.join(texts)}." for name, texts in said.items() if texts]
    return " ".join([f"Scored from files of another source: {', '.join(paths)}.", *credits_])


def _stores(board: Scoreboard, method: str) -> Mapping[str, Mapping[str, object]]:
    return board.thresholds.get(method, {}).get("store", {})


def network_description(trained: Trained, backbone: str) -> str:
    """What a trained network sees and does, from its settings."""
    settings = trained.layout.settings
    if trained.phase == "student" and settings.distillation is not None:
        student = NETWORKS.get(settings.distillation.model.network, "A smaller EmberFormer.")
        return f"{student} It learned the forecasts of {trained.variant or 'EmberFormer'}'s last phase."
    model = settings.model
    if model.network != "emberformer":
        return NETWORKS[model.network]
    phase = {"phase2": settings.phase2, "phase3": settings.phase3}.get(trained.phase)
    features = f"{backbone} features" if phase else f"frozen {backbone} features"
    fire = features if model.fire == "dino" else "a convolutional stem"
    terrain = f"{features} of the terrain" if model.terrain == "dino" else TOKENS.get(model.terrain, "no terrain")
    kept = f"{fire} of the newest {model.history} frames and {terrain}"
    tuned = "" if phase is None else f" The backbone is fine-tuned ({phase.method}) from the phase before."
    wind = "with the wind" if model.wind else "without the wind"
    text = f"{kept}, {wind}, through a {model.temporal.replace('_', ' ')} over time and a decoder that ends at"
    return f"{text[0].upper()}{text[1:]} full resolution.{tuned}"


def _threshold_text(board: Scoreboard, method: str) -> str:
    threshold = board.thresholds.get(method, {}).get("threshold")
    return "–" if threshold is None else number(float(threshold), 3)


def _wind_text(board: Scoreboard, method: str, sees_wind: Mapping[str, bool]) -> str:
    told = [of.get("sees_target_wind") for of in _stores(board, method).values()]
    value = sees_wind.get(method, next((one for one in told if isinstance(one, bool)), None))
    return {True: "yes", False: "no", None: "not known"}[value]


def _fitted_text(fitted: Mapping[str, Mapping[str, object] | None]) -> str:
    """What was fitted on which data set, without tables of numbers; said once where all data sets say the same.

    A store of others may say nothing of it (None).

    >>> _fitted_text({"portillo": {"radius_px": 3.5}, "dogrib": {"radius_px": 2, "weights": {"a": 1, "b": 2}}})
    'portillo: radius 3.5 px; dogrib: radius 2 px, 2 weights'
    """
    texts = {
        dataset: ", ".join(_value_text(key, value) for key, value in of.items() if value not in ([], {}, [dataset]))
        for dataset, of in fitted.items()
        if of
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
