"""The eight mirrored and turned views of a square grid, and what they do to vectors.

A view is a number from 0 to 7: bit 0 mirrors east-west, bit 1 north-south, bit 2 swaps the axes (after the mirrors).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch

Values = TypeVar("Values", np.ndarray, torch.Tensor)


def turned(values: Values, y: int, view: int) -> Values:
    """A view of a grid whose axes are `y` and `y + 1`; without a copy where the library can.

    >>> turned(np.array([[1, 2], [3, 4]]), 0, 1).tolist(), turned(np.array([[1, 2], [3, 4]]), 0, 4).tolist()
    ([[2, 1], [4, 3]], [[1, 3], [2, 4]])
    """
    axes = tuple(axis for axis, bit in ((y + 1, 1), (y, 2)) if view & bit)
    if isinstance(values, torch.Tensor):
        mirrored = torch.flip(values, axes) if axes else values
        return mirrored.transpose(y, y + 1) if view & 4 else mirrored
    result: np.ndarray = np.flip(values, axes) if axes else values
    return np.swapaxes(result, y, y + 1) if view & 4 else result  # type: ignore[return-value]


def turned_vector(east: np.ndarray, north: np.ndarray, view: int) -> tuple[np.ndarray, np.ndarray]:
    """East and north components in a view; rows run south, so swapping the axes is (e, n) -> (-n, -e).

    >>> [part.tolist() for part in turned_vector(np.array([2]), np.array([1]), 4)]
    [[-1], [-2]]
    """
    east = -east if view & 1 else east
    north = -north if view & 2 else north
    return (-north, -east) if view & 4 else (east, north)
