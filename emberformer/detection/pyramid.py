"""Levels of a feature pyramid from one grid of cached features: twice as fine, as fine, and half as fine."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.lw_detr.configuration_lw_detr import LwDetrConfig
from transformers.models.lw_detr.modeling_lw_detr import LwDetrMultiScaleProjector

from emberformer.detection_settings import DetectionSettings

CELLS = 2.0  # side of the box that a cell proposes, in cells


@dataclass(frozen=True)
class FeatureMap:
    """Cells of all levels of some windows, one after another.

    Args:
        cells: their features.
        real: cells that hold a patch of the raster or image.
        shapes: rows and columns of each level.
        level: of each cell.
        anchors: box about each cell, centre and sides as shares of the window's.
    """

    cells: Float[Tensor, "B S d"]
    real: Bool[Tensor, "B S"]
    shapes: list[tuple[int, int]]
    level: Int[Tensor, " S"]
    anchors: Float[Tensor, "S 4"]

    def of(self, number: int) -> Float[Tensor, "B d h w"]:
        """One level as a picture."""
        sizes = [rows * columns for rows, columns in self.shapes]
        return self.cells.split(sizes, 1)[number].transpose(1, 2).unflatten(2, self.shapes[number])

    def rows(self, chosen: Tensor) -> FeatureMap:
        """Some of the windows."""
        return FeatureMap(self.cells[chosen], self.real[chosen], self.shapes, self.level, self.anchors)


class Pyramid(nn.Module):
    """LW-DETR's projector behind a linear layer that brings all cached layers of a patch together.

    Args:
        channels: numbers of a patch.
        of: width and levels.
        config: of LW-DETR.
    """

    def __init__(self, channels: int, of: DetectionSettings, config: LwDetrConfig):
        super().__init__()
        self.scales = of.scales
        self.norm = nn.LayerNorm(channels)
        self.project = nn.Linear(channels, of.d_model)
        self.levels = LwDetrMultiScaleProjector(config)

    def forward(self, features: Float[Tensor, "B C Gy Gx"], valid: Bool[Tensor, "B Gy Gx"]) -> FeatureMap:
        """All levels; what stands under patches that are not valid is not looked at.

        Args:
            features: of the patches.
            valid: patches that are no padding.
        """
        patches = self.project(self.norm(features.permute(0, 2, 3, 1))) * valid[..., None]
        maps = self.levels((patches.permute(0, 3, 1, 2),))
        shapes = [(int(one.shape[2]), int(one.shape[3])) for one in maps]
        device = features.device
        return FeatureMap(
            torch.cat([one.flatten(2).transpose(1, 2) for one in maps], 1).float(),
            torch.cat([at_scale(valid, scale).flatten(1) for scale in self.scales], 1),
            shapes,
            torch.cat([torch.full((h * w,), n, device=device) for n, (h, w) in enumerate(shapes)]),
            torch.cat([_anchors(h, w, device) for h, w in shapes]),
        )


def at_scale(valid: Bool[Tensor, "B Gy Gx"], scale: float) -> Bool[Tensor, "B h w"]:
    """Cells of a level that hold a valid patch.

    >>> at_scale(torch.tensor([[[True, False, False]]]), 0.5)
    tensor([[[ True, False]]])
    """
    if scale == 2.0:
        return valid.repeat_interleave(2, 1).repeat_interleave(2, 2)
    if scale == 0.5:
        return functional.max_pool2d(valid[:, None].float(), 2, ceil_mode=True)[:, 0] > 0
    return valid


def _anchors(rows: int, columns: int, device: torch.device) -> Float[Tensor, "n 4"]:
    y = (torch.arange(rows, device=device) + 0.5) / rows
    x = (torch.arange(columns, device=device) + 0.5) / columns
    centres = torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], -1).flatten(0, 1)
    sides = torch.tensor([CELLS / columns, CELLS / rows], device=device).expand_as(centres)
    return torch.cat([centres, sides], -1)
