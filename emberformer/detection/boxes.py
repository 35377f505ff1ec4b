"""Boxes in pixels and as shares of a window, cut to it, and in its mirrored and turned views."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def to_shares(boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]) -> Float[np.ndarray, "n 4"]:
    """Centre x and y, width and height as shares of a window's sides, from x0 y0 x1 y1 in its pixels.

    >>> to_shares(np.array([[0.0, 5, 10, 10]]), (10, 20)).tolist()
    [[0.25, 0.75, 0.5, 0.5]]

    Args:
        boxes: in pixels, half open.
        size: height and width of the window in pixels.
    """
    scale = np.array([size[1], size[0]], float)
    low, high = boxes[:, :2] / scale, boxes[:, 2:] / scale
    return np.concatenate([(low + high) / 2, high - low], 1)


def to_pixels(shares: Float[np.ndarray, "n 4"], size: tuple[int, int]) -> Float[np.ndarray, "n 4"]:
    """x0 y0 x1 y1 in a window's pixels: the inverse of `to_shares`."""
    scale = np.array([size[1], size[0]], float)
    centre, half = shares[:, :2] * scale, shares[:, 2:] * scale / 2
    return np.concatenate([centre - half, centre + half], 1)


def from_corner_and_size(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """x0 y0 x1 y1 of boxes as COCO files have them: x0, y0, width and height."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def turned_boxes(boxes: Float[np.ndarray, "n 4"], size: tuple[int, int], view: int) -> Float[np.ndarray, "n 4"]:
    """Boxes in a view of a window, see `emberformer.views`.

    Args:
        boxes: x0 y0 x1 y1 in pixels.
        size: height and width of the window before it is turned.
        view: 0 to 7.
    """
    x0, y0, x1, y1 = boxes.T
    if view & 1:
        x0, x1 = size[1] - x1, size[1] - x0
    if view & 2:
        y0, y1 = size[0] - y1, size[0] - y0
    return np.stack([y0, x0, y1, x1] if view & 4 else [x0, y0, x1, y1], 1)


def turned_back(view: int) -> int:
    """The view that undoes a view.

    >>> [turned_back(view) for view in range(8)]
    [0, 1, 2, 3, 4, 6, 5, 7]
    """
    return {5: 6, 6: 5}.get(view, view)


def cut_boxes(
    boxes: Float[np.ndarray, "n 4"], size: tuple[int, int], least_share: float, least_pixels: float = 1.0
) -> tuple[Float[np.ndarray, "n 4"], Bool[np.ndarray, " n"]]:
    """Boxes cut to a window, and which of them are still objects.

    Args:
        boxes: x0 y0 x1 y1 in pixels of the window.
        size: height and width of the window.
        least_share: of a box's area that must lie inside.
        least_pixels: shortest side of what is left.
    """
    inside = np.clip(boxes, 0, [size[1], size[0], size[1], size[0]])
    sides = inside[:, 2:] - inside[:, :2]
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    kept = (sides >= least_pixels).all(1) & (sides.prod(1) >= least_share * area)
    return inside, kept
