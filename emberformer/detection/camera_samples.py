"""Camera images of an image store with the boxes of their objects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from emberformer.detection.boxes import to_pixels, to_shares
from emberformer.detection.found import Objects
from emberformer.detection.image_store import ImageStore
from emberformer.detection.samples import DetectionBatch
from emberformer.errors import InputError


class CameraSamples:
    """Features of a patch are its hidden layers, where the store has them, beside each other, then its token.

    Args:
        store: opened image store.
        split: whose images are served: 'train', 'validation' or 'test'.
        random_views: one of the stored views is served, another in every epoch; else the image itself.
        seed: with the epoch and the index the only source of chance.

    Crowds are not served as objects; `told` gives them too.

    Raises:
        InputError: the split has no image, or random views are asked for where only training images have them.
    """

    def __init__(self, store: ImageStore, split: str, random_views: bool = False, seed: int = 0):
        self.store, self.seed, self.epoch = store, seed, 0
        self.images = np.flatnonzero(store.split == split)
        if not len(self.images):
            found = f"images of {', '.join(sorted(set(store.split.tolist())))}"
            raise InputError(store.path, found, f"images of {split}", "give the split a share, or a set of its own")
        if random_views and split != "train":
            raise InputError("random views", split, "train", "views are drawn of training images only")
        self.views = store.views if random_views else 1
        self.grid, self.categories = store.grid, store.categories
        self.arrays = ("layers", "patches") if store.layers else ("patches",)
        self.channels = (len(store.layers) + 1) * int(store.identity["features"])

    def __len__(self) -> int:
        return len(self.images)

    def set_epoch(self, epoch: int) -> None:
        """Choose the views of an epoch."""
        self.epoch = epoch

    def view(self, index: int) -> int:
        """Which view is served in this epoch."""
        return int(self.chance(index).integers(self.views))

    def chance(self, index: int) -> np.random.Generator:
        """Of an image in this epoch."""
        return np.random.default_rng((self.seed, self.epoch, index))

    def told(self, index: int) -> Objects:
        """Objects of the image itself, crowds among them, in pixels of the canvas."""
        return self.store.objects(int(self.images[index]))

    def file_name(self, index: int) -> str:
        """Name of the image in its set."""
        return str(self.store.table.file_name.values[self.images[index]])

    def to_image(self, index: int, shares: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
        """x0 y0 x1 y1 in pixels of the image as it was given, of boxes in shares of the canvas."""
        side = self.store.side
        return to_pixels(shares, (side, side)) / self.store.scale[self.images[index]]

    def __getitems__(self, indices: list[int]) -> DetectionBatch:
        """A whole batch."""
        features = torch.empty(len(indices), self.channels, *self.grid)
        valid = torch.empty(len(indices), *self.grid, dtype=torch.bool)
        objects = []
        for place, index in enumerate(indices):
            image, view = int(self.images[index]), self.view(index)
            parts = [self.store.read(array, image, view) for array in self.arrays]
            parts = [np.moveaxis(part, -1, -3).reshape(-1, *self.grid) for part in parts]
            features[place] = torch.from_numpy(np.concatenate(parts))
            valid[place] = torch.from_numpy(self.store.read("valid", image, view) > 0)
            objects.append(self.store.objects(image, view))
        return self.batch(features, valid, objects, indices)

    def batch(
        self,
        features: Float[Tensor, "B C Gy Gx"],
        valid: Bool[Tensor, "B Gy Gx"],
        told: Sequence[Objects],
        indices: Sequence[int],
    ) -> DetectionBatch:
        """A batch of images with these features and objects, crowds left out."""
        served, side = [of.chosen(~of.crowd) for of in told], self.store.side
        boxes = [torch.from_numpy(to_shares(of.boxes, (side, side))).float() for of in served]
        labels = [torch.from_numpy(of.labels) for of in served]
        weights = [torch.ones(len(of)) for of in labels]
        return DetectionBatch(features, valid, boxes, labels, weights, torch.tensor(indices))
