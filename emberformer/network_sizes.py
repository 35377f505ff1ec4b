"""What a network's shape takes from the data: token lengths, pixels of a patch, bands and codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emberformer.data.fires import open_fires
from emberformer.data.normalise import TerrainNormaliser, conditions_as_terrain
from emberformer.dataset import training_conditions, training_terrain
from emberformer.errors import InputError
from emberformer.feature_key import features_key
from emberformer.features.backbone import require_weights
from emberformer.features.channel_map import is_of_angle, require_of_training
from emberformer.features.store import open_features
from emberformer.layout import Layout
from emberformer.model.decoders.pretrained import architecture


@dataclass(frozen=True)
class Sizes:
    """What the network's shape takes from the data, and from the decoder's weights; kept in the checkpoint."""

    features: int
    pixels: int
    channels: tuple[str, ...]
    normaliser: TerrainNormaliser
    decoder: str | None = None  # `architecture` of `decoder_weights`
    conditions: TerrainNormaliser | None = None
    layer_features: int | None = None  # of a hidden layer's and of a CLS token; None: as many as `features`
    weights_sha256: str | None = None  # of the backbone that made the features; None: not known

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
                "conditions": changing, "layer_features": self.layer_features,
                "weights_sha256": self.weights_sha256}  # fmt: skip

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Sizes:
        """What `to_dict` gave."""
        changing = told.get("conditions")
        return cls(
            told["features"], told["pixels"], tuple(told["channels"]),
            TerrainNormaliser.from_dict(json.loads(told["normaliser"])), told.get("decoder"),
            TerrainNormaliser.from_dict(json.loads(changing)) if changing else None, told.get("layer_features"),
            told.get("weights_sha256"),
        )  # fmt: skip

    def require_backbone(self, identity: Mapping[str, Any], where: Path | str) -> None:
        """Refuse features of other weights than the network was trained on.

        Args:
            identity: what the feature store says of itself.
            where: of the network or, while it is trained, of the features; for the message.

        Raises:
            InputError: they are of other weights.
        """
        if self.weights_sha256 is not None:
            require_weights(self.weights_sha256, str(identity["weights_sha256"]), str(identity["model"]), where)

    @classmethod
    def of(cls, layout: Layout, split: dict[str, dict[str, str]]) -> Sizes:
        """Sizes of the data sets of a configuration; the normaliser is fitted on their training fires.

        With `training.flip`, images of angles are left out: their cached tokens cannot be mirrored or turned, and a
        network that sees them in some views only is told less in the others. At full resolution angles turn.

        Raises:
            InputError: no image of the terrain is left, or their map was fitted on other than training fires.
        """
        require_of_training(layout.settings.features, split)
        training, changing, channels, numbers, weights = [], [], [], set(), []
        settings = layout.settings
        for name in settings.datasets:
            fires = open_fires(layout.fires(name))
            features = open_features(layout.feature_store(name), features_key(settings.features))
            training.append((fires, training_terrain(fires, split[name])))
            if "conditions" in fires:
                changing.append((conditions_as_terrain(fires), training_conditions(fires, split[name])))
            turnable = [c for c in map(str, features.band.values) if not (settings.training.flip and is_of_angle(c))]
            channels += [c for c in turnable if c not in channels]
            weights.append(str(features.attrs["weights_sha256"]))
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
            weights[0],  # those of the other data sets are compared with it as they are opened
        )
