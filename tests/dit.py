"""Small generators and conditions for the tests of the ensemble."""

from __future__ import annotations

from typing import Any

import torch

from emberformer.ensemble.conditioning import Conditioning
from emberformer.ensemble.nano_dit import NanoDiT

PATCH, CONTEXT, FEATURES, PIXELS = 8, 6, 10, 3


def small_network(**changes) -> NanoDiT:
    """Two blocks, tokens of 4 pixels on patches of 8."""
    told: dict[str, Any] = {
        "pixel_channels": PIXELS, "context_features": CONTEXT, "cls_features": FEATURES, "patch_features": FEATURES,
        "side": 4, "patch_pixels": PATCH, "d_model": 16, "depth": 2, "heads": 2, "refinement_channels": 4,
    }  # fmt: skip
    torch.manual_seed(0)
    return NanoDiT(**(told | changes))


def conditions(batch: int, grid: tuple[int, int] = (2, 3), seed: int = 0, text: int = 0) -> Conditioning:
    """Random conditions on a grid of patches; the last context token of every sample is padding."""
    chance = torch.Generator().manual_seed(seed)
    number, height, width = grid[0] * grid[1], grid[0] * PATCH, grid[1] * PATCH
    real = torch.ones(batch, 4, dtype=torch.bool)
    real[:, -1] = False
    return Conditioning(
        torch.randn(batch, 4, CONTEXT, generator=chance),
        real,
        torch.randn(batch, FEATURES, generator=chance),
        torch.randn(batch, number, FEATURES, generator=chance),
        torch.ones(batch, number, dtype=torch.bool),
        grid,
        torch.randn(batch, PIXELS, height, width, generator=chance),
        text=torch.randn(batch, text, 5, generator=chance) if text else None,
        text_mask=torch.ones(batch, text, dtype=torch.bool) if text else None,
    )


def noise(batch: int, grid: tuple[int, int] = (2, 3), seed: int = 0) -> torch.Tensor:
    """A field of noise on a grid of patches."""
    return torch.randn(batch, 1, grid[0] * PATCH, grid[1] * PATCH, generator=torch.Generator().manual_seed(seed))


def awake(network: NanoDiT) -> NanoDiT:
    """The network with all that begins at zero drawn at random, so that every path counts."""
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=chance))
    return network.eval()
