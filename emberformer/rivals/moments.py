"""What is known of every pixel at every moment of the history: whether it burned, and the wind."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Real
from torch import Tensor

MOMENT_CHANNELS = 3


def moments(
    history_pixels: Real[Tensor, "B T H W"], wind: Float[Tensor, "B T 2"], valid_t: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T C=3 H W"]:
    """Burned area and wind side by side as channels, innermost in memory; zero on padding."""
    everywhere = wind[:, :, None, None].expand(-1, -1, *history_pixels.shape[2:], -1)
    known = torch.cat([history_pixels[..., None].to(wind.dtype), everywhere], -1)
    return torch.where(valid_t[:, :, None, None, None], known, 0).movedim(-1, 2)
