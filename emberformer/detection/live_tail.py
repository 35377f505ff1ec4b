"""A tail of camera images, from live pixels: every image passes the backbone in every step, in a view of its own.

Frozen blocks have no gradient. Hidden layers that are told beside the token are of the same pass, tuned where their
block is, so that all numbers of a patch are of one view.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from emberformer.detection.camera_input import as_images, in_colour, pixels_of
from emberformer.detection.camera_samples import CameraSamples
from emberformer.detection.pixel_views import Picture
from emberformer.detection.samples import DetectionBatch
from emberformer.detection.tail import ENCODER, Tail
from emberformer.detection.view_drawing import ViewDrawing
from emberformer.detection_settings import TailSettings
from emberformer.feature_settings import FeatureSettings
from emberformer.features.encoding import Encoding
from emberformer.features.rendering import dino_input
from emberformer.model.finetuned import rounded_through


class LiveCameraSamples(CameraSamples):
    """Pixels of camera images in place of their stored features.

    Args:
        samples: the images; where they have random views, a new one is drawn in every epoch, and as often as among the
            stored ones the image itself is served.
        drawing: of the images of the same store.
    """

    def __init__(self, samples: CameraSamples, drawing: ViewDrawing):
        self.__dict__.update(samples.__dict__)
        self.drawing = drawing

    def picture(self, index: int) -> Picture:
        """The view that is served in this epoch.

        Raises:
            InputError: a file is damaged.
        """
        rng, image = self.chance(index), int(self.images[index])
        return self.drawing.draw(image, rng) if rng.integers(self.views) else self.drawing.image(image)

    def __getitems__(self, indices: list[int]) -> DetectionBatch:
        """A whole batch, without features."""
        pictures, pixels = [self.picture(index) for index in indices], self.store.side // self.grid[0]
        valid = torch.stack([torch.from_numpy(picture.valid_share(pixels) > 0) for picture in pictures])
        nothing = torch.empty(len(indices), 0, *self.grid)
        batch = self.batch(nothing, valid, [picture.objects for picture in pictures], indices)
        return replace(batch, pixels=pixels_of(pictures))


class LiveTail(Tail):
    """The whole backbone, from pixels.

    Args:
        features: as in `Tail`; the same layers are told, and rounded alike.
        of: as in `Tail`.
        weights_sha256: as in `Tail`.
        where: as in `Tail`.

    Raises:
        InputError: as `Tail`.
    """

    def __init__(self, features: FeatureSettings, of: TailSettings, weights_sha256: str, where: Path):
        super().__init__(in_colour(features), of, weights_sha256, where)
        self.layers, self.scale, self.encoding = features.layers, features.scale, Encoding(features.dtype, None, {})

    def forward(self, batch: DetectionBatch) -> Float[Tensor, "B C Gy Gx"]:
        """Features of the images, layers beside each other, then the token."""
        assert batch.pixels is not None, "the samples serve pixels"
        images = dino_input(as_images(batch.pixels), self.backbone.about.patch_size, self.scale)
        grid = (batch.valid.shape[1], batch.valid.shape[2])
        tokens = self.backbone.encode_layers(ENCODER, images, grid, None, self.layers)
        stored = rounded_through(tokens.flatten(0, 1), self.encoding, "frame").unflatten(0, tokens.shape[:2])
        return stored.movedim(-1, 2).flatten(1, 2)

    def told(self) -> dict[str, Any]:
        return {"weights_sha256": self.weights_sha256}
