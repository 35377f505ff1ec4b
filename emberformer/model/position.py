"""Position in time: how long ago a frame was, never its absolute number."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

LONGEST_PERIOD = 1000.0


def lag_encoding(history: int, features: int, device: torch.device | None = None) -> Float[Tensor, "T D"]:
    """Sinusoids of the lag T - 1 - t (0 = newest frame), as Vaswani et al. 2017 (arXiv:1706.03762, section 3.5).

    The newest frame has the same code whatever lies before it, so padding on the left changes nothing.
    """
    lag = torch.arange(history - 1, -1, -1, device=device, dtype=torch.float32)
    half = (features + 1) // 2
    rate = torch.exp(-math.log(LONGEST_PERIOD) * torch.arange(half, device=device) / max(half - 1, 1))
    angle = lag[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], 1)[:, :features]
