"""Position: how long ago a frame was, never its absolute number; which row and column of the grid a patch is."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

LONGEST_PERIOD = 1000.0


def sinusoids(position: Float[Tensor, " n"], features: int) -> Float[Tensor, "n D"]:
    """Sines and cosines of a position at geometrically falling rates (Vaswani et al. 2017, arXiv:1706.03762)."""
    half = (features + 1) // 2
    rate = torch.exp(-math.log(LONGEST_PERIOD) * torch.arange(half, device=position.device) / max(half - 1, 1))
    angle = position[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], 1)[:, :features]


def lag_encoding(history: int, features: int, device: torch.device | None = None) -> Float[Tensor, "T D"]:
    """Sinusoids of the lag T - 1 - t (0 = newest frame).

    The newest frame has the same code whatever lies before it, so padding on the left changes nothing.
    """
    return sinusoids(torch.arange(history - 1, -1, -1, device=device, dtype=torch.float32), features)


def grid_encoding(
    rows: int, columns: int, features: int, device: torch.device | None = None
) -> Float[Tensor, "Gy Gx D"]:
    """Sinusoids of a patch's row in the first half of the features, of its column in the second.

    A patch has the same code in a grid of any size.
    """
    row, column = (torch.arange(side, device=device, dtype=torch.float32) for side in (rows, columns))
    half = features // 2
    of_row = sinusoids(row, half)[:, None].expand(-1, columns, -1)
    return torch.cat([of_row, sinusoids(column, features - half).expand(rows, -1, -1)], -1)


def place_encoding(
    origin: Float[Tensor, "B 2"], grid: tuple[int, int], cell: float, features: int
) -> Float[Tensor, "B N D"]:
    """Sinusoids of the centres of a grid's cells, row by row; cells of different sizes share one ruler.

    Args:
        origin: row and column of the grid's upper left corner, in patches.
        grid: rows and columns of cells.
        cell: side of a cell in patches.
        features: length of a code; its first half is of the row.
    """
    half, codes = features // 2, []
    for axis, side, length in zip(range(2), grid, (half, features - half), strict=True):
        centres = (torch.arange(side, device=origin.device, dtype=torch.float32) + 0.5) * cell
        places = origin[:, axis, None] + centres
        codes.append(sinusoids(places.flatten(), length).unflatten(0, places.shape))
    rows, columns = codes
    of_row = rows[:, :, None].expand(-1, -1, grid[1], -1)
    return torch.cat([of_row, columns[:, None].expand(-1, grid[0], -1, -1)], -1).flatten(1, 2)
