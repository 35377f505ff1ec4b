"""Checkpoints: a trained network with everything that is needed to use it, in plain types."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError

from emberformer.atomic import replacing_file
from emberformer.calibration import Calibration
from emberformer.errors import InputError
from emberformer.feature_key import features_key
from emberformer.features.reading import Memory
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.model.decoders.pretrained import load_decoder_weights, pretrained_decoders
from emberformer.model.emberformer import build_emberformer
from emberformer.model.pixel_input import PixelInput
from emberformer.model.token_network import build_token_network
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.provenance import provenance
from emberformer.rivals.conv_head import conv_head_2d
from emberformer.rivals.conv_lstm import ConvLSTM
from emberformer.rivals.res18_unet import res18_unet
from emberformer.rivals.tiny_3d import Tiny3D
from emberformer.rivals.unet import pixel_unet
from emberformer.rivals.unet_grid import grid_unet
from emberformer.rivals.utae import UTAE
from emberformer.settings import Settings
from emberformer.stage import described
from emberformer.training_settings import Phase

ABOUT = ("features", "seed", "phase", "backbone", "validation_new_ap", "provenance")


def open_landscapes(
    layout: Layout,
    sizes: Sizes,
    memory: Memory = "disk",
    device: torch.device = torch.device("cpu"),  # noqa: B008 (a device is a constant)
) -> list[Landscape]:
    """All data sets of a configuration, in its order."""
    return [open_landscape(layout, name, sizes, memory, device) for name in layout.settings.datasets]


def open_landscape(
    layout: Layout,
    name: str,
    sizes: Sizes,
    memory: Memory = "disk",
    device: torch.device = torch.device("cpu"),  # noqa: B008 (a device is a constant)
) -> Landscape:
    """One data set of a configuration; `memory` and `device` say where its features stay, see `FeatureReader`.

    Raises:
        InputError: stores that do not belong together, or features of other weights than the network was trained on.
    """
    landscape = Landscape(
        name, layout.fires(name), layout.feature_store(name), sizes.normaliser, sizes.channels,
        features_key(layout.settings.features), memory, device,
        layout.settings.datasets[name].foresees_wind, sizes.conditions,
    )  # fmt: skip
    sizes.require_backbone(landscape.identity, landscape.features_location)
    return landscape


def build_model(sizes: Sizes, settings: Settings) -> SpreadNetwork:
    """The untrained network of these sizes and settings."""
    terrain_pixels, category_sizes, of = len(sizes.raster_channels), sizes.category_sizes, settings.built_model
    raster, width = PixelInput(terrain_pixels, category_sizes), of.channels
    match of.network:
        case "emberformer":
            return build_emberformer(
                features=sizes.features,
                channels=len(sizes.channels),
                pixels=sizes.pixels,
                terrain_pixels=terrain_pixels,
                category_sizes=category_sizes,
                settings=of,
                layers=len(settings.features.layers),
                layer_features=sizes.layer_features,
                decoder_config=None if of.decoder_weights == "random" else sizes.decoder,
            )
        case "token":
            means = len(sizes.normaliser.patch_channels)
            return build_token_network(means=means, pixels=sizes.pixels, pixel_input=raster, settings=of)
        case "unet_grid":
            return grid_unet(raster, sizes.pixels, width)
        case "conv_head":
            return conv_head_2d(raster, width)
        case "tiny_3d":
            return Tiny3D(raster, width)
        case "unet":
            return pixel_unet(raster, width)
        case "res18_unet":
            return res18_unet(raster, width)
        case "conv_lstm":
            return ConvLSTM(raster, width)
        case "utae":
            return UTAE(raster, width)


def begin_model(sizes: Sizes, settings: Settings) -> SpreadNetwork:
    """The network as its training begins: untrained, but for what `decoder_weights` brings.

    Raises:
        InputError: the decoder's weights cannot be had, or do not fit.
    """
    model = build_model(sizes, settings)
    if settings.model.decoder_weights != "random":
        for part in pretrained_decoders(model):
            load_decoder_weights(part, settings.model.decoder_weights)
    return model


def model_inputs(model: SpreadNetwork, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What of a batch the network takes."""
    return {key: batch[key] for key in model.inputs}


