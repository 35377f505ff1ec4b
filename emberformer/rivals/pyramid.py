"""Pieces of the networks that halve the raster again and again: first layer, level, way up, and padding to fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.convolution import Convolution


class Entry(nn.Sequential):
    """First layer: 3 x 3 convolution and ReLU, without a norm, which would take away what is equal at all pixels: wind.

    Args:
        inside: channels of the input.
        outside: channels of the output.
    """

    def __init__(self, inside: int, outside: int):
        super().__init__(nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU())


class Level(nn.Sequential):
    """Two convolutions at one resolution (Ronneberger et al. 2015, arXiv:1505.04597).

    Args:
        inside: channels of the input.
        outside: channels of the output.
    """

    def __init__(self, inside: int, outside: int):
        super().__init__(Convolution(inside, outside), Convolution(outside, outside))


class Ascent(nn.Module):
    """Way up of a U-Net: enlarged twofold, set beside the level's own features, and mixed, level by level.

    Args:
        widths: channels of the levels, finest first.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        pairs = list(pairwise(widths))
        self.levels = nn.ModuleList(Level(fine + coarse, fine) for fine, coarse in reversed(pairs))

    def forward(self, features: Sequence[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B C H W"]:
        """Features at the finest level.

        Args:
            features: of the levels, finest first, each half as high and wide as the one before.
        """
        *finer, x = features
        for level, skip in zip(self.levels, reversed(finer), strict=True):
            larger = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = level(torch.cat([skip, larger], 1))
        return x


def padded_to(x: Float[Tensor, "B K H W"], multiple: int) -> Float[Tensor, "B K h w"]:
    """Zeros at the lower right, so that height and width are multiples.

    >>> padded_to(torch.ones(1, 1, 28, 42), 8).shape
    torch.Size([1, 1, 32, 48])
    """
    missing = [-side % multiple for side in x.shape[2:]]
    return functional.pad(x, (0, missing[1], 0, missing[0])) if any(missing) else x
