"""UNet on the patch grid: down to a quarter of it for the wider view, and up again with skips."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from emberformer.model.convolution import Convolution, Norm, doubled, halved
from emberformer.model.decoders.decoder import SpatialDecoder


class UNetDecoder(SpatialDecoder):
    """Encoder and decoder with skips (Ronneberger et al. 2015, arXiv:1505.04597), for a grid of any size.

    Args:
        d_model: length of a token.
        channels: channels on the way down; half as many after the first step up, a quarter at the end.
        norm: 'group' or 'batch'.
    """

    def __init__(self, d_model: int, channels: int, norm: Norm = "group"):
        super().__init__()
        self.channels = channels // 4
        self.at_grid = Convolution(d_model, channels, norm=norm)
        self.at_half = Convolution(channels, channels, norm=norm)
        self.at_quarter = Convolution(channels, channels, norm=norm)
        self.up_to_half = Convolution(2 * channels, channels // 2, norm=norm)
        self.up_to_grid = Convolution(channels // 2 + channels, self.channels, norm=norm)
        self.head = nn.Conv2d(self.channels, 1, 1)

    def forward(
        self, tokens: Float[Tensor, "B Gy Gx D"], layers: Float[Tensor, "B L Gy Gx F"] | None = None
    ) -> tuple[Float[Tensor, "B C Gy Gx"], Float[Tensor, "B 1 Gy Gx"]]:
        """Decoded features and coarse logits."""
        grid = self.at_grid(tokens.permute(0, 3, 1, 2))
        half = self.at_half(halved(grid))
        quarter = self.at_quarter(halved(half))
        up = self.up_to_half(torch.cat([doubled(quarter, _size(half)), half], 1))
        features = self.up_to_grid(torch.cat([doubled(up, _size(grid)), grid], 1))
        return features, self.head(features)


def _size(x: Float[Tensor, "B C h w"]) -> tuple[int, int]:
    return x.shape[2], x.shape[3]
