"""Refinement: the coarse forecast on the patch grid becomes a sharp one on the raster."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.decoders import Convolution

DILATIONS = (1, 2, 4, 8, 1)


def upsampling_stages(pixels: int) -> tuple[int, int]:
    """Factors from the patch grid to the half-resolution grid and on to the raster: 14 -> (7, 2), 7 -> (7, 1).

    >>> upsampling_stages(14), upsampling_stages(16), upsampling_stages(7)
    ((7, 2), (8, 2), (7, 1))
    """
    fine = 2 if pixels % 2 == 0 else 1
    return pixels // fine, fine


class WindGate(nn.Module):
    """Scale and shift of every channel by the wind (FiLM, Perez et al. 2018, arXiv:1709.07871); identity at first.

    The wind is one vector for the frame, so it acts on all pixels alike: a pixel's own difference comes from terrain.
    """

    def __init__(self, d_wind: int, channels: int):
        super().__init__()
        self.film = nn.Linear(d_wind, 2 * channels)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, wind: Float[Tensor, "B d"]) -> tuple[Float[Tensor, "B C 1 1"], Float[Tensor, "B C 1 1"]]:
        """Factor and shift of every channel."""
        scale, shift = self.film(wind)[:, :, None, None].chunk(2, 1)
        return 1 + scale, shift


class Refinement(nn.Module):
    """Full-resolution skip path joined with the coarse forecast at half resolution.

    The newest burned area, the recency of the burn, wind and terrain come in at full resolution, are brought to half
    resolution, meet the upsampled decoder features there, pass dilated convolutions that see about 30 pixels far and
    gates by the wind, and return to full resolution, where the first layer's output is added again.

    Args:
        pixel_channels: channels of the full-resolution input.
        coarse_channels: channels of the decoder's features.
        channels: channels at full resolution; twice as many at half resolution.
        d_wind: hidden width of the wind gates.
        pixels: raster pixels on a side of a patch.
    """

    def __init__(self, pixel_channels: int, coarse_channels: int, channels: int, d_wind: int, pixels: int):
        super().__init__()
        self.pixels = pixels
        self.coarse_factor, self.fine_factor = upsampling_stages(pixels)
        wide = 2 * channels
        self.wind = nn.Sequential(nn.Linear(2, d_wind), nn.GELU(), nn.Linear(d_wind, d_wind), nn.GELU())
        self.stem = Convolution(pixel_channels, channels)
        self.down = nn.Conv2d(channels, wide, self.fine_factor, stride=self.fine_factor)
        self.join = nn.Conv2d(wide + coarse_channels, wide, 1)
        self.body = nn.ModuleList(Convolution(wide, wide, dilation) for dilation in DILATIONS)
        self.gates = nn.ModuleList(WindGate(d_wind, wide) for _ in DILATIONS)
        self.up = nn.ConvTranspose2d(wide, channels, self.fine_factor, stride=self.fine_factor)
        self.last = Convolution(channels, channels)
        self.head = nn.Conv2d(channels, 1, 1)

    def forward(
        self,
        *,
        coarse_features: Float[Tensor, "B C Gy Gx"],
        coarse_logits: Float[Tensor, "B 1 Gy Gx"],
        pixel_input: Float[Tensor, "B K H W"],
        wind: Float[Tensor, "B 2"],
    ) -> Float[Tensor, "B H W"]:
        """Logits at full resolution; arguments by keyword, because swapped feature maps would pass unnoticed."""
        height, width = pixel_input.shape[2:]
        rows, columns = (side * self.pixels for side in coarse_logits.shape[2:])
        if (rows, columns) != (height, width):
            pixel_input = functional.pad(pixel_input, (0, columns - width, 0, rows - height))
        fine = self.stem(pixel_input.contiguous(memory_format=torch.channels_last))
        x = self._join(fine, coarse_features)
        code = self.wind(wind)
        for layer, gate in zip(self.body, self.gates, strict=True):
            x = x + layer(x, *gate(code))
        sharp = self.head(self.last(self.up(x) + fine))
        smooth = functional.interpolate(coarse_logits, size=(rows, columns), mode="bilinear", align_corners=False)
        return (sharp + smooth)[:, 0, :height, :width]

    def _join(self, fine: Float[Tensor, "B F H W"], coarse: Float[Tensor, "B C Gy Gx"]) -> Float[Tensor, "B W2 h w"]:
        """Both at half resolution, mixed by `join`.

        A 1 x 1 convolution of joined channels is the sum of one for each part. The decoder's part commutes with the
        interpolation, whose weights add up to 1, so it is mixed on the patch grid, before that is 49 times larger;
        the other part follows `down` with nothing in between, so both kernels are multiplied into one.
        """
        of_fine, of_coarse = self.join.weight.split([self.down.out_channels, coarse.shape[1]], 1)
        mixed = functional.interpolate(
            functional.conv2d(coarse, of_coarse, self.join.bias),
            scale_factor=self.coarse_factor, mode="bilinear", align_corners=False,
        )  # fmt: skip
        of_fine = of_fine[:, :, 0, 0]
        kernel = torch.einsum("oi,ikyx->okyx", of_fine, self.down.weight)
        assert self.down.bias is not None
        return functional.conv2d(fine, kernel, of_fine @ self.down.bias, self.fine_factor) + mixed