def save_model(
    folder: Path,
    best: str,
    sizes: Sizes,
    settings: Settings,
    layout: Layout,
    seed: int,
    score: float,
    phase: Phase = "phase1",
    backbone: dict[str, Any] | None = None,
) -> Path:
    """Write the best weights with sizes, settings and provenance; plain types, so that loading runs no code.

    Args:
        folder: the model's folder.
        best: checkpoint of the training's best epoch, which holds the calibration too.
        sizes: of the data.
        settings: the whole configuration.
        layout: its paths.
        seed: of the training.
        score: validation new-fire average precision of the best epoch.
        phase: what was trained.
        backbone: of phases 2 and 3, what `emberformer.finetuned_checkpoint.written` says.
    """
    state = torch.load(best, map_location="cpu", weights_only=False)["state_dict"]
    content = {
        "state": {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")},
        "sizes": sizes.to_dict(),
        "settings": settings.model_dump(mode="json"),
        "features": {name: features_key(settings.features) for name in settings.datasets},
        "phase": phase,
        "backbone": backbone,
        "seed": seed,
        "validation_new_ap": score,
        "calibration": Calibration(*state["calibration"].tolist())._asdict(),
        "provenance": provenance(),
    }  # fmt: skip
    return write_checkpoint(folder, content)


def write_checkpoint(folder: Path, content: dict[str, Any]) -> Path:
    """Write `config.yaml` and `model.ckpt`, this one whole or not at all."""
    (folder / "config.yaml").write_text(yaml.safe_dump(content["settings"], sort_keys=False))
    path = folder / "model.ckpt"
    with replacing_file(path) as partial:
        torch.save(content, partial)
    return path


def load_model(path: Path) -> tuple[SpreadNetwork, Sizes, Settings, dict]:
    """A trained network in evaluation mode, its sizes and settings, and the checkpoint's remaining entries.

    The network gives the logits that it was trained for; the entry `calibration` makes probabilities of them that mean
    what they say, see `emberformer.calibration`.

    Raises:
        InputError: there is no checkpoint, or it is none of EmberFormer's, or of another version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        sizes = Sizes.from_dict(content["sizes"])
        settings, phase, told = Settings.model_validate(content["settings"]), content["phase"], content["backbone"]
        about = {key: content[key] for key in ABOUT} | {"calibration": Calibration.of(content)}
        if about["calibration"] is None:
            raise KeyError("calibration")
    except ValidationError as error:
        raise of_another_version(path, described(error)) from error
    except (OSError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            path, str(error), "a checkpoint of `emberformer train`", "train first, or name another file"
        ) from error
    if phase == "student":
        settings = settings.of_student()
    model = build_model(sizes, settings)
    if told is not None:
        from emberformer.finetuned_checkpoint import fine_tuned, read_encodings  # PEFT takes seconds to import

        model = fine_tuned(model, settings, phase, read_encodings(told), told["weights_sha256"], path)
    load_weights(model, content["state"], path)
    return model.eval(), sizes, settings, about


def load_weights(network: torch.nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Give a network the weights of a checkpoint.

    Raises:
        InputError: they are of another network.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise of_another_version(path, str(error)) from error


def of_another_version(path: Path, found: str) -> InputError:
    """The error for a checkpoint whose settings or weights are not such as this version writes."""
    expected = "a checkpoint of a network that this version trains"
    return InputError(path, found, expected, "train again, or use the version that the checkpoint's `provenance` names")


def trained_parent(layout: Layout, seed: int, phase: Phase) -> Path:
    """The model that a phase starts from, or the student's teacher.

    Raises:
        InputError: it is not trained yet.
    """
    parent = layout.parent_phase(phase)
    path = layout.model(seed, parent) / "model.ckpt"
    if not path.exists():
        verb = "train" if parent == "phase1" else f"finetune --phase {parent}"
        raise InputError(path, "no file", f"the {parent} model, from which {phase} learns", f"run `emberformer {verb}`")
    return path
