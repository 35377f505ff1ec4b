"""The last layers at full resolution, so that a front is as sharp as a pixel while the transformer sees patches."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from emberformer.ensemble.block import silent
from emberformer.model.normalisation import norm_relu

GROUPS = 4
FROM_TOKENS = 8  # channels that a token gives to each of its pixels


class FieldRefinement(nn.Module):
    """Tokens to values of every pixel, with what is known of the pixels and the field itself beside them.

    A linear map of each token to its pixels, two 3 x 3 convolutions with GroupNorm that time and CLS token modulate,
    and a last one that begins at 0. GroupNorm takes away what all pixels share, such as that the fire is a fast one: to
    scores of several values a second linear map of each token, which begins at 0 too, is added without it, interpolated
    between the tokens.

    Args:
        d_model: length of a token.
        side: pixels on a side of a token.
        pixel_channels: channels of what is known of the pixels.
        channels: of the convolutions.
        field_channels: of what is told of the field.
        values: of a pixel.
    """

    def __init__(
        self, d_model: int, side: int, pixel_channels: int, channels: int, field_channels: int = 1, values: int = 1
    ):
        super().__init__()
        self.side, self.channels = side, channels
        self.to_pixels = nn.Linear(d_model, FROM_TOKENS * side * side)
        self.ground = nn.Conv2d(pixel_channels, channels, 3, padding=1)
        self.first = nn.Conv2d(field_channels + FROM_TOKENS, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = silent(nn.Conv2d(channels, values, 3, padding=1))
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, channels) for _ in range(2))
        self.coarse = silent(nn.Linear(d_model, values)) if values > 1 else None
        self.modulation = nn.Sequential(nn.SiLU(), silent(nn.Linear(d_model, 4 * channels)))

    def forward(
        self,
        tokens: Float[Tensor, "B N D"],
        field: Float[Tensor, "B F H W"],
        ground: Float[Tensor, "B R H W"],
        signal: Float[Tensor, "B D"],
    ) -> Float[Tensor, "B V H W"]:
        """Values of every pixel."""
        height, width = (side // self.side for side in field.shape[2:])
        cells = self.to_pixels(tokens).unflatten(-1, (FROM_TOKENS, self.side, self.side)).unflatten(1, (height, width))
        fine = cells.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        scale1, shift1, scale2, shift2 = self.modulation(signal).chunk(4, -1)
        hidden = self.first(torch.cat([field, fine], 1)) + ground
        hidden = norm_relu(self.norms[0], hidden, 1 + scale1, shift1)  # type: ignore[arg-type]
        hidden = norm_relu(self.norms[1], self.second(hidden), 1 + scale2, shift2)  # type: ignore[arg-type]
        if self.coarse is None:
            return self.last(hidden)
        coarse = self.coarse(tokens).transpose(1, 2).unflatten(2, (height, width))
        shared = functional.interpolate(coarse, field.shape[2:], mode="bilinear", align_corners=False)
        return self.last(hidden) + shared
