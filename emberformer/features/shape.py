"""Shape of a feature store: which arrays it has, and what one record of each looks like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

Axis = Literal["frame", "terrain"]
AXES: tuple[Axis, ...] = ("frame", "terrain")

# What a missing value reads as: NaN, the bits of bfloat16's NaN, and the one code that int8 tokens never take.
FILL: dict[str, float | int] = {"float16": np.nan, "float32": np.nan, "bfloat16": 0x7FC0, "int8": -128}
# zarr-python knows no bfloat16 yet, so its bits are stored; attribute `bits` of the array says so.
STORED_AS = {"float16": "float16", "float32": "float32", "bfloat16": "uint16", "int8": "int8"}
# Dimensions of an array beside its first, by the second word of its name; along `terrain` there is one more.
FURTHER_DIMENSIONS = {
    "burned": 2, "mean": 2, "cls": 1, "layers": 4, "prefix": 3, "scale": 2, "patches": 3,
}  # fmt: skip


@dataclass(frozen=True)
class ArrayShape:
    """One array of the store; its first axis, `frame` or `terrain`, counts records.

    Args:
        name: name of the array.
        dims: names of all dimensions.
        record: shape of one record.
        kind: 'float16', 'float32', 'bfloat16' or 'int8'.
        gaps: whether NaN may stand in a record, if not as its first value.
    """

    name: str
    dims: tuple[str, ...]
    record: tuple[int, ...]
    kind: str
    gaps: bool = False

    @property
    def dtype(self) -> str:
        """NumPy name of the stored type."""
        return STORED_AS[self.kind]


@dataclass(frozen=True)
class StoreShape:
    """Sizes that all arrays of a store follow from.

    Args:
        grid: patches along y and x.
        channels: what is stored of a terrain window's patches beside their tokens (`mean_channels`).
        images: images of a terrain window, which pass the backbone.
        features: length D of a token.
        prefix: tokens before the patches (CLS and registers).
        layers: further hidden layers.
        dtype: `FeatureSettings.dtype`.
        components: principal components that are stored instead of the features.
    """

    grid: tuple[int, int]
    channels: int
    images: int
    features: int
    prefix: int
    layers: int
    dtype: str
    components: int | None

    @classmethod
    def of(cls, identity: dict[str, Any]) -> StoreShape:
        """The shape that a store's identity tells."""
        return cls(
            tuple(identity["grid"]), len(identity["channels"]), len(identity["images"]), identity["features"],
            identity["prefix_tokens"], len(identity["layers"]), identity["dtype"], identity["components"],
        )  # fmt: skip

    def arrays(self, axis: Axis) -> tuple[ArrayShape, ...]:
        """Arrays along an axis; `<axis>_patches` is the last, and a block is finished when that one is there."""
        grid = ("patch_y", "patch_x")
        if axis == "frame":
            lead, image = ("frame",), ()
            found = [ArrayShape("frame_burned", (*lead, *grid), self.grid, "float32")]
        else:
            lead, image = ("terrain", "band"), (self.images,)
            record = (self.channels, *self.grid)
            found = [ArrayShape("terrain_mean", ("terrain", "channel", *grid), record, "float32", gaps=True)]
        plain = plain_type(self.dtype)
        found.append(ArrayShape(f"{axis}_cls", (*lead, "feature"), (*image, self.features), plain))
        if axis == "frame" and self.layers:
            tokens = (self.layers, *self.grid, self.features)
            prefix = (self.layers, self.prefix, self.features)
            found += [
                ArrayShape("frame_layers", ("frame", "layer", *grid, "feature"), tokens, plain),
                ArrayShape("frame_prefix", ("frame", "layer", "prefix", "feature"), prefix, plain),
            ]
        if self.dtype == "int8":
            found.append(ArrayShape(f"{axis}_scale", (*lead, *grid), (*image, *self.grid), "float16"))
        length, name = (self.components, "component") if self.components else (self.features, "feature")
        record = (*image, *self.grid, length)
        found.append(ArrayShape(f"{axis}_patches", (*lead, *grid, name), record, self.dtype))
        return tuple(found)


def plain_type(dtype: str) -> str:
    """Type of what is seldom read, CLS tokens and hidden layers: a plain float, whatever the patches are stored as."""
    return "float32" if dtype == "float32" else "float16"


def block_path(store: Path, array: str, block: int) -> Path:
    """File of a block: the Zarr v3 chunk key, zero along all other axes.

    >>> [str(block_path(Path(), name, 7)) for name in ("frame_patches", "frame_cls", "terrain_scale", "frame_layers")]
    ['frame_patches/c/7/0/0/0', 'frame_cls/c/7/0', 'terrain_scale/c/7/0/0/0', 'frame_layers/c/7/0/0/0/0']
    """
    axis, _, kind = array.partition("_")
    return store.joinpath(array, "c", str(block), *("0" * (FURTHER_DIMENSIONS[kind] + (axis == "terrain"))))
