"""Some of many: places that lie evenly apart."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def evenly_spaced(length: int, number: int) -> Int[np.ndarray, " n"]:
    """Places in a sequence, the first and the last among them, or the first alone; all where there are fewer.

    >>> evenly_spaced(10, 3).tolist(), evenly_spaced(2, 5).tolist(), evenly_spaced(0, 3).tolist()
    ([0, 4, 9], [0, 1], [])
    """
    return np.unique(np.linspace(0, length - 1, min(number, length)).round().astype(int))
