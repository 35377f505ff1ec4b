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


@dataclass(frozen=True)
class ArrayShape:
    """One array of the store; its first axis, `frame` or `terrain`, counts records.

    Args:
        name: name of the array.
        dims: names of all dimensions.
        record: shape of one record.
        kind: 'float16', 'float32', 'bfloat16' or 'int8'.
    """

    name: str
    dims: tuple[str, ...]
    record: tuple[int, ...]
    kind: str

    @property
    def dtype(self) -> str:
        """NumPy name of the stored type."""
        return STORED_AS[self.kind]


@dataclass(frozen=True)
class StoreShape:
    """Sizes that all arrays of a store follow from.

    Args:
        grid: patches along y and x.
        channels: images of a terrain window.
        features: length D of a token.
        prefix: tokens before the patches (CLS and registers).
        layers: further hidden layers.
        dtype: `FeatureSettings.dtype`.
        components: principal components that are stored instead of the features.
    """

    grid: tuple[int, int]
    channels: int
    features: int
    prefix: int
    layers: int
    dtype: str
    components: int | None

    @classmethod
    def of(cls, identity: dict[str, Any]) -> StoreShape:
        """The shape that a store's identity tells."""
        return cls(
            tuple(identity["grid"]), len(identity["channels"]), identity["features"], identity["prefix_tokens"],
            len(identity["layers"]), identity["dtype"], identity["components"],
        )  # fmt: skip

    def arrays(self, axis: Axis) -> tuple[ArrayShape, ...]:
        """Arrays along an axis; `<axis>_patches` is the last, and a block is finished when that one is there."""
        lead, channel = ("terrain", "band") if axis == "terrain" else ("frame",), ()
        if axis == "terrain":
            channel = (self.channels,)
        plain = "float32" if self.dtype == "float32" else "float16"  # what is small or seldom read stays a plain float
        found = [ArrayShape(f"{axis}_cls", (*lead, "feature"), (*channel, self.features), plain)]
        if axis == "frame" and self.layers:
            tokens = (self.layers, *self.grid, self.features)
            found += [
                ArrayShape("frame_layers", ("frame", "layer", "patch_y", "patch_x", "feature"), tokens, plain),
                ArrayShape(
                    "frame_prefix", ("frame", "layer", "prefix", "feature"),
                    (self.layers, self.prefix, self.features), plain,
                ),
            ]  # fmt: skip
        if self.dtype == "int8":
            found.append(ArrayShape(f"{axis}_scale", (*lead, "patch_y", "patch_x"), (*channel, *self.grid), "float16"))
        length, name = (self.components, "component") if self.components else (self.features, "feature")
        found.append(
            ArrayShape(
                f"{axis}_patches", (*lead, "patch_y", "patch_x", name), (*channel, *self.grid, length), self.dtype
            )
        )
        return tuple(found)


def block_path(store: Path, array: str, block: int) -> Path:
    """File of a block: the Zarr v3 chunk key, zero along all other axes."""
    further = _further_axes(array)
    return store.joinpath(array, "c", str(block), *("0" * further))


def _further_axes(array: str) -> int:
    """Dimensions of an array beside its first.

    >>> [_further_axes(name) for name in ("frame_patches", "frame_cls", "terrain_scale", "frame_layers")]
    [3, 1, 3, 4]
    """
    axis, _, kind = array.partition("_")
    return {"patches": 3, "cls": 1, "scale": 2, "layers": 4, "prefix": 3}[kind] + (axis == "terrain")
