"""Tokens of patches: mixed from cached ones, or made of the pixels themselves."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Real
from torch import Tensor, nn
from torch.nn import functional

STEM_CHANNELS = 32  # of a stem at half resolution
TOKEN_CHANNELS = 128  # of a stem on the patch grid
GROUPS = 8


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


class PixelStem(nn.Sequential):
    """A small convolutional encoder: one token a patch, which sees a little beyond its patch.

    3 x 3 convolutions at half resolution (at full, where a patch has an odd side), one as wide as a patch, 3 x 3 on the
    patch grid, and a linear map; each but the last with GroupNorm and ReLU. An image that is no whole patches is
    padded with zeros at the bottom and right.

    Args:
        channels: of the image.
        features: length D of a token.
        pixels: on a side of a patch.
    """

    def __init__(self, channels: int, features: int, pixels: int):
        fine = 2 if pixels % 2 == 0 else 1
        super().__init__(
            *_layer(nn.Conv2d(channels, STEM_CHANNELS // 2, 3, stride=fine, padding=1, bias=False)),
            *_layer(nn.Conv2d(STEM_CHANNELS // 2, STEM_CHANNELS, 3, padding=1, bias=False)),
            *_layer(nn.Conv2d(STEM_CHANNELS, TOKEN_CHANNELS, pixels // fine, stride=pixels // fine, bias=False)),
            *_layer(nn.Conv2d(TOKEN_CHANNELS, TOKEN_CHANNELS, 3, padding=1, bias=False)),
            nn.Conv2d(TOKEN_CHANNELS, features, 1),
        )
        self.pixels = pixels

    def forward(self, input: Float[Tensor, "B K H W"]) -> Float[Tensor, "B Gy Gx D"]:
        """Tokens of images."""
        return super().forward(whole_patches(input, self.pixels)).permute(0, 2, 3, 1)


class PatchLinear(nn.Conv2d):
    """One linear map of all pixels of a patch.

    Args:
        channels: of the image.
        features: length D of a token.
        pixels: on a side of a patch.
    """

    def __init__(self, channels: int, features: int, pixels: int):
        super().__init__(channels, features, pixels, stride=pixels)
        self.pixels = pixels

    def forward(self, input: Float[Tensor, "B K H W"]) -> Float[Tensor, "B Gy Gx D"]:
        """Tokens of images; as `PixelStem`."""
        return super().forward(whole_patches(input, self.pixels)).permute(0, 2, 3, 1)


def frame_tokens(
    stem: PixelStem, history_pixels: Real[Tensor, "B T H W"], valid_t: Bool[Tensor, "B T"]
) -> Float[Tensor, "B T Gy Gx D"]:
    """Tokens of the real frames, zero on padding, as cached ones are."""
    places = valid_t.nonzero(as_tuple=True)
    tokens = stem(history_pixels[places][:, None].float())
    return tokens.new_zeros(*valid_t.shape, *tokens.shape[1:]).index_put(places, tokens)


def whole_patches(images: Float[Tensor, "B K H W"], pixels: int) -> Float[Tensor, "B K h w"]:
    """Images with zeros at the bottom and right, up to whole patches.

    >>> whole_patches(torch.ones(1, 1, 28, 30), 14).shape
    torch.Size([1, 1, 28, 42])
    """
    height, width = images.shape[2:]
    missing = (0, -width % pixels, 0, -height % pixels)
    return functional.pad(images, missing) if any(missing) else images


def _layer(convolution: nn.Conv2d) -> tuple[nn.Module, ...]:
    return convolution, nn.GroupNorm(GROUPS, convolution.out_channels), nn.ReLU()
