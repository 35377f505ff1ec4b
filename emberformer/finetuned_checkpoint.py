"""What a checkpoint of phase 2 or 3 says of its backbone, and the network that is built from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from emberformer.errors import InputError
from emberformer.feature_settings import FeatureSettings
from emberformer.features.backbone import load_backbone, require_weights
from emberformer.features.encoding import Encoding
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.model.finetuned import FinetunedEmberFormer
from emberformer.model.tuned import TunedBackbone
from emberformer.network import SpreadNetwork
from emberformer.settings import Settings
from emberformer.training_settings import FinetuningSettings, Phase

Encodings = dict[tuple[int, int] | None, Encoding]


def encodings_of(landscapes: Iterable[Landscape]) -> Encodings:
    """How the stores of some landscapes keep tokens, by patch grid; plain floats are alike for every grid."""
    return {
        None if landscape.encoding.blank is None else landscape.grid: landscape.encoding for landscape in landscapes
    }


def fine_tuned(
    parent: SpreadNetwork,
    settings: Settings,
    phase: Phase,
    encodings: Encodings,
    weights_sha256: str,
    where: Path,
) -> FinetunedEmberFormer:
    """The network of a phase before its first step.

    Args:
        parent: best network of the phase before, or one on cached tokens whose state is loaded afterwards.
        settings: the configuration.
        phase: 'phase2' or 'phase3'.
        encodings: how tokens are stored.
        weights_sha256: of the backbone that made the cache.
        where: file that the hash stands in, for the message.

    Raises:
        InputError: the weights cannot be had or are others, or a layer to adapt does not exist.
    """
    backbone = untuned(settings.features, weights_sha256, where)
    phases = tuning_phases(settings, phase)
    for name, of_phase in phases.items():
        if name == phase and isinstance(parent, FinetunedEmberFormer):
            backbone.load_state_dict(parent.backbone.state_dict())
        backbone.begin(name, of_phase)
    tail = phases[phase].path == "tail"
    model = parent.model if isinstance(parent, FinetunedEmberFormer) else parent
    network = FinetunedEmberFormer(model, backbone, encodings, settings.features.scale, tail)
    if network.block is not None and "terrain" not in backbone.parts:
        backbone.keep_tail_only()
    return network


def untuned(features: FeatureSettings, weights_sha256: str, where: Path) -> TunedBackbone:
    """The backbone that made the cache, before any of it trains.

    Args:
        features: that name it.
        weights_sha256: of the weights that made the cache.
        where: file that the hash stands in, for the message.

    Raises:
        InputError: the weights cannot be had or are others.
    """
    trainable = features.model_copy(update={"layers": (), "runtime": "torch"})  # OpenVINO cannot train
    backbone = TunedBackbone(lambda: load_backbone(trainable))
    require_weights(weights_sha256, backbone.about.weights_sha256, backbone.about.name, where)
    return backbone


def tuning_phases(settings: Settings, phase: Phase) -> dict[str, FinetuningSettings]:
    """Phases that have tuned the backbone by the end of a phase, in their order."""
    named = {"phase2": settings.phase2, "phase3": settings.phase3}
    order = list(named)[: list(named).index(phase) + 1]
    return {name: of_phase for name in order if (of_phase := named[name]) is not None}


def backbone_hash(layout: Layout, landscapes: list[Landscape]) -> str:
    """SHA-256 of the weights that made the features of all landscapes.

    Raises:
        InputError: they were made with different weights.
    """
    hashes = {landscape.name: str(landscape.identity["weights_sha256"]) for landscape in landscapes}
    if len(set(hashes.values())) > 1:
        found = ", ".join(f"{name}: {value[:12]}…" for name, value in hashes.items())
        raise InputError(
            layout.config, f"features of different weights ({found})", "one backbone", "extract them again"
        )
    return next(iter(hashes.values()))


def written(encodings: Encodings, weights_sha256: str) -> dict[str, Any]:
    """What a checkpoint says of the backbone, in plain types."""
    return {
        "weights_sha256": weights_sha256,
        "encodings": [
            {"grid": grid, "dtype": one.dtype, "blank": one.blank, "basis": dict(one.basis)}
            for grid, one in encodings.items()
        ],
    }


def read_encodings(told: Mapping[str, Any]) -> Encodings:
    """Encodings as `written` wrote them."""
    return {
        None if one["grid"] is None else (one["grid"][0], one["grid"][1]): Encoding(
            one["dtype"], one["blank"], dict(one["basis"])
        )
        for one in told["encodings"]
    }
