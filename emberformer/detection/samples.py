"""What a detector is taught and asked: windows of cached features with the boxes of the objects in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor


@dataclass(frozen=True)
class HiddenFrames:
    """Whole frames after a block of the backbone, for windows whose tokens are made anew.

    Args:
        states: all tokens, the prefix first, of the newest frame and the one before it.
        known: frames that there are.
        place: which patch of the whole grid each patch of the window is.
        grid: patches of whole frames along y and x.
    """

    states: Float[Tensor, "B K S D"]
    known: Bool[Tensor, "B K"]
    place: Int[Tensor, "B Gy Gx"]
    grid: tuple[int, int]


@dataclass(frozen=True)
class DetectionBatch:
    """Windows of features and their objects.

    Args:
        features: of the patches, layers beside each other, then whatever else is told a patch.
        valid: patches that are on the raster or image; the others are padding.
        boxes: centre x and y, width and height of each window's objects, as shares of the window's sides.
        labels: category of each object.
        weights: that each object has in the loss: 1, but where windows are mixed.
        index: of the samples.
        hidden: of fires, where the backbone trains too.
        pixels: of camera images, where the backbone trains too; their features are still to be made.
    """

    features: Float[Tensor, "B C Gy Gx"]
    valid: Bool[Tensor, "B Gy Gx"]
    boxes: list[Float[Tensor, "_ 4"]]
    labels: list[Int[Tensor, " _"]]
    weights: list[Float[Tensor, " _"]]
    index: Int[Tensor, " B"]
    hidden: HiddenFrames | None = None
    pixels: UInt8[Tensor, "B side side 3"] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device) -> DetectionBatch:
        """The batch on a device."""
        boxes, labels, weights = ([one.to(device) for one in of] for of in (self.boxes, self.labels, self.weights))
        features, valid, index = (one.to(device) for one in (self.features, self.valid, self.index))
        hidden = self.hidden
        if hidden is not None:
            states, known, place = (one.to(device) for one in (hidden.states, hidden.known, hidden.place))
            hidden = HiddenFrames(states, known, place, hidden.grid)
        pixels = None if self.pixels is None else self.pixels.to(device)
        return DetectionBatch(features, valid, boxes, labels, weights, index, hidden, pixels)


@runtime_checkable
class DetectionSamples(Protocol):
    """Windows with boxes, of fires or of camera images.

    Attributes:
        channels: numbers that a patch of the features has.
        grid: patches of a window, rows and columns.
        categories: names of the labels 0, 1, ...
    """

    channels: int
    grid: tuple[int, int]
    categories: tuple[str, ...]

    def __len__(self) -> int: ...

    def set_epoch(self, epoch: int) -> None:
        """Choose the views of an epoch; chance is of the seed, the epoch and the index only."""
        ...

    def __getitems__(self, indices: list[int]) -> DetectionBatch:
        """Read these windows together."""
        ...
