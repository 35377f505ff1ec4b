"""Checkpoints: a trained network with everything that is needed to use it, in plain types."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError

from emberformer.atomic import replacing_file
from emberformer.calibration import Calibration
from emberformer.data.fires import open_fires
from emberformer.data.normalise import TerrainNormaliser, conditions_as_terrain
from emberformer.dataset import training_conditions, training_terrain
from emberformer.errors import InputError
from emberformer.feature_key import features_key
from emberformer.features.channel_map import is_of_angle, require_of_training
from emberformer.features.reading import Memory
from emberformer.features.store import open_features
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.model.decoders.pretrained import architecture, load_decoder_weights, pretrained_decoders
from emberformer.model.emberformer import build_emberformer
from emberformer.model.pixel_input import PixelInput
from emberformer.model.token_network import build_token_network
from emberformer.network import SpreadNetwork
from emberformer.provenance import provenance
from emberformer.rivals.conv_head import conv_head_2d
from emberformer.rivals.conv_lstm import ConvLSTM
from emberformer.rivals.res18_unet import res18_unet
from emberformer.rivals.tiny_3d import Tiny3D
from emberformer.rivals.unet import pixel_unet
from emberformer.rivals.unet_grid import grid_unet
from emberformer.rivals.utae import UTAE
from emberformer.settings import Settings, described
from emberformer.training_settings import Phase

ABOUT = ("features", "seed", "phase", "backbone", "validation_new_ap", "provenance")


@dataclass(frozen=True)
class Sizes:
    """What the network's shape takes from the data, and from the decoder's weights; kept in the checkpoint."""

    features: int
    pixels: int
    channels: tuple[str, ...]
    normaliser: TerrainNormaliser
    decoder: str | None = None  # `architecture` of `decoder_weights`
    conditions: TerrainNormaliser | None = None
    layer_features: int | None = None  # of a hidden layer's token; None: as many as `features`

    @property
    def raster_channels(self) -> list[str]:
        """Channels of the rasters that the network sees at full resolution."""
        if self.conditions is None:
            return self.normaliser.channels
        return [*self.normaliser.channels, *self.conditions.channels[:-1], "known_conditions"]

    @property
    def raster_categories(self) -> list[str]:
        """'band|unit' of the categories among them."""
        return [*self.normaliser.codes, *(self.conditions.codes if self.conditions else ())]

    @property
    def category_sizes(self) -> tuple[int, ...]:
        """Codes of each, with one for what is unknown."""
        return self.normaliser.category_sizes + (self.conditions.category_sizes if self.conditions else ())

    def to_dict(self) -> dict[str, Any]:
        """Plain types, as a checkpoint keeps them."""
        changing = None if self.conditions is None else json.dumps(self.conditions.to_dict())
        return {"features": self.features, "pixels": self.pixels, "channels": list(self.channels),
                "normaliser": json.dumps(self.normaliser.to_dict()), "decoder": self.decoder,
                "conditions": changing, "layer_features": self.layer_features}  # fmt: skip

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Sizes:
        """What `to_dict` gave."""
        changing = told.get("conditions")
        return cls(
            told["features"], told["pixels"], tuple(told["channels"]),
            TerrainNormaliser.from_dict(json.loads(told["normaliser"])), told.get("decoder"),
            TerrainNormaliser.from_dict(json.loads(changing)) if changing else None, told.get("layer_features"),
        )  # fmt: skip

    @classmethod
    def of(cls, layout: Layout, split: dict[str, dict[str, str]]) -> Sizes:
        """Sizes of the data sets of a configuration; the normaliser is fitted on their training fires.

        With `training.flip`, images of angles are left out: their cached tokens cannot be mirrored or turned, and a
        network that sees them in some views only is told less in the others. At full resolution angles turn.

        Raises:
            InputError: no image of the terrain is left, or their map was fitted on other than training fires.
        """
        require_of_training(layout.settings.features, split)
        training, changing, channels, numbers = [], [], [], set()
        settings = layout.settings
        for name in settings.datasets:
            fires = open_fires(layout.fires(name))
            features = open_features(layout.feature_store(name), features_key(settings.features))
            training.append((fires, training_terrain(fires, split[name])))
            if "conditions" in fires:
                changing.append((conditions_as_terrain(fires), training_conditions(fires, split[name])))
            turnable = [c for c in map(str, features.band.values) if not (settings.training.flip and is_of_angle(c))]
            channels += [c for c in turnable if c not in channels]
            of_layer = None if settings.features.components is None else int(features.attrs["features"])
            numbers.add((features.frame_patches.shape[-1], int(features.attrs["pixels_per_patch"]), of_layer))
        (features_length, pixels, of_layer), *others = numbers
        assert not others, "one feature key gives one token length"
        if not channels and settings.model.network == "emberformer" and settings.model.terrain == "dino":
            raise InputError(
                "settings `model.terrain`", "dino, while all images of the terrain are of angles",
                "an image that can be mirrored and turned", "add a band, or set training.flip: false or model.terrain",
            )  # fmt: skip
        return cls(
            features_length,
            pixels,
            tuple(channels),
            TerrainNormaliser.fit(training),
            architecture(settings.model),
            TerrainNormaliser.fit(changing) if changing else None,
            of_layer,
        )


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
    """One data set of a configuration; `memory` and `device` say where its features stay, see `FeatureReader`."""
    return Landscape(
        name, layout.fires(name), layout.feature_store(name), sizes.normaliser, sizes.channels,
        features_key(layout.settings.features), memory, device,
        layout.settings.datasets[name].foresees_wind, sizes.conditions,
    )  # fmt: skip


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
