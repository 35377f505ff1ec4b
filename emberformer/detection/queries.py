"""Where queries begin: at the best proposals of the feature map, or at learned places."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.models.lw_detr.modeling_lw_detr import LwDetrMLPPredictionHead, refine_bboxes

from emberformer.detection.pyramid import FeatureMap

RARE = 0.01  # probability of an object that an untrained head tells
NEVER = -20.0  # logit of what cannot be an object


@dataclass(frozen=True)
class Predictions:
    """What is told of objects, by queries or by proposals.

    Args:
        logits: of each category.
        boxes: centre and sides as shares of the window's.
    """

    logits: Float[Tensor, "B Q K"]
    boxes: Float[Tensor, "B Q 4"]

    @property
    def scores(self) -> Float[Tensor, "B Q"]:
        """Of the most likely category."""
        return self.logits.sigmoid().amax(-1)


@dataclass(frozen=True)
class Queries:
    """Queries between two layers, those of all groups beside each other.

    Args:
        hidden: what they know.
        boxes: where they are; no gradient passes.
        level: of the proposals that they began at.
        real: whether they began on a real cell.
    """

    hidden: Float[Tensor, "B Q d"]
    boxes: Float[Tensor, "B Q 4"]
    level: Int[Tensor, "B Q"]
    real: Bool[Tensor, "B Q"]

    def pick(self, places: Int[Tensor, "B k"]) -> Queries:
        """Some of each window's queries."""
        return Queries(*(picked(of, places) for of in (self.hidden, self.boxes, self.level, self.real)))

    def rows(self, chosen: Tensor) -> Queries:
        """Those of some windows."""
        return Queries(self.hidden[chosen], self.boxes[chosen], self.level[chosen], self.real[chosen])


class Heads(nn.Module):
    """What a query tells: its categories and how its box moves; an own pair of heads for each level, or one for all.

    Args:
        d_model: width of the queries.
        categories: number of them.
        levels: number of pairs.
    """

    def __init__(self, d_model: int, categories: int, levels: int = 1):
        super().__init__()
        self.category = nn.ModuleList(nn.Linear(d_model, categories) for _ in range(levels))
        self.box = nn.ModuleList(LwDetrMLPPredictionHead(d_model, d_model, 4, 3) for _ in range(levels))
        for category, box in zip(self.category, self.box, strict=True):
            assert isinstance(category, nn.Linear)
            nn.init.constant_(category.bias, math.log(RARE / (1 - RARE)))
            assert isinstance(box, LwDetrMLPPredictionHead)
            for p in box.layers[-1].parameters():
                nn.init.zeros_(p)

    def forward(self, hidden: Float[Tensor, "B Q d"], boxes: Float[Tensor, "B Q 4"], level: Tensor) -> Predictions:
        """Categories, and the boxes moved.

        Args:
            hidden: what the queries know.
            boxes: where they are.
            level: [B Q] of each; only looked at where there are several pairs.
        """
        return Predictions(self.logits(hidden, level), refine_bboxes(boxes, _told(self.box, hidden, level)))

    def logits(self, hidden: Float[Tensor, "B Q d"], level: Tensor) -> Float[Tensor, "B Q K"]:
        """Categories alone."""
        return _told(self.category, hidden, level)


def _told(heads: nn.ModuleList, hidden: Tensor, level: Tensor) -> Tensor:
    """What the head of its own level tells of each query, float32."""
    told = [head(hidden).float() for head in heads]
    if len(told) == 1:
        return told[0]
    own = level[..., None, None].expand(-1, -1, 1, told[0].shape[-1])
    return torch.stack(told, 2).gather(2, own)[:, :, 0]


class Proposals(nn.Module):
    """Every cell proposes an object; the best begin as queries of one group, with its learned content.

    Args:
        d_model: width of the cells.
        categories: number of them.
        queries: of the group at most.
        levels: of the pyramid, where heads are their own.
    """

    def __init__(self, d_model: int, categories: int, queries: int, levels: int = 1):
        super().__init__()
        self.content = nn.Parameter(torch.randn(queries, d_model) * 0.02)
        self.project = nn.Sequential(nn.Linear(d_model, d_model), nn.LayerNorm(d_model))
        self.heads = Heads(d_model, categories, levels)

    def forward(self, cells: FeatureMap, queries: int) -> tuple[Queries, Predictions]:
        """The queries, best proposal first, and what these proposals tell; padding proposes nothing."""
        windows, number = len(cells.cells), min(queries, cells.cells.shape[1])
        level, anchors = cells.level.expand(windows, -1), cells.anchors.expand(windows, -1, -1)
        hidden = self.project(cells.cells)
        logits = self.heads.logits(hidden, level).masked_fill(~cells.real[..., None], NEVER)
        best = logits.amax(-1).topk(number, 1).indices
        level, hidden, real = picked(level, best), picked(hidden, best), picked(cells.real, best)
        told = self.heads(hidden, picked(anchors, best), level)
        told = Predictions(told.logits.masked_fill(~real[..., None], NEVER), told.boxes)
        return Queries(self.content[:number].expand(windows, -1, -1), told.boxes.detach(), level, real), told


class LearnedPlaces(nn.Module):
    """Queries of one group that begin at learned boxes, whatever the window.

    Args:
        d_model: width of the queries.
        queries: of the group at most.
    """

    def __init__(self, d_model: int, queries: int):
        super().__init__()
        self.content = nn.Parameter(torch.randn(queries, d_model) * 0.02)
        self.places = nn.Parameter(torch.cat([torch.randn(queries, 2), torch.randn(queries, 2) - 1.5], 1))

    def forward(self, cells: FeatureMap, queries: int) -> tuple[Queries, None]:
        """The first queries; there are no proposals."""
        windows = len(cells.cells)
        boxes = self.places[:queries].sigmoid().expand(windows, -1, -1)
        there = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
        return Queries(self.content[:queries].expand(windows, -1, -1), boxes, there.long() - 1, there), None


def picked(of: Tensor, places: Int[Tensor, "B k"]) -> Tensor:
    """Entries of the second axis, other ones for each window."""
    index = places.reshape(*places.shape, *[1] * (of.ndim - 2)).expand(*places.shape, *of.shape[2:])
    return of.gather(1, index)
