"""The transformer's block: attention along one axis of a batch of sequences, then an MLP."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.recomputation import recomputed

SHORT = 8  # steps up to which two batched products are quicker on a CPU than the fused attention kernel


class FeedForward(nn.Sequential):
    """x + MLP(LN(x)).

    Args:
        d_model: length of a token.
        hidden: width of the hidden layer.
        dropout: share of activations dropped in training.
    """

    def __init__(self, d_model: int, hidden: int, dropout: float):
        super().__init__(
            nn.LayerNorm(d_model),
            nn.Linear(d_model, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, d_model),
        )

    def forward(self, input: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return input + recomputed(self._rest, self[1](self[0](input)))

    def _rest(self, hidden: Float[Tensor, "*batch K"]) -> Float[Tensor, "*batch D"]:
        return self[4](self[3](self[2](hidden)))


class AttentionBlock(nn.Module):
    """Pre-norm transformer block along the third axis (Xiong et al. 2020, arXiv:2002.04745).

    Args:
        d_model: length of a token.
        heads: attention heads.
        feedforward: width of the hidden layer.
        dropout: share of activations dropped in training.
    """

    def __init__(self, d_model: int, heads: int, feedforward: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm = nn.LayerNorm(d_model)
        self.query = nn.Linear(d_model, d_model)
        self.key_value = nn.Linear(d_model, 2 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.feedforward = FeedForward(d_model, feedforward, dropout)

    def forward(
        self, x: Float[Tensor, "B N T D"], seen: Bool[Tensor, "#B #t T"] | None, newest: int
    ) -> Float[Tensor, "B N t D"]:
        """Output at the last `newest` places, the only ones that are computed.

        Args:
            x: N sequences of T tokens in every sample.
            seen: whether a place of the output attends to a place of the input; every one attends to some; None: all.
            newest: places of the output, t.
        """
        normed = self.attention_norm(x)
        key, value = (self._split(part) for part in self.key_value(normed).chunk(2, -1))
        query = self._split(self.query(normed[:, :, -newest:]))
        drop = self.dropout if self.training else 0.0
        attended = attend(query, key, value, of_sequences(seen, x.shape[1]), drop).transpose(1, 2).flatten(2)
        x = x[:, :, -newest:]
        return self.feedforward(x + self.out(attended).view_as(x))

    def weights(
        self, x: Float[Tensor, "B N T D"], seen: Bool[Tensor, "#B #t T"] | None, newest: int
    ) -> Float[Tensor, "B N h t T"]:
        """What `forward` weighs the places of the input with, in every head; each row sums to 1.

        It is computed apart, because the fused kernels never hold it; arguments as in `forward`.
        """
        normed = self.attention_norm(x)
        query, key = (
            self._split(self.query(normed[:, :, -newest:])),
            self._split(self.key_value(normed).chunk(2, -1)[0]),
        )
        return attention_weights(query, key, of_sequences(seen, x.shape[1])).unflatten(0, x.shape[:2])

    def _split(self, x: Float[Tensor, "B N T D"]) -> Float[Tensor, "S h T d"]:
        return x.flatten(0, 1).unflatten(-1, (self.heads, -1)).transpose(1, 2)


def of_sequences(seen: Bool[Tensor, "B t T"] | None, number: int) -> Bool[Tensor, "S 1 t T"] | None:
    """What the sequences of every sample see, with an axis for the heads; what all samples share is not repeated."""
    if seen is None:
        return None
    return (seen.repeat_interleave(number, 0) if len(seen) > 1 else seen)[:, None]


def attend(
    query: Float[Tensor, "S h t d"],
    key: Float[Tensor, "S h T d"],
    value: Float[Tensor, "S h T d"],
    seen: Bool[Tensor, "#S 1 #t T"] | None,
    dropout: float,
) -> Float[Tensor, "S h t d"]:
    """softmax(q k' / sqrt(d)) v over the places that are seen; which kernel computes it depends on their number."""
    if key.shape[2] > SHORT or key.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout)
    return functional.dropout(attention_weights(query, key, seen), dropout) @ value


def attention_weights(
    query: Float[Tensor, "S h t d"], key: Float[Tensor, "S h T d"], seen: Bool[Tensor, "#S 1 #t T"] | None
) -> Float[Tensor, "S h t T"]:
    """softmax(q k' / sqrt(d)) over the places that are seen, 0 elsewhere."""
    score = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if seen is not None:
        score = score.masked_fill(~seen, -torch.inf)
    return score.softmax(-1)
