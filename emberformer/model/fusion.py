"""Fusion: fire, terrain and wind of one patch and one moment become one token."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class BandMix(nn.Module):
    """Learned mix of the terrain bands' features: sum over bands of gain[c, d] x[c, d].

    It stands after the cache, so that nothing trainable is needed before it. Bands that a landscape lacks are zero.
    """

    def __init__(self, channels: int, features: int):
        super().__init__()
        self.gain = nn.Parameter(torch.full((channels, features), channels**-0.5))

    def forward(self, terrain: Float[Tensor, "B C Gy Gx D"]) -> Float[Tensor, "B Gy Gx D"]:
        return torch.einsum("bcyxd,cd->byxd", terrain, self.gain)


class ConcatFusion(nn.Module):
    """GELU(LN(W [fire; terrain; wind] + b)), with wind = GELU(LN(W_w (u, v))).

    The product with the concatenation is written as a sum of three products: terrain then enters once a sample and not
    once a frame, which gives the same numbers for less work.

    Args:
        features: length D of the cached tokens.
        d_model: length of the fused token.
        d_wind: length of the wind's code.
    """

    def __init__(self, features: int, d_model: int, d_wind: int):
        super().__init__()
        self.wind = nn.Sequential(nn.Linear(2, d_wind), nn.LayerNorm(d_wind), nn.GELU())
        self.from_fire = nn.Linear(features, d_model)
        self.from_terrain = nn.Linear(features, d_model, bias=False)
        self.from_wind = nn.Linear(d_wind, d_model, bias=False)
        self.norm = nn.LayerNorm(d_model)

    def forward(
        self, fire: Float[Tensor, "B T Gy Gx D"], terrain: Float[Tensor, "B Gy Gx D"], wind: Float[Tensor, "B T 2"]
    ) -> Float[Tensor, "B T Gy Gx M"]:
        token = self.from_fire(fire)
        token = token + self.from_terrain(terrain)[:, None]
        token = token + self.from_wind(self.wind(wind))[:, :, None, None]
        return nn.functional.gelu(self.norm(token))
