"""Conditioning: how the coming wind and the gap enter the tokens of the newest frame.

    film_global   h (1 + gamma) + beta, one gamma and beta for all patches (Perez et al. 2018, arXiv:1709.07871)
    film_spatial  likewise, with a gamma and beta for every patch that also know the patch's own token
    cross_attn    every patch attends to the conditions
    token         the conditions are tokens of every patch's own sequence

All begin as the identity, or next to it, so that no head has a start of its own.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from emberformer.foresight_settings import Head
from emberformer.model.attention import AttentionBlock


class Conditions(nn.Module):
    """The gap and the winds of its steps, as a vector and as tokens.

    Args:
        d_model: length of a token.
        longest: longest gap.
        wind: false: no wind is told.
        steps: whether a head takes the steps one by one.
    """

    def __init__(self, d_model: int, longest: int, wind: bool, steps: bool):
        super().__init__()
        self.longest, self.wind = longest, wind
        self.vector = nn.Sequential(nn.Linear(5, d_model), nn.GELU(), nn.Linear(d_model, d_model))
        one_by_one = nn.Sequential(nn.Linear(5, d_model), nn.GELU(), nn.Linear(d_model, d_model))
        self.token = one_by_one if steps else None

    def forward(
        self, coming: Float[Tensor, "B g 2"], newest: Float[Tensor, "B 2"]
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B _ D"]]:
        """What is told of the steps to come; the vector alone where no head takes them.

        Args:
            coming: wind of each step of the gap, in units of 10 m/s.
            newest: wind of the step that led to the newest frame.
        """
        if not self.wind:
            coming, newest = torch.zeros_like(coming), torch.zeros_like(newest)
        steps = coming.shape[1]
        far = coming.new_full((len(coming), 1), steps / self.longest)
        vector = self.vector(torch.cat([coming.mean(1), newest, far], -1))
        if self.token is None:
            return vector, vector[:, None]
        at = (torch.arange(1, steps + 1, device=coming.device) / self.longest).expand(len(coming), -1)
        speed = coming.square().sum(-1, keepdim=True).add(1e-12).sqrt()
        told = torch.cat([coming, speed, at[..., None], far[:, None].expand(-1, steps, -1)], -1)
        return vector, self.token(told)


class Film(nn.Module):
    """Scale and shift by the conditions.

    Args:
        d_model: length of a token.
        spatial: false: the same for all patches.
    """

    def __init__(self, d_model: int, spatial: bool):
        super().__init__()
        self.spatial = spatial
        self.norm = nn.LayerNorm(d_model) if spatial else None
        self.hidden = nn.Sequential(nn.Linear(d_model * (1 + spatial), d_model), nn.GELU())
        self.out = nn.Linear(d_model, 2 * d_model)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, tokens: Float[Tensor, "B N D"], vector: Float[Tensor, "B D"], told: Float[Tensor, "B g D"]
    ) -> Float[Tensor, "B N D"]:
        """Tokens after the conditions."""
        known = vector[:, None]
        if self.norm is not None:
            known = torch.cat([known.expand_as(tokens), self.norm(tokens)], -1)
        scale, shift = self.out(self.hidden(known)).chunk(2, -1)
        return tokens * (1 + scale) + shift


class CrossAttention(nn.Module):
    """Every patch attends to the vector and to the steps.

    Args:
        d_model: length of a token.
        heads: attention heads.
    """

    def __init__(self, d_model: int, heads: int):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.attention = nn.MultiheadAttention(d_model, heads, batch_first=True)
        nn.init.zeros_(self.attention.out_proj.weight)

    def forward(
        self, tokens: Float[Tensor, "B N D"], vector: Float[Tensor, "B D"], told: Float[Tensor, "B g D"]
    ) -> Float[Tensor, "B N D"]:
        """Tokens after the conditions."""
        memory = torch.cat([vector[:, None], told], 1)
        return tokens + self.attention(self.norm(tokens), memory, memory, need_weights=False)[0]


class TokenCondition(nn.Module):
    """The conditions stand before every patch's token, in a block of self-attention.

    Args:
        d_model: length of a token.
        heads: attention heads.
    """

    def __init__(self, d_model: int, heads: int):
        super().__init__()
        self.block = AttentionBlock(d_model, heads, 2 * d_model, 0.0)

    def forward(
        self, tokens: Float[Tensor, "B N D"], vector: Float[Tensor, "B D"], told: Float[Tensor, "B g D"]
    ) -> Float[Tensor, "B N D"]:
        """Tokens after the conditions."""
        memory = torch.cat([vector[:, None], told], 1)[:, None].expand(-1, tokens.shape[1], -1, -1)
        return self.block(torch.cat([memory, tokens[:, :, None]], 2), None, 1)[:, :, 0]


def build_head(head: Head, d_model: int, heads: int) -> Film | CrossAttention | TokenCondition:
    """The head of a name."""
    match head:
        case "film_global":
            return Film(d_model, spatial=False)
        case "film_spatial":
            return Film(d_model, spatial=True)
        case "cross_attn":
            return CrossAttention(d_model, heads)
        case "token":
            return TokenCondition(d_model, heads)
