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

    def known(self, pixels: Float[Tensor, "B K H W"]) -> Float[Tensor, "B H W R"]:
        """What the convolutions make of all that no step of a sampler changes; channels stand last."""
        return self.ground(pixels).permute(0, 2, 3, 1)

    def forward(
        self,
        tokens: Float[Tensor, "B N D"],
        field: Float[Tensor, "B F H W"],
        ground: Float[Tensor, "B H W R"],
        signal: Float[Tensor, "B D"],
    ) -> Float[Tensor, "B V H W"]:
        """Values of every pixel; `ground` is what `known` made."""
        height, width = (side // self.side for side in field.shape[2:])
        told = torch.cat([field.permute(0, 2, 3, 1).contiguous(), self._pixels_of(tokens, (height, width))], -1)
        scale1, shift1, scale2, shift2 = self.modulation(signal).chunk(4, -1)
        hidden = self.first(told.permute(0, 3, 1, 2)) + ground.permute(0, 3, 1, 2)
        hidden = norm_relu(self.norms[0], hidden, 1 + scale1, shift1)  # type: ignore[arg-type]
        hidden = norm_relu(self.norms[1], self.second(hidden), 1 + scale2, shift2)  # type: ignore[arg-type]
        own = self.last(hidden).contiguous()
        if self.coarse is None:
            return own
        coarse = self.coarse(tokens).transpose(1, 2).unflatten(2, (height, width))
        shared = functional.interpolate(coarse, field.shape[2:], mode="bilinear", align_corners=False)
        return own + shared

    def _pixels_of(self, tokens: Float[Tensor, "B N D"], grid: tuple[int, int]) -> Float[Tensor, "B H W C"]:
        """Each token's linear map to its pixels. Channels stand last, as convolutions run fastest; the weights are
        turned for that, and not the many pixels.
        """
        shape = (FROM_TOKENS, self.side, self.side)
        weight = self.to_pixels.weight.unflatten(0, shape).permute(1, 2, 0, 3).flatten(0, 2)
        bias = self.to_pixels.bias.unflatten(0, shape).permute(1, 2, 0).flatten()
        cells = functional.linear(tokens, weight, bias).unflatten(-1, (self.side, self.side, -1)).unflatten(1, grid)
        return cells.transpose(2, 3).flatten(3, 4).flatten(1, 2)
