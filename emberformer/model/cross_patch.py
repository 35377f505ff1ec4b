"""Attention between the patches of the newest moment, after each has looked back along its own history."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from emberformer.model.attention import AttentionBlock
from emberformer.model.position import grid_encoding
from emberformer.model.recomputation import recomputed


class CrossPatch(nn.Module):
    """Pre-norm transformer over the patch grid, whose tokens carry the code of their row and column.

    Args:
        d_model: length of a token.
        layers: number of blocks.
        heads: attention heads.
        feedforward: width of a block's hidden layer.
        dropout: share of activations dropped in training.
        checkpointing: keep only the blocks' inputs for the backward pass, and compute the rest again.
    """

    def __init__(
        self, d_model: int, layers: int, heads: int, feedforward: int, dropout: float, checkpointing: bool = False
    ):
        super().__init__()
        self.blocks = nn.ModuleList(AttentionBlock(d_model, heads, feedforward, dropout) for _ in range(layers))
        self.norm, self.checkpointing = nn.LayerNorm(d_model), checkpointing

    def forward(self, tokens: Float[Tensor, "B Gy Gx D"]) -> Float[Tensor, "B Gy Gx D"]:
        """Tokens of the grid after every patch has seen all others."""
        rows, columns, features = tokens.shape[1:]
        x = tokens + grid_encoding(rows, columns, features, tokens.device).to(tokens.dtype)
        x = x.flatten(1, 2)[:, None]
        for block in self.blocks:
            x = recomputed(block, x, None, x.shape[2]) if self.checkpointing else block(x, None, x.shape[2])
        return self.norm(x)[:, 0].unflatten(1, (rows, columns))
