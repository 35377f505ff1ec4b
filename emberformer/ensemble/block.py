"""A block of the diffusion transformer: self-attention, one cross-attention over all conditions, an MLP."""

from __future__ import annotations

from typing import TypeVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class KeyValues:
    """Keys and values of the conditions in one block, which no step of a sampler changes.

    Args:
        key: of every condition, by head.
        value: likewise.
        bias: added to the attention's scores; -inf where a condition is not there.
    """

    def __init__(self, key: Float[Tensor, "B h S d"], value: Float[Tensor, "B h S d"], bias: Float[Tensor, "B 1 1 S"]):
        self.key, self.value, self.bias = key, value, bias

    def repeated(self, members: int) -> KeyValues:
        """The same for so many members of every sample, next to each other."""
        parts = (part.repeat_interleave(members, 0) for part in (self.key, self.value, self.bias))
        return KeyValues(*parts)


Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def silent(layer: Layer) -> Layer:
    """A layer that begins at zero, weights and offset."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class DiTBlock(nn.Module):
    """x + self-attention, + cross-attention, + MLP, each after a norm that the time and the CLS token modulate.

    With `adaln` 6 the modulation is a shift and a scale for each of the three, and with 9 a gate for each as well that
    begins at 0, so that the block begins as the identity (adaLN-Zero, Peebles and Xie 2023, arXiv:2212.09748).

    Args:
        d_model: length of a token.
        heads: attention heads.
        hidden: width of the MLP.
        adaln: 6 or 9 vectors of modulation.
    """

    def __init__(self, d_model: int, heads: int, hidden: int, adaln: int):
        super().__init__()
        self.heads, self.adaln = heads, adaln
        self.norms = nn.ModuleList(nn.LayerNorm(d_model, elementwise_affine=False) for _ in range(3))
        self.self_qkv = nn.Linear(d_model, 3 * d_model)
        self.self_out = nn.Linear(d_model, d_model)
        self.cross_query = nn.Linear(d_model, d_model)
        self.cross_kv = nn.Linear(d_model, 2 * d_model)
        self.cross_out = nn.Linear(d_model, d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, d_model))
        self.modulation = nn.Sequential(nn.SiLU(), silent(nn.Linear(d_model, adaln * d_model)))

    def key_values(self, conditions: Float[Tensor, "B S D"], bias: Float[Tensor, "B S"]) -> KeyValues:
        """What the cross-attention looks at, once a sample for all steps and members."""
        key, value = (self._split(part) for part in self.cross_kv(conditions).chunk(2, -1))
        return KeyValues(key, value, bias[:, None, None])

    def forward(
        self, x: Float[Tensor, "B N D"], signal: Float[Tensor, "B D"], conditions: KeyValues
    ) -> Float[Tensor, "B N D"]:
        """Tokens after the block; `signal` is the embedding of time and CLS token."""
        parts = self.modulation(signal)[:, None].chunk(self.adaln, -1)
        gates = parts[6:] if self.adaln == 9 else (1.0, 1.0, 1.0)
        x = x + gates[0] * self._self_attention(self._modulated(0, x, parts))
        query = self._split(self.cross_query(self._modulated(1, x, parts)))
        attended = functional.scaled_dot_product_attention(
            query, conditions.key, conditions.value, attn_mask=conditions.bias.to(query.dtype)
        )
        x = x + gates[1] * self.cross_out(attended.transpose(1, 2).flatten(2))
        return x + gates[2] * self.mlp(self._modulated(2, x, parts))

    def shares(
        self, x: Float[Tensor, "B N D"], signal: Float[Tensor, "B D"], conditions: KeyValues
    ) -> Float[Tensor, "B N S"]:
        """What each token's cross-attention weighs the conditions with, mean over the heads."""
        parts = self.modulation(signal)[:, None].chunk(self.adaln, -1)
        gate = parts[6] if self.adaln == 9 else 1.0
        x = x + gate * self._self_attention(self._modulated(0, x, parts))
        query = self._split(self.cross_query(self._modulated(1, x, parts)))
        scores = (query * query.shape[-1] ** -0.5) @ conditions.key.transpose(-1, -2) + conditions.bias
        return scores.softmax(-1).mean(1)

    def _modulated(self, number: int, x: Tensor, parts: tuple[Tensor, ...]) -> Tensor:
        return self.norms[number](x) * (1 + parts[2 * number + 1]) + parts[2 * number]

    def _self_attention(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        query, key, value = (self._split(part) for part in self.self_qkv(x).chunk(3, -1))
        return self.self_out(functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))

    def _split(self, x: Float[Tensor, "B N D"]) -> Float[Tensor, "B h N d"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
