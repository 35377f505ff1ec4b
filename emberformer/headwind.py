"""How strongly wind and slope speak against growth at a pixel, given where it burns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from emberformer.data.normalise import TerrainNormaliser

NEAR = 8  # pixels in rows and in columns over which burned ones say from where a fire would come


@dataclass(frozen=True)
class Slope:
    """Which channels of `terrain_pixels` hold steepness and downslope direction, and how the first was normalised.

    Args:
        steepness: number of the channel `slope_deg`.
        east: number of the channel `aspect_deg.east`; north follows it.
        mean: of the slope in degrees over the training fires.
        deviation: likewise.
    """

    steepness: int
    east: int
    mean: float
    deviation: float

    @classmethod
    def of(cls, normaliser: TerrainNormaliser) -> Slope | None:
        """Channels of a normaliser; None where the terrain has no `slope_deg` or no `aspect_deg`."""
        channels = normaliser.channels
        if not {"slope_deg", "aspect_deg.east"} <= set(channels):
            return None
        return cls(channels.index("slope_deg"), channels.index("aspect_deg.east"), *normaliser.continuous["slope_deg"])

    def rise(self, terrain_pixels: Float[Tensor, "B K H W"]) -> Float[Tensor, "B 2 H W"]:
        """Gradient of the elevation, a vector (east, north) that points uphill, in m/m."""
        degrees = (terrain_pixels[:, self.steepness] * self.deviation + self.mean).clamp(0, 80)
        downslope = terrain_pixels[:, self.east : self.east + 2]
        return -torch.tan(torch.deg2rad(degrees))[:, None] * downslope


def headwind(
    burned: Float[Tensor, "B H W"], push: Float[Tensor, "B 2 H W"]
) -> tuple[Float[Tensor, "B H W"], Bool[Tensor, "B H W"]]:
    """Headwind of growth, max(0, -n . a), and where it is known: within `NEAR` pixels of the burned area.

    n is the direction from which fire would come to a pixel i, to which the nearer burned pixels b add more:
    n = d / |d|, d = sum over b within `NEAR` rows and columns of (i - b) / |i - b|^2.

    Args:
        burned: 1 where it burns, else 0.
        push: vector a (east, north) of wind and slope, along which fire spreads fastest.
    """
    side = 2 * NEAR + 1
    offset = torch.arange(-NEAR, NEAR + 1, device=burned.device, dtype=burned.dtype)
    # The kernel at (row, column) belongs to the burned pixel b = i + (row, column); rows run south.
    east, north = -offset.expand(side, side), offset[:, None].expand(side, side)
    kernel = torch.stack([east, north]) / (east**2 + north**2).clamp(min=1)
    direction = functional.conv2d(burned[:, None], kernel[:, None], padding=NEAR)
    along = (functional.normalize(direction, dim=1) * push).sum(1)
    near = functional.max_pool2d(burned[:, None], side, stride=1, padding=NEAR)[:, 0] > 0.5
    return (-along).clamp(min=0), near
