"""U-Net on the raster itself: the rival that sees what EmberFormer's refinement sees, at every scale."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.convolution import Convolution
from emberformer.model.pixel_input import PixelInput
from emberformer.rivals.newest import NewestRival
from emberformer.rivals.pyramid import Ascent, Entry, Level, padded_to

LEVELS = 4


class UNet(nn.Module):
    """Encoder and decoder joined at every level (Ronneberger et al. 2015, arXiv:1505.04597), with GroupNorm.

    Args:
        inside: channels of the input.
        channels: width of the finest level; each coarser one has twice as many.
    """

    def __init__(self, inside: int, channels: int):
        super().__init__()
        widths = [channels * 2**n for n in range(LEVELS)]
        first = nn.Sequential(Entry(inside, channels), Convolution(channels, channels))
        deeper = (Level(fine, coarse) for fine, coarse in pairwise(widths))
        self.down = nn.ModuleList([first, *deeper])
        self.up = Ascent(widths)

    def forward(self, x: Float[Tensor, "B K H W"]) -> Float[Tensor, "B C H W"]:
        """Features of every pixel; any height and width."""
        height, width = x.shape[2:]
        features = [self.down[0](padded_to(x, 2 ** (LEVELS - 1)))]
        for level in self.down[1:]:  # type: ignore[index]
            features.append(level(functional.max_pool2d(features[-1], 2)))
        return self.up(features)[:, :, :height, :width]


def pixel_unet(pixels: PixelInput, channels: int) -> NewestRival:
    """U-Net on pixels.

    Args:
        pixels: what it sees of every pixel.
        channels: width of the finest of its four levels.
    """
    return NewestRival(pixels, UNet(pixels.channels, channels), nn.Conv2d(channels, 1, 1))
