"""A vision transformer block by block: what stands before its blocks, the blocks, and the norm after them.

The families of transformers name these parts differently; here they are found by what they are.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from emberformer.features.families import call_arguments, family_of


def blocks_of(model: nn.Module) -> nn.ModuleList:
    """The blocks, in their order."""
    return next(module for module in model.modules() if isinstance(module, nn.ModuleList))


def final_norm(model: nn.Module) -> nn.LayerNorm:
    """The LayerNorm after the last block."""
    return [module for module in model.children() if isinstance(module, nn.LayerNorm)][-1]


def embed(model: nn.Module, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n S D"]:
    """Tokens before the first block: CLS, registers, patches."""
    tokens = model.embeddings(images, **call_arguments(model, images))  # type: ignore[operator]
    tokens = tokens[0] if isinstance(tokens, tuple) else tokens
    before = [module for module in model.children() if isinstance(module, nn.LayerNorm)][:-1]  # CLIP norms here too
    return before[0](tokens) if before else tokens


def block_arguments(model: nn.Module, grid: tuple[int, int], patch_size: int, like: Tensor) -> dict[str, Any]:
    """What the blocks are told beside the tokens: rotary positions of the patch grid (DINOv3), or that all is seen."""
    if family_of(model).mask_argument:
        return {"attention_mask": None}
    rotary = getattr(model, "rope_embeddings", None)
    if rotary is None:
        return {}
    size = (1, 1, grid[0] * patch_size, grid[1] * patch_size)  # its shape, type and device alone are looked at
    return {"position_embeddings": rotary(torch.empty(size, device=like.device))}
