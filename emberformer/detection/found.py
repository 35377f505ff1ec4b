"""Objects of an image as they are told, and as they are found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int


class Objects(NamedTuple):
    """Objects of an image as they are told.

    Args:
        boxes: x0 y0 x1 y1 in pixels, half open.
        labels: category of each, from 0.
        crowd: boxes around many objects, which are neither taught nor missed (COCO's `iscrowd`).
    """

    boxes: Float[np.ndarray, "n 4"]
    labels: Int[np.ndarray, " n"]
    crowd: Bool[np.ndarray, " n"]

    @classmethod
    def of(cls, boxes: Float[np.ndarray, "n 4"], labels: Int[np.ndarray, " n"]) -> Objects:
        """Objects without crowds."""
        return cls(boxes, labels, np.zeros(len(labels), bool))

    def chosen(self, kept: np.ndarray) -> Objects:
        """Some of them, by a flag or a number each."""
        return Objects(self.boxes[kept], self.labels[kept], self.crowd[kept])


class Detections(NamedTuple):
    """Objects of an image as a detector finds them.

    Args:
        boxes: x0 y0 x1 y1 in pixels, half open.
        labels: category of each, from 0.
        scores: from 0 to 1, higher where an object is likelier.
    """

    boxes: Float[np.ndarray, "n 4"]
    labels: Int[np.ndarray, " n"]
    scores: Float[np.ndarray, " n"]


NOTHING = Objects(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, bool))
