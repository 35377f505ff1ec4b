"""One more step for a box: what the finest level shows inside it says how it moves."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.lw_detr.modeling_lw_detr import LwDetrMLPPredictionHead, refine_bboxes

POINTS = 5  # on each side of the grid of points in a box
AROUND = 1.25  # side of that grid, in sides of the box: the edge is seen from both sides


class BoxRefinement(nn.Module):
    """Moves boxes by a grid of points on a map, and by what their queries know.

    Args:
        d_model: width of the map and of the queries.
    """

    def __init__(self, d_model: int):
        super().__init__()
        self.reduce = nn.Conv2d(d_model, d_model // 4, 1)
        self.move = LwDetrMLPPredictionHead(d_model + POINTS**2 * (d_model // 4), d_model, 4, 3)
        for p in self.move.layers[-1].parameters():
            nn.init.zeros_(p)

    def forward(
        self, finest: Float[Tensor, "B d h w"], hidden: Float[Tensor, "B Q d"], boxes: Float[Tensor, "B Q 4"]
    ) -> Float[Tensor, "B Q 4"]:
        """Boxes after the step; those before it get no gradient.

        Args:
            finest: level of the pyramid.
            hidden: what the queries know.
            boxes: centre and sides as shares of the window's.
        """
        boxes = boxes.detach()
        seen = sampled(self.reduce(finest), boxes)
        move = self.move(torch.cat([hidden, seen.transpose(1, 2).flatten(2)], -1)).float()
        return refine_bboxes(boxes, move)


def sampled(level: Float[Tensor, "B c h w"], boxes: Float[Tensor, "B Q 4"]) -> Float[Tensor, "B c Q P"]:
    """A level at a grid of points over each box, bilinear."""
    steps = torch.linspace(-AROUND / 2, AROUND / 2, POINTS, device=boxes.device)
    offsets = torch.stack([steps.repeat(POINTS), steps.repeat_interleave(POINTS)], -1)
    points = boxes[:, :, None, :2] + offsets * boxes[:, :, None, 2:]
    return functional.grid_sample(level.float(), 2 * points - 1, align_corners=False)
