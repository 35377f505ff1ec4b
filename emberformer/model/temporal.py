"""Temporal transformer: each patch looks back along its own history."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.position import lag_encoding
from emberformer.model.recomputation import recomputed

SHORT = 8  # steps up to which two batched products are quicker on a CPU than the fused attention kernel


class TemporalBlock(nn.Module):
    """Pre-norm transformer block along time (Xiong et al. 2020, arXiv:2002.04745).

    Args:
        d_model: length of a token.
        heads: attention heads.
        feedforward: width of the hidden layer.
        dropout: share of activations dropped in training.
        newest_only: compute the newest frame's token alone; what the last block needs, and exactly equal there.
    """

    def __init__(self, d_model: int, heads: int, feedforward: int, dropout: float, newest_only: bool):
        super().__init__()
        self.heads, self.newest_only, self.dropout = heads, newest_only, dropout
        self.attention_norm = nn.LayerNorm(d_model)
        self.query = nn.Linear(d_model, d_model)
        self.key_value = nn.Linear(d_model, 2 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(d_model),
            nn.Linear(d_model, feedforward),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(feedforward, d_model),
        )

    def forward(self, x: Float[Tensor, "B N T D"], valid_t: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B N t D"]:
        """The block's output of every moment, or of the newest alone.

        Args:
            x: tokens, oldest first.
            valid_t: false on padding; None: no moment is padding.
        """
        normed = self.attention_norm(x)
        if self.newest_only:
            x = x[:, :, -1:]
        query = self._split(self.query(normed[:, :, -x.shape[2] :]))
        key, value = (self._split(part) for part in self.key_value(normed).chunk(2, -1))
        seen = None if valid_t is None else valid_t.repeat_interleave(x.shape[1], 0)[:, None, None]
        drop = self.dropout if self.training else 0.0
        attended = attend(query, key, value, seen, drop).transpose(1, 2).flatten(2)
        x = x + self.out(attended).view_as(x)
        return x + recomputed(self.feedforward[2:], self.feedforward[:2](x))

    def _split(self, x: Float[Tensor, "B N T D"]) -> Float[Tensor, "S h T d"]:
        return x.flatten(0, 1).unflatten(-1, (self.heads, -1)).transpose(1, 2)


def attend(
    query: Float[Tensor, "S h t d"],
    key: Float[Tensor, "S h T d"],
    value: Float[Tensor, "S h T d"],
    seen: Bool[Tensor, "S 1 1 T"] | None,
    dropout: float,
) -> Float[Tensor, "S h t d"]:
    """softmax(q k' / sqrt(d)) v over the moments that are seen; which kernel computes it depends on their number."""
    if key.shape[2] > SHORT or key.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout)
    score = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if seen is not None:
        score = score.masked_fill(~seen, -torch.inf)
    return functional.dropout(score.softmax(-1), dropout) @ value


class TemporalTransformer(nn.Module):
    """Blocks along time on tokens with a lag code; returns the newest moment's token of every patch."""

    def __init__(self, d_model: int, layers: int, heads: int, feedforward: int, dropout: float):
        super().__init__()
        self.blocks = nn.ModuleList(
            TemporalBlock(d_model, heads, feedforward, dropout, newest_only=n == layers - 1) for n in range(layers)
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(self, tokens: Float[Tensor, "B N T D"], valid_t: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B N D"]:
        """Newest token after looking back.

        Args:
            tokens: fused tokens, oldest first, padded on the left.
            valid_t: false where a moment is padding; the newest, `T - 1`, is always real. None: nothing is padding.
        """
        x = self._with_lag(tokens)
        for block in self.blocks:
            x = block(x, valid_t)
        return self.norm(x[:, :, 0])

    def without_history(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Newest token of patches that do not look back: lag code and last norm, and no block between them."""
        return self.norm(self._with_lag(tokens[:, :, None])[:, :, 0])

    @staticmethod
    def _with_lag(tokens: Float[Tensor, "B N T D"]) -> Float[Tensor, "B N T D"]:
        return tokens + lag_encoding(tokens.shape[2], tokens.shape[3], tokens.device).to(tokens.dtype)
