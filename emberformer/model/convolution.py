"""The convolution that decoders and refinement are made of."""

from __future__ import annotations

from math import gcd
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.normalisation import norm_relu

GROUPS = 8
Norm = Literal["group", "batch"]


def norm_of(channels: int, norm: Norm) -> nn.GroupNorm | nn.BatchNorm2d:
    """The norm of a map: over a sample's own groups of channels, or each channel over the batch."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(gcd(GROUPS, channels), channels)


class Convolution(nn.Sequential):
    """3 x 3 convolution, norm, ReLU. By default GroupNorm, because a batch holds few frames and they differ in size.

    Args:
        inside: channels of the input.
        outside: channels of the output.
        dilation: pixels from one tap of the kernel to the next.
        norm: 'group' or 'batch'.
    """

    def __init__(self, inside: int, outside: int, dilation: int = 1, norm: Norm = "group"):
        super().__init__(
            nn.Conv2d(inside, outside, 3, padding=dilation, dilation=dilation, bias=False),
            norm_of(outside, norm),
            nn.ReLU(),
        )

    def forward(
        self,
        input: Float[Tensor, "B K h w"],
        scale: Float[Tensor, "B C"] | None = None,
        shift: Float[Tensor, "B C"] | None = None,
    ) -> Float[Tensor, "B C h w"]:
        """The layer's output; before ReLU, times `scale` plus `shift` where a gate gives them."""
        return norm_relu(self[1], self[0](input), scale, shift)  # type: ignore[arg-type]


def halved(x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h2 w2"]:
    """Largest value of every 2 x 2 cells; cells at an odd edge stand alone, and one cell stays one.

    >>> import torch
    >>> halved(torch.arange(6.0).view(1, 1, 2, 3)).tolist()
    [[[[4.0, 5.0]]]]
    """
    return functional.max_pool2d(x, 2, ceil_mode=True)


def doubled(x: Float[Tensor, "B C h2 w2"], size: tuple[int, int]) -> Float[Tensor, "B C h w"]:
    """Bilinear at twice the resolution, cut to a map that was halved: cell n lies over cells 2n and 2n + 1.

    An odd map is cut and not stretched, so that what it says stays in its place.
    """
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]
