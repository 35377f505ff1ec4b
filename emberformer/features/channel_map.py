"""Which images a terrain window is shown to the backbone as: a grey one a channel, or colour ones that mix channels.

`triplets` lays three channels side by side as the colours of one image, so that a third of the images pass the
backbone; three channels are one image as they are. `pca3` and `learned` are one image by a linear map from all
channels, y = W x + b with W [3, C], as a 1 x 1 convolution computes it. W and b stand in a file that is made before
the extraction and whose content is part of the store's key: nothing trainable stands before the cache, and no
fire of the test can have a part in it unnoticed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from torch import nn

from emberformer.atomic import write_whole
from emberformer.errors import InputError
from emberformer.settings import FeatureSettings, expand

COLOURS = 3
ANGLES = (".sin", ".cos")


@dataclass(frozen=True)
class Projection:
    """A linear map from terrain channels to one colour image, as its file holds it.

    Args:
        kind: 'pca3' or 'learned'.
        channels: names as of `terrain_channels`.
        weight: for each colour the weight of every channel.
        bias: of each colour.
        fitted_on: what it was made from, in words.
        fires: that had a part in it, by data set.
    """

    kind: str
    channels: tuple[str, ...]
    weight: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]
    fitted_on: str
    fires: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ChannelMap:
    """From the grey images of all channels to the images that pass the backbone.

    Args:
        images: their names, the channels in them joined by '+'.
        weight: [M, 3, K] of M images of K channels; None: every channel is a grey image of its own.
        bias: [M, 3], likewise.
    """

    images: tuple[str, ...]
    weight: Float32[np.ndarray, "M 3 K"] | None = None
    bias: Float32[np.ndarray, "M 3"] | None = None

    @classmethod
    def of(cls, identity: dict[str, Any]) -> ChannelMap:
        """The map that a store's identity tells."""
        parts = (identity["channel_weight"], identity["channel_bias"])
        return cls(tuple(identity["images"]), *(None if p is None else np.array(p, np.float32) for p in parts))

    @property
    def identity(self) -> dict[str, Any]:
        """What a store says of it."""
        weight, bias = (None if part is None else part.tolist() for part in (self.weight, self.bias))
        return {"images": list(self.images), "channel_weight": weight, "channel_bias": bias}

    def apply(self, grey: Float32[np.ndarray, "K H W"]) -> Float32[np.ndarray, "M *c H W"]:
        """Images of one window: as they are, or of three colours."""
        if self.weight is None or self.bias is None:
            return grey
        return np.einsum("mck,khw->mchw", self.weight, grey) + self.bias[:, :, None, None]


def is_of_angle(image: str) -> bool:
    """Whether an angle has a part in an image, which can therefore not be mirrored or turned.

    >>> is_of_angle("aspect_deg.sin"), is_of_angle("fuel+aspect_deg.cos"), is_of_angle("elevation+slope_deg")
    (True, True, False)
    """
    return any(channel.endswith(ANGLES) for channel in image.split("+"))


def channel_map(settings: FeatureSettings, channels: Sequence[str]) -> ChannelMap:
    """The map that the settings ask for, of a data set with these channels (`terrain_channels`).

    Raises:
        InputError: a file that is none, or that does not know a channel.
    """
    if settings.channel_map == "bands":
        return ChannelMap(tuple(channels))
    if settings.channel_map == "triplets":
        return triplets(channels)
    assert settings.channel_file is not None, "settings ask for it"
    projection = read_projection(settings.channel_file, settings.channel_map)
    if unknown := [channel for channel in channels if channel not in projection.channels]:
        raise InputError(
            settings.channel_file, f"nothing about {', '.join(unknown)}", "a weight for every channel of the data set",
            "make the file again from data sets that have it",
        )  # fmt: skip
    of_channel = dict(zip(projection.channels, np.array(projection.weight, np.float32).T, strict=True))
    weight = np.stack([of_channel[channel] for channel in channels], 1)
    mixed = "+".join(channel for channel, weights in of_channel.items() if weights.any())
    return ChannelMap((mixed,), weight[None], np.array([projection.bias], np.float32))


