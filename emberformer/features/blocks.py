"""A vision transformer block by block: what stands before its blocks, the blocks, and the norm after them.

The families of transformers name these parts differently; here they are found by what they are.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """The blocks, in their order."""
    return next(module for module in model.modules() if isinstance(module, nn.ModuleList))


def final_norm(model: nn.Module) -> nn.LayerNorm:
    """The LayerNorm after the last block."""
    found = [module for module in model.children() if isinstance(module, nn.LayerNorm)]
    assert len(found) == 1, "a vision transformer norms its tokens once after its blocks"
    return found[0]


def embed(model: nn.Module, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n S D"]:
    """Tokens before the first block: CLS, registers, patches."""
    return model.embeddings(images)  # type: ignore[operator]


def block_arguments(model: nn.Module, grid: tuple[int, int], patch_size: int, like: Tensor) -> dict[str, Any]:
    """What the blocks are told beside the tokens: rotary positions of the patch grid (DINOv3), else nothing."""
    rotary = getattr(model, "rope_embeddings", None)
    if rotary is None:
        return {}
    size = (1, 1, grid[0] * patch_size, grid[1] * patch_size)  # its shape, type and device alone are looked at
    return {"position_embeddings": rotary(torch.empty(size, device=like.device))}
