"""Temporal transformer: each patch looks back along its own history."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.position import lag_encoding


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

    def _split(self, x: Float[Tensor, "B N T D"]) -> Float[Tensor, "B N h T d"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def forward(self, x: Float[Tensor, "B N T D"], valid_t: Bool[Tensor, "B T"]) -> Float[Tensor, "B N t D"]:
        normed = self.attention_norm(x)
        if self.newest_only:
            x = x[:, :, -1:]
        query = self._split(self.query(normed[:, :, -x.shape[2] :]))
        key, value = (self._split(part) for part in self.key_value(normed).chunk(2, -1))
        seen = valid_t[:, None, None, None, :]
        drop = self.dropout if self.training else 0.0
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=drop)
        x = x + self.out(attended.transpose(-2, -3).flatten(-2))
        return x + self.feedforward(x)


class TemporalTransformer(nn.Module):
    """Blocks along time on tokens with a lag code; returns the newest frame's token of every patch."""

    def __init__(self, d_model: int, layers: int, heads: int, feedforward: int, dropout: float):
        super().__init__()
        self.blocks = nn.ModuleList(
            TemporalBlock(d_model, heads, feedforward, dropout, newest_only=n == layers - 1) for n in range(layers)
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(self, tokens: Float[Tensor, "B T Gy Gx D"], valid_t: Bool[Tensor, "B T"]) -> Float[Tensor, "B Gy Gx D"]:
        """Newest token after looking back.

        Args:
            tokens: fused tokens, oldest first, padded on the left.
            valid_t: false where a frame is padding; the newest, `T - 1`, is always real.
        """
        _, history, rows, columns, features = tokens.shape
        x = tokens.flatten(2, 3).transpose(1, 2)
        x = x + lag_encoding(history, features, tokens.device).to(x.dtype)
        for block in self.blocks:
            x = block(x, valid_t)
        return self.norm(x[:, :, 0]).unflatten(1, (rows, columns))
