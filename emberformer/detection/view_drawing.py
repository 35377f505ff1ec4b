"""The views of the images of a set: which other images they draw on, and with which chance."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from emberformer.detection.camera_images import CameraImage, read_image
from emberformer.detection.pixel_views import Cutout, Picture, ViewRule, cutouts_of, draw_view, letterbox

KEPT = 64  # letterboxed images that stay in memory


class ViewDrawing:
    """Views of images on a square canvas; view 0 is the image itself.

    Only images of the training have further views, and these draw on images of the training alone. What is pasted is
    an object of a random category, so that rare ones come up as often as common ones.

    Args:
        images: of the set.
        side: of the canvas in pixels.
        rule: which views there are.
        seed: with the numbers of the image and the view the only source of chance.
    """

    def __init__(self, images: Sequence[CameraImage], side: int, rule: ViewRule, seed: int):
        self.images, self.side, self.rule, self.seed = images, side, rule, seed
        self._training = [number for number, image in enumerate(images) if image.split == "train"]
        self._donors: dict[int, list[int]] = {}
        for number in self._training:
            told = images[number].told.objects
            for label in np.unique(told.labels[~told.crowd]).tolist():
                if rule.pasted_labels is None or label in rule.pasted_labels:
                    self._donors.setdefault(label, []).append(number)
        self._pictures: OrderedDict[int, Picture] = OrderedDict()

    def has(self, number: int, view: int) -> bool:
        """Whether an image has a view."""
        return view == 0 or self.images[number].split == "train"

    def view(self, number: int, view: int) -> Picture:
        """A view of an image.

        Raises:
            InputError: a file is damaged.
        """
        return self.image(number) if view == 0 else self.draw(number, np.random.default_rng((self.seed, number, view)))

    def draw(self, number: int, rng: np.random.Generator) -> Picture:
        """A random view of an image of the training.

        Raises:
            InputError: a file is damaged.
        """

        def others(count: int) -> list[Picture]:
            return [self.image(self._training[place]) for place in rng.integers(len(self._training), size=count)]

        def cutouts(count: int) -> list[Cutout]:
            return [self._cutout(rng) for _ in range(count if self._donors else 0)]

        return draw_view(self.image(number), others, cutouts, self.rule, rng)

    def image(self, number: int) -> Picture:
        """The image itself.

        Raises:
            InputError: its file is damaged.
        """
        if number not in self._pictures:
            image = self.images[number]
            self._pictures[number] = letterbox(read_image(image), image.told.objects, self.side)
            if len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(number)
        return self._pictures[number]

    def _cutout(self, rng: np.random.Generator) -> Cutout:
        """An object of a random category."""
        label = sorted(self._donors)[int(rng.integers(len(self._donors)))]
        donors = self._donors[label]
        donor = self.image(donors[int(rng.integers(len(donors)))])
        own = [cutout for cutout in cutouts_of(donor) if cutout.label == label]
        return own[int(rng.integers(len(own)))]
