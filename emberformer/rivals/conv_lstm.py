"""ConvLSTM: a memory at every place that each moment updates."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.pixel_input import PixelInput
from emberformer.network import SpreadNetwork
from emberformer.rivals.moments import MOMENT_CHANNELS, moments
from emberformer.rivals.pyramid import padded_to

CELL = 2  # pixels on a side that share one memory


class Memory(nn.Module):
    """One layer of a ConvLSTM (Shi et al. 2015, arXiv:1506.04214, eq. 3, without peepholes).

    Args:
        inside: channels of the input.
        channels: channels of memory and output.
    """

    def __init__(self, inside: int, channels: int):
        super().__init__()
        self.from_input = nn.Conv2d(inside, 4 * channels, 3, padding=1)
        self.from_output = nn.Conv2d(channels, 4 * channels, 3, padding=1, bias=False)
        assert self.from_input.bias is not None, "a convolution has a bias"
        nn.init.ones_(self.from_input.bias[channels : 2 * channels])  # at first it keeps what it remembers

    def forward(
        self,
        x: Float[Tensor, "B T K h w"],
        valid_t: Bool[Tensor, "B T"],
        ground: Float[Tensor, "B G h w"] | None = None,
    ) -> Float[Tensor, "B T C h w"]:
        """The layer's output at every moment; zero until the first real one.

        Args:
            x: input, oldest first.
            valid_t: false on padding, which changes neither memory nor output.
            ground: added to what the gates take from the input, at every moment.
        """
        gates = self.from_input(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        if ground is not None:
            gates = gates + ground[:, None]
        output = memory = torch.zeros_like(gates[:, 0, : gates.shape[2] // 4])
        outputs = []
        for moment, real in zip(gates.unbind(1), valid_t[:, :, None, None, None].unbind(1), strict=True):
            let_in, keep, let_out, content = (moment + self.from_output(output)).chunk(4, 1)
            updated = torch.sigmoid(keep) * memory + torch.sigmoid(let_in) * torch.tanh(content)
            memory = torch.where(real, updated, memory)
            output = torch.where(real, torch.sigmoid(let_out) * torch.tanh(updated), output)
            outputs.append(output)
        return torch.stack(outputs, 1)


class ConvLSTM(SpreadNetwork):
    """Two layers of a ConvLSTM on burned areas and wind, over terrain and categories.

    As in the paper the pixels of a cell are channels of one place, here 2 x 2 of them; every pixel has a logit of
    its own, from what both layers put out at the newest moment.

    Args:
        pixels: gives terrain and categories of every pixel.
        channels: width of both layers.
    """

    inputs = ("history_pixels", "valid_t", "wind", "terrain_pixels", "categories")

    def __init__(self, pixels: PixelInput, channels: int):
        super().__init__()
        self.pixels, cell = pixels, CELL**2
        self.ground = nn.Conv2d(cell * pixels.ground_channels, 4 * channels, 3, padding=1, bias=False)
        self.layers = nn.ModuleList([Memory(cell * MOMENT_CHANNELS, channels), Memory(channels, channels)])
        self.head = nn.Conv2d(2 * channels, cell, 1)

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
        ground = self.pixels.side_by_side(self.pixels.ground(terrain_pixels, categories))
        gates = self.ground(functional.pixel_unshuffle(padded_to(ground, CELL), CELL))
        known = moments(history_pixels, wind, valid_t)
        cells = functional.pixel_unshuffle(padded_to(known.flatten(0, 1), CELL), CELL)
        first = self.layers[0](cells.unflatten(0, known.shape[:2]), valid_t, gates)
        second = self.layers[1](first, valid_t)
        logits = self.head(torch.cat([first[:, -1], second[:, -1]], 1))
        return functional.pixel_shuffle(logits, CELL)[:, 0, :height, :width]
