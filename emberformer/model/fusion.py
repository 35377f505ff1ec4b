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
        mixed = terrain[:, 0] * self.gain[0]
        for band in range(1, len(self.gain)):  # never all bands at once: a product of all is six times the memory
            mixed = torch.addcmul(mixed, terrain[:, band], self.gain[band])
        return mixed


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
        self, fire: Float[Tensor, "B N T D"], terrain: Float[Tensor, "B N D"], wind: Float[Tensor, "B T 2"]
    ) -> Float[Tensor, "B N T M"]:
        """Tokens of N patches at T moments.

        Args:
            fire: the patches' features, in any floating type.
            terrain: the patches' mixed terrain features.
            wind: (u, v), one for all patches of a sample.
        """
        token = self.from_fire(fire.to(self.from_fire.weight.dtype).contiguous())
        token = token + self.from_terrain(terrain)[:, :, None]
        token = token + self.from_wind(self.wind(wind))[:, None]
        return nn.functional.gelu(self.norm(token))
