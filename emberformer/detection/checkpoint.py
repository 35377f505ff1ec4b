"""Checkpoints of a detector: the averaged weights with all that is needed to detect, in plain types."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from emberformer.checkpoint import load_weights, of_another_version, write_checkpoint
from emberformer.detection.cached_tail import CachedTail
from emberformer.detection.detector import FireDetector
from emberformer.detection.live_tail import LiveTail
from emberformer.detection.tail import Tail
from emberformer.detection_settings import DetectionSettings
from emberformer.errors import InputError
from emberformer.finetuned_checkpoint import read_encodings
from emberformer.provenance import provenance
from emberformer.settings import Settings
from emberformer.stage import described

ABOUT = ("features", "seed", "validation", "provenance")


@dataclass(frozen=True)
class TrainedDetector:
    """A trained detector.

    Args:
        detector: in evaluation mode.
        settings: the configuration that it was trained with.
        channels: numbers that a patch has.
        categories: names of its labels.
        tail: blocks of the backbone that were trained with it; None: it is frozen.
        about: the checkpoint's remaining entries.
    """

    detector: FireDetector
    settings: Settings
    channels: int
    categories: tuple[str, ...]
    tail: Tail | None
    about: Mapping[str, Any]


def detection_settings(settings: Settings, where: object) -> DetectionSettings:
    """Settings of the detector.

    Raises:
        InputError: the configuration has none.
    """
    if settings.detection is None:
        raise InputError(f"{where}: detection", "no settings", "the settings of a detector", "add `detection: {}`")
    return settings.detection


def save_detector(
    folder: Path,
    state: Mapping[str, Tensor],
    settings: Settings,
    channels: int,
    categories: tuple[str, ...],
    features: Mapping[str, str],
    seed: int,
    score: float,
    tail: Mapping[str, Any] | None = None,
) -> Path:
    """Write `model.ckpt`, whole or not at all.

    Args:
        folder: the detector's folder.
        state: averaged weights of the best epoch.
        settings: the whole configuration.
        channels: numbers that a patch has.
        categories: names of its labels.
        features: name of the feature store of each data set.
        seed: of the training.
        score: of the best epoch on validation.
        tail: what `Tail.told` says, and its `state`; None: the backbone is frozen.
    """
    content = {
        "state": dict(state),
        "settings": settings.model_dump(mode="json"),
        "channels": channels,
        "categories": list(categories),
        "features": dict(features),
        "seed": seed,
        "validation": score,
        "tail": None if tail is None else dict(tail),
        "provenance": provenance(),
    }
    return write_checkpoint(folder, content)


def load_detector(path: Path) -> TrainedDetector:
    """A trained detector.

    Raises:
        InputError: there is no checkpoint, or it is of no detector, or of another version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        channels, categories = int(content["channels"]), tuple(content["categories"])
        about = {key: content[key] for key in ABOUT}
        settings, told = Settings.model_validate(content["settings"]), content["tail"]
    except ValidationError as error:
        raise of_another_version(path, described(error)) from error
    except (OSError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            path, str(error), "a checkpoint of `emberformer detection train`", "train first, or name another file"
        ) from error
    of = detection_settings(settings, path)
    detector, tail = FireDetector(of, channels, len(categories)), None
    load_weights(detector, content["state"], path)
    if told is not None:
        tail = _read_tail(settings, of, told, path)
        load_weights(tail, told["state"], path)
        tail.eval()
    return TrainedDetector(detector.eval(), settings, channels, categories, tail, about)


def _read_tail(settings: Settings, of: DetectionSettings, told: Mapping[str, Any], path: Path) -> Tail:
    """The tail of a checkpoint, whose tuned weights are still to be loaded."""
    assert of.tail is not None, "where a tail was kept, the settings have one"
    features, weights = settings.features, told["weights_sha256"]
    if of.cameras is not None:
        return LiveTail(features, of.tail, weights, path)
    return CachedTail(features, of.tail, read_encodings(told), weights, int(told["tokens"]), path)
