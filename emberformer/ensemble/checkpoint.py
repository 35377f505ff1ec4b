"""Checkpoints of the ensemble: the averaged weights with everything that is needed to draw futures, in plain types."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from emberformer.checkpoint import load_model, load_weights, of_another_version, trained_parent, write_checkpoint
from emberformer.ensemble.generator import Generator, build_generator
from emberformer.ensemble.prior import Prior
from emberformer.ensemble_settings import EnsembleSettings
from emberformer.errors import InputError
from emberformer.feature_key import content_digest, features_key
from emberformer.layout import Layout
from emberformer.network_sizes import Sizes
from emberformer.provenance import provenance
from emberformer.settings import Settings
from emberformer.stage import described


@dataclass(frozen=True)
class EnsembleModel:
    """A trained ensemble.

    Args:
        generator: in evaluation mode.
        sizes: of the data.
        settings: the configuration that it was trained with.
        reach: pixels that fire went in the leads at most in training; nothing is drawn further away.
        text_features: length of a text's embeddings; None: there is no text.
        about: the checkpoint's remaining entries.
    """

    generator: Generator
    sizes: Sizes
    settings: Settings
    reach: int
    text_features: int | None
    about: Mapping[str, Any]


def ensemble_settings(settings: Settings, where: object) -> EnsembleSettings:
    """Settings of the ensemble.

    Raises:
        InputError: the configuration has none.
    """
    if settings.ensemble is None:
        raise InputError(f"{where}: ensemble", "no settings", "the settings of an ensemble", "add `ensemble: {}`")
    return settings.ensemble


def new_generator(sizes: Sizes, of: EnsembleSettings, text_features: int | None) -> Generator:
    """The untrained generator of these sizes."""
    return build_generator(
        of,
        features=sizes.features,
        cls_features=sizes.layer_features,
        terrain_channels=len(sizes.channels),
        patch_pixels=sizes.pixels,
        raster_channels=len(sizes.raster_channels),
        category_sizes=sizes.category_sizes,
        text_features=text_features,
    )


def load_prior(settings: Settings, layout: Layout, seed: int) -> tuple[Prior, Sizes] | None:
    """The network that the ensemble starts from, with the sizes it was trained with; None: it starts from none.

    Raises:
        InputError: it is not trained yet.
    """
    of = ensemble_settings(settings, layout.config)
    if not of.prior:
        return None
    model, sizes, _, about = load_model(trained_parent(layout, seed, "ensemble"))
    return Prior(model.requires_grad_(False), about["calibration"], of.leads), sizes


def save_ensemble(
    folder: Path, state: Mapping[str, torch.Tensor], model: EnsembleModel, layout: Layout, seed: int, score: float
) -> Path:
    """Write `model.ckpt`, whole or not at all.

    Args:
        folder: the ensemble's folder.
        state: averaged weights of the best epoch.
        model: whose sizes, settings and reach are kept.
        layout: paths of the configuration.
        seed: of the training.
        score: validation loss of the best epoch.
    """
    content = {
        "state": dict(state),
        "sizes": model.sizes.to_dict(),
        "settings": model.settings.model_dump(mode="json"),
        "features": {name: features_key(model.settings.features) for name in model.settings.datasets},
        "parent": content_digest(trained_parent(layout, seed, "ensemble")) if prior_of(model.settings) else None,
        "reach": model.reach,
        "text_features": model.text_features,
        "seed": seed,
        "validation_loss": score,
        "provenance": provenance(),
    }  # fmt: skip
    return write_checkpoint(folder, content)


def prior_of(settings: Settings) -> bool:
    """Whether an ensemble starts from a network."""
    return settings.ensemble is not None and settings.ensemble.prior


def load_ensemble(path: Path) -> EnsembleModel:
    """A trained ensemble.

    Raises:
        InputError: there is no checkpoint, or it is of no ensemble, or of another version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        sizes = Sizes.from_dict(content["sizes"])
        reach, text_features = content["reach"], content["text_features"]
        about = {key: content[key] for key in ("features", "parent", "seed", "validation_loss", "provenance")}
        settings = Settings.model_validate(content["settings"])
    except ValidationError as error:
        raise of_another_version(path, described(error)) from error
    except (OSError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            path, str(error), "a checkpoint of `emberformer ensemble train`", "train first, or name another file"
        ) from error
    generator = new_generator(sizes, ensemble_settings(settings, path), text_features)
    load_weights(generator, content["state"], path)
    return EnsembleModel(generator.eval(), sizes, settings, reach, text_features, about)