def triplets(channels: Sequence[str]) -> ChannelMap:
    """Three channels an image; those of angles come last, so that few images cannot be turned.

    >>> triplets(["elevation", "aspect.sin", "aspect.cos", "slope", "fuel"]).images
    ('elevation+slope+fuel', 'aspect.sin+aspect.cos')
    """
    order = sorted(range(len(channels)), key=lambda n: is_of_angle(channels[n]))
    images = [order[n : n + COLOURS] for n in range(0, len(order), COLOURS)]
    weight = np.zeros((len(images), COLOURS, len(channels)), np.float32)
    for image, own in enumerate(images):
        weight[image, range(len(own)), own] = 1
    names = tuple("+".join(channels[n] for n in own) for own in images)
    return ChannelMap(names, weight, np.zeros((len(images), COLOURS), np.float32))


def image_count(kind: str, channels: int) -> int:
    """Images of a window with so many channels.

    >>> [image_count(kind, 7) for kind in ("bands", "triplets", "pca3")]
    [7, 3, 1]
    """
    return {"bands": channels, "triplets": -(-channels // COLOURS)}.get(kind, min(1, channels))


def read_projection(path: Path, kind: str) -> Projection:
    """Read a file that `write_projection` wrote.

    Raises:
        InputError: there is none, or it is none of this kind.
    """
    remedy = "`emberformer features fit-channels` makes one of kind pca3; one of kind learned comes from a training"
    try:
        content = json.loads(expand(path).read_text())
        found = Projection(
            content["kind"], tuple(content["channels"]), tuple(map(tuple, content["weight"])),
            tuple(content["bias"]), content["fitted_on"],
            content["fires"] if kind == "pca3" else content.get("fires", {}),
        )  # fmt: skip
        shape = np.array(found.weight, np.float32).shape, np.array(found.bias, np.float32).shape
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, str(error), "a projection of terrain channels (JSON)", remedy) from error
    if found.kind != kind or shape != ((COLOURS, len(found.channels)), (COLOURS,)):
        told = f"kind {found.kind}, weights {shape[0]}, bias {shape[1]}"
        expected = f"kind {kind}, weights of {COLOURS} x {len(found.channels)} and a bias of {COLOURS}"
        raise InputError(path, told, expected, remedy)
    return found


def require_of_training(settings: FeatureSettings, split: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse a map that was fitted on fires that are no training fires.

    Raises:
        InputError: naming one of them.
    """
    if settings.channel_file is None:
        return
    fitted = read_projection(settings.channel_file, settings.channel_map).fires
    others = [
        (name, fire) for name in fitted for fire in fitted[name] if split.get(name, {}).get(fire, "train") != "train"
    ]
    if others:
        (name, fire), *_ = others
        raise InputError(
            f"features.channel_file: {settings.channel_file}",
            f"fitted on {len(others)} fires of validation or test, such as {fire} of {name}", "training fires alone",
            "make it again with `emberformer features fit-channels`, to another file if another split uses this one",
        )  # fmt: skip


def write_projection(path: Path, projection: Projection) -> None:
    """Write a projection as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(projection), indent=1) + "\n")


def learned_projection(layer: nn.Conv2d, channels: Sequence[str], fitted_on: str) -> Projection:
    """What a 1 x 1 convolution of rendered channels has learned.

    Raises:
        ValueError: it is no 1 x 1 convolution from these channels to three.
    """
    weight = layer.weight.detach().cpu().double()
    if tuple(weight.shape) != (COLOURS, len(channels), 1, 1):
        raise ValueError(f"a layer of {tuple(weight.shape)}, not of ({COLOURS}, {len(channels)}, 1, 1)")
    bias = [0.0] * COLOURS if layer.bias is None else layer.bias.detach().cpu().double().tolist()
    weights = tuple(map(tuple, weight[:, :, 0, 0].tolist()))
    return Projection("learned", tuple(channels), weights, tuple(bias), fitted_on)
