"""Refinement: the coarse forecast on the patch grid becomes a sharp one on the raster."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.adjustment import Past
from emberformer.model.convolution import Convolution, Norm
from emberformer.model.lead_time import LeadTime
from emberformer.model.travel_time import TravelTime

DILATIONS = (1, 2, 4, 8, 1)
TRAVEL_FEATURES = 16


def upsampling_stages(pixels: int) -> tuple[int, int]:
    """Factors from the patch grid to the half-resolution grid and on to the raster: 14 -> (7, 2).

    Pixels of an odd patch make no cells of 2 x 2; they are worked on at full resolution, at four times the cost.

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

    def forward(self, wind: Float[Tensor, "B d"]) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C"]]:
        """Factor and shift of every channel."""
        scale, shift = self.film(wind).chunk(2, 1)
        return 1 + scale, shift


class Refinement(nn.Module):
    """Every pixel's own knowledge joined with the coarse forecast at half resolution.

    The newest burned area, the recency of the burn, wind and terrain come in at full resolution and nothing of them is
    averaged: the four pixels of a half-resolution cell are channels side by side, and each has a logit of its own at
    the end (sub-pixel convolution, Shi et al. 2016, arXiv:1609.05158). In between they meet the decoder's features and
    pass dilated convolutions that see about 30 pixels far and gates by the wind.

    Args:
        pixel_channels: channels of the full-resolution input.
        coarse_channels: channels of the decoder's features.
        channels: half the channels at half resolution.
        d_wind: hidden width of the wind gates.
        pixels: raster pixels on a side of a patch, any number.
        finer: cells of the coarse maps on a side of a patch (`SpatialDecoder.finer`); they need not divide `pixels`.
        norm: 'group' or 'batch'.
        travel_time: add what the fire's travel time says (`TravelTime`), from the same features.
        adjusted: with spread rates adjusted by those of the fire's past.
        lead_times: longest lead time, in steps; its code joins the wind's.
    """

    def __init__(
        self,
        pixel_channels: int,
        coarse_channels: int,
        channels: int,
        d_wind: int,
        pixels: int,
        finer: int = 1,
        norm: Norm = "group",
        travel_time: bool = False,
        adjusted: bool = False,
        lead_times: int = 1,
    ):
        super().__init__()
        self.pixels, self.finer, self.adjusted = pixels, finer, adjusted
        self.coarse_factor, self.fine_factor = upsampling_stages(pixels)
        wide, cell = 2 * channels, self.fine_factor**2
        self.wind = nn.Sequential(nn.Linear(2, d_wind), nn.GELU(), nn.Linear(d_wind, d_wind), nn.GELU())
        self.stem = Convolution(cell * pixel_channels, wide, norm=norm)
        self.join = nn.Conv2d(coarse_channels, wide, 1)
        self.body = nn.ModuleList(Convolution(wide, wide, dilation, norm) for dilation in DILATIONS)
        self.gates = nn.ModuleList(WindGate(d_wind, wide) for _ in DILATIONS)
        self.last = Convolution(wide, wide, norm=norm)
        self.head = nn.Conv2d(wide, cell, 3, padding=1)
        self.travel_features = nn.Conv2d(wide, cell * TRAVEL_FEATURES, 1) if travel_time else None
        known = TRAVEL_FEATURES + pixel_channels
        self.travel_time = TravelTime(known, adjusted=adjusted, lead_times=lead_times) if travel_time else None
        self.lead_time = LeadTime(lead_times, d_wind) if lead_times > 1 else None

    def forward(
        self,
        *,
        coarse_features: Float[Tensor, "B C h w"],
        coarse_logits: Float[Tensor, "B 1 h w"],
        pixel_input: Float[Tensor, "B K H W"],
        wind: Float[Tensor, "B 2"],
        resolution: Float[Tensor, "B 2"] | None = None,
        past: Past | None = None,
        lead: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B H W"]:
        """Logits at full resolution; arguments by keyword, because swapped feature maps would pass unnoticed.

        Args:
            coarse_features: of the decoder.
            coarse_logits: of the decoder.
            pixel_input: what is known of every pixel; the first channel is the newest burned area.
            wind: (u, v) of what is forecast, in units of 10 m/s.
            resolution: metres of a pixel and seconds of a step, see `TravelTime`.
            past: earlier steps of the fire, likewise.
            lead: steps that are forecast; None: one, and there are no others.

        Raises:
            ValueError: the coarse maps are not of the patches that the raster has.
        """
        height, width = pixel_input.shape[2:]
        patches = (-(-height // self.pixels), -(-width // self.pixels))
        if tuple(coarse_logits.shape[2:]) != (patches[0] * self.finer, patches[1] * self.finer):
            raise ValueError(
                f"coarse maps of {tuple(coarse_logits.shape[2:])} cells on a raster of {height} x {width} pixels, "
                f"that is {patches[0]} x {patches[1]} patches of {self.finer} x {self.finer} cells"
            )
        rows, columns = (side * self.pixels for side in patches)
        if (rows, columns) != (height, width):
            to_patches = (0, columns - width, 0, rows - height)
            pixel_input = functional.pad(pixel_input, to_patches)
            past = past and past._replace(burned=functional.pad(past.burned, to_patches))
        fine = self.stem(into_cells(pixel_input, self.fine_factor))
        # Mixed before it is enlarged, which is the same: the weights of the interpolation add up to 1.
        coarse = functional.interpolate(
            self.join(coarse_features), size=fine.shape[2:], mode="bilinear", align_corners=False
        )
        x, code = fine + coarse, self.wind(wind)
        if self.lead_time is not None:
            assert lead is not None, "a network of several lead times is told which"
            code = code + self.lead_time(lead)
        for layer, gate in zip(self.body, self.gates, strict=True):
            x = x + layer(x, *gate(code))
        last = self.last(x + fine)
        sharp = functional.pixel_shuffle(self.head(last), self.fine_factor)
        smooth = functional.interpolate(coarse_logits, size=(rows, columns), mode="bilinear", align_corners=False)
        logits = (sharp + smooth)[:, 0]
        if self.travel_time is not None and self.travel_features is not None:
            own = functional.relu(functional.pixel_shuffle(self.travel_features(last), self.fine_factor))
            with torch.autocast(own.device.type, enabled=False):
                known = torch.cat([own.float(), pixel_input.float()], 1)
                burned = pixel_input[:, 0] > 0.5
                logits = logits + self.travel_time(known, wind.float(), burned, resolution, past, lead)
        return logits[:, :height, :width]


def into_cells(x: Float[Tensor, "B K H W"], factor: int) -> Float[Tensor, "B C h w"]:
    """The pixels of every cell of `factor` x `factor` as channels, innermost in memory.

    >>> import torch
    >>> into_cells(torch.arange(8.0).view(1, 1, 2, 4), 2)[0, :, 0].T.tolist()
    [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]
    """
    batch, _, height, width = x.shape
    cells = x.permute(0, 2, 3, 1).unflatten(1, (height // factor, factor)).unflatten(3, (width // factor, factor))
    return cells.transpose(2, 3).reshape(batch, height // factor, width // factor, -1).permute(0, 3, 1, 2)
