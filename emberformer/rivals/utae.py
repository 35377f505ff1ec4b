"""U-TAE: one U-Net over all moments, which attention along time joins; the best network of WildfireSpreadTS."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.convolution import Convolution
from emberformer.model.pixel_input import PixelInput
from emberformer.model.position import lag_encoding
from emberformer.network import SpreadNetwork
from emberformer.rivals.moments import MOMENT_CHANNELS, moments
from emberformer.rivals.pyramid import Ascent, Level, padded_to

LEVELS, HEADS, KEY = 4, 8, 4


class TemporalAttention(nn.Module):
    """How much each moment matters at every place, by heads with one learned query each.

    Lightweight temporal attention (Garnot and Landrieu 2020, arXiv:2007.00586): no value is computed, a head weighs its
    own share of the channels.

    Args:
        channels: of the input, a multiple of the heads.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(HEADS, channels)
        self.key = nn.Conv2d(channels, HEADS * KEY, 1)
        self.query = nn.Parameter(torch.randn(HEADS, KEY) * (2 / KEY) ** 0.5)

    def forward(self, x: Float[Tensor, "B T C h w"], valid_t: Bool[Tensor, "B T"]) -> Float[Tensor, "B n T h w"]:
        """Weights of the moments, which add up to 1 over time and are 0 on padding."""
        batch, history, channels = x.shape[:3]
        code = lag_encoding(history, channels, x.device)[None, :, :, None, None]
        key = self.key((self.norm(x.flatten(0, 1)).unflatten(0, (batch, history)) + code).flatten(0, 1))
        score = torch.einsum("btnkyx,nk->bntyx", key.view(batch, history, HEADS, KEY, *x.shape[3:]), self.query)
        score = (score * KEY**-0.5).masked_fill(~valid_t[:, None, :, None, None], -torch.inf)
        return score.softmax(2)


def joined(x: Float[Tensor, "B T C H W"], weights: Float[Tensor, "B n T h w"]) -> Float[Tensor, "B C H W"]:
    """Mean over time by the heads' weights, each for its share of the channels, enlarged where x is finer."""
    batch, heads, history = weights.shape[:3]
    if weights.shape[3:] != x.shape[3:]:
        larger = functional.interpolate(weights.flatten(0, 1), size=x.shape[3:], mode="bilinear", align_corners=False)
        weights = larger.view(batch, heads, history, *x.shape[3:])
    shares = x.unflatten(2, (heads, -1)).transpose(1, 2)
    return (shares * weights[:, :, :, None]).sum(2).flatten(1, 2)


class UTAE(SpreadNetwork):
    """U-Net with temporal attention (Garnot and Landrieu 2021, arXiv:2107.07933), on burned areas, wind and ground.

    Every moment passes the same encoder; attention at the lowest level says which moments matter where, and its
    weights, enlarged, join the moments at the finer levels too.

    Args:
        pixels: gives terrain and categories of every pixel.
        channels: width of the finest of four levels, a multiple of 8.
    """

    inputs = ("history_pixels", "valid_t", "wind", "terrain_pixels", "categories")

    def __init__(self, pixels: PixelInput, channels: int):
        super().__init__()
        self.pixels = pixels
        widths = [channels * 2**n for n in range(LEVELS)]
        # Together one convolution without a norm on moments and ground side by side, the ground computed once.
        self.from_moment = nn.Conv2d(MOMENT_CHANNELS, channels, 3, padding=1)
        self.from_ground = nn.Conv2d(pixels.ground_channels, channels, 3, padding=1, bias=False)
        self.first = Convolution(channels, channels)
        self.down = nn.ModuleList(Level(width, 2 * width) for width in widths[:-1])
        self.attention = TemporalAttention(widths[-1])
        self.lowest = Convolution(widths[-1], widths[-1])
        self.up = Ascent(widths)
        self.head = nn.Conv2d(channels, 1, 1)

    def parts(self) -> dict[str, list[nn.Module]]:
        return {"decoder": [self]}

    def forward(
        self,
        *,
        history_pixels: Real[Tensor, "B T H W"],
        valid_t: Bool[Tensor, "B T"],
        wind: Float[Tensor, "B T 2"],
        terrain_pixels: Float[Tensor, "B K H W"],
        categories: Int[Tensor, "B Q H W"],
    ) -> Float[Tensor, "B H W"]:
        """Logits of the next burned area; arguments as in `EmberFormer.forward`."""
        height, width = history_pixels.shape[2:]
        multiple = 2 ** (LEVELS - 1)
        ground = self.pixels.side_by_side(self.pixels.ground(terrain_pixels, categories))
        known = padded_to(moments(history_pixels, wind, valid_t).flatten(0, 1), multiple)
        still = self.from_ground(padded_to(ground, multiple)).repeat_interleave(valid_t.shape[1], 0)
        features = [self.first(torch.relu(self.from_moment(known) + still))]
        for level in self.down:
            features.append(level(functional.max_pool2d(features[-1], 2)))
        over_time = [x.unflatten(0, valid_t.shape) for x in features]
        weights = self.attention(over_time[-1], valid_t)
        *finer, lowest = (joined(x, weights) for x in over_time)
        return self.head(self.up([*finer, self.lowest(lowest)]))[:, 0, :height, :width]
