"""Loss of a detector: queries are matched with objects, then told their category, their place and how sure to be.

The matching is the least cost (Hungarian), for every window and group of queries by itself (arXiv:2005.12872). The
classification aims at a score that says how well the box fits: p^a IoU^(1-a) of the matched query, and 0 of all others,
which count by p^2 (IoU-aware cross-entropy of LW-DETR, arXiv:2406.03459). Boxes: L1 of centre and sides, and 1 - GIoU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers.loss.loss_for_object_detection import box_iou, generalized_box_iou
from transformers.loss.loss_lw_detr import LwDetrHungarianMatcher

from emberformer.detection.queries import Predictions
from emberformer.detection.samples import DetectionBatch
from emberformer.detection_settings import DetectionLossSettings
from emberformer.errors import InputError

Match = list[tuple[Tensor, Tensor]]  # of each window: queries, and the objects that they are matched with
LEAST_TARGET = 0.01  # score that a matched query aims at, at least


@dataclass(frozen=True)
class Targets:
    """Objects of some windows.

    Args:
        boxes: centre and sides as shares of the window's.
        labels: categories.
        weights: that they count with.
    """

    boxes: Sequence[Float[Tensor, "_ 4"]]
    labels: Sequence[Int[Tensor, " _"]]
    weights: Sequence[Float[Tensor, " _"]]

    @classmethod
    def of(cls, batch: DetectionBatch) -> Targets:
        """Those of a batch."""
        return cls(batch.boxes, batch.labels, batch.weights)

    @property
    def total(self) -> Tensor:
        """Sum of all weights, at least 1."""
        return torch.cat(list(self.weights)).sum().clamp(min=1)


class DetectionLoss(nn.Module):
    """Sum of the terms over the layers that have a loss.

    Args:
        of: weights.
        groups: of queries while training.
    """

    def __init__(self, of: DetectionLossSettings, groups: int):
        super().__init__()
        self.of, self.groups = of, groups
        self.simple_matching = False

    def forward(
        self, layers: Sequence[Predictions], further: dict[str, Predictions], targets: Targets
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and the terms of the last layer and of what is further told, by their name.

        Args:
            layers: what the decoder's layers tell.
            further: what else tells boxes: proposals, the refined boxes.
            targets: the objects.
        """
        told = {"": layers[-1]} | {f"_{name}": one for name, one in further.items()}
        if self.of.auxiliary:
            told |= {f"_{number}": one for number, one in enumerate(layers[:-1])}
        found = {name: self.terms(one, targets) for name, one in told.items()}
        terms = {f"{term}{name}": value for name, one in found.items() for term, value in one.items()}
        weights = {"classification": self.of.classification, "l1": self.of.l1, "giou": self.of.giou}
        loss = torch.stack([weights[term] * value for one in found.values() for term, value in one.items()]).sum()
        shown = {key: value.detach() for key, value in terms.items() if not key.rpartition("_")[2].isdigit()}
        return loss, shown

    def match(self, told: Predictions, targets: Targets) -> Match:
        """Queries and objects of least cost."""
        if not torch.isfinite(told.boxes).all() or not torch.isfinite(told.logits).all():
            raise InputError(
                "detection", "boxes or scores that are no numbers", "numbers", "lower detection.learning_rate"
            )
        if not sum(map(len, targets.labels)):
            nothing = torch.zeros(0, dtype=torch.int64)
            return [(nothing, nothing)] * len(told.boxes)
        giou = 0.0 if self.simple_matching else self.of.giou_cost
        matcher = LwDetrHungarianMatcher(self.of.class_cost, self.of.l1_cost, giou)
        objects = [{"class_labels": n, "boxes": b} for n, b in zip(targets.labels, targets.boxes, strict=True)]
        groups = self.groups if self.training else 1
        return matcher({"logits": told.logits, "pred_boxes": told.boxes}, objects, groups)

    def terms(self, told: Predictions, targets: Targets) -> dict[str, Tensor]:
        """Classification, L1 and GIoU of one layer, each by the sum of the objects' weights."""
        match, device = self.match(told, targets), told.boxes.device
        window = torch.cat([torch.full_like(q, n) for n, (q, _) in enumerate(match)]).to(device)
        query = torch.cat([q for q, _ in match]).to(device)
        boxes, labels, weights = (
            torch.cat([one[o.to(device)] for one, (_, o) in zip(of, match, strict=True)])
            for of in (targets.boxes, targets.labels, targets.weights)
        )
        groups = self.groups if self.training else 1
        number = groups * targets.total
        told_boxes = told.boxes[window, query]
        corners, wanted = corners_of(told_boxes), corners_of(boxes)
        l1 = (told_boxes - boxes).abs().sum(1)
        giou = 1 - generalized_box_iou(corners, wanted).diagonal()
        fit = box_iou(corners.detach(), wanted)[0].diagonal()
        classes = iou_aware_cross_entropy(told.logits, (window, query, labels), fit, weights, self.of.iou_alpha)
        return {
            "classification": classes / number,
            "l1": (weights * l1).sum() / number,
            "giou": (weights * giou).sum() / number,
        }


def iou_aware_cross_entropy(
    logits: Float[Tensor, "B Q K"],
    matched: tuple[Tensor, Tensor, Tensor],
    fit: Float[Tensor, " n"],
    weights: Float[Tensor, " n"],
    alpha: float,
) -> Float[Tensor, ""]:
    """Sum over queries and categories of -t log p - (1 - t) log(1 - p), t = p^alpha fit^(1 - alpha), where a query is
    matched, and of -p^2 log(1 - p) elsewhere. An object of weight w is, for its query, one with w and none with 1 - w.

    Args:
        logits: of all queries.
        matched: windows, queries and categories [n] of the matches.
        fit: IoU of the matches.
        weights: of the matched objects.
        alpha: see above.
    """
    p = logits.sigmoid()
    hits, nothing = torch.zeros_like(logits), p.square()
    aim = (p[matched].detach().pow(alpha) * fit.pow(1 - alpha)).clamp(min=LEAST_TARGET)
    hits[matched] = weights * aim
    nothing = nothing.index_put(matched, weights * (1 - aim) + (1 - weights) * p[matched].square())
    return -(hits * functional.logsigmoid(logits) + nothing * functional.logsigmoid(-logits)).sum()


def inside(
    boxes: Float[Tensor, "n 4"], labels: Int[Tensor, " n"], grid: tuple[int, int], categories: int
) -> Float[Tensor, "K Gy Gx"]:
    """1 where a patch's centre is in a box of the category, else 0."""
    y = (torch.arange(grid[0], device=boxes.device) + 0.5) / grid[0]
    x = (torch.arange(grid[1], device=boxes.device) + 0.5) / grid[1]
    across = (x[None] - boxes[:, :1]).abs() * 2 < boxes[:, 2:3]
    along = (y[None] - boxes[:, 1:2]).abs() * 2 < boxes[:, 3:]
    found = torch.zeros(categories, *grid, device=boxes.device)
    return found.index_put((labels,), (along[:, :, None] & across[:, None]).float(), accumulate=True).clamp(max=1)


def patch_cross_entropy(
    logits: Float[Tensor, "B K Gy Gx"], valid: Bool[Tensor, "B Gy Gx"], targets: Targets
) -> Float[Tensor, ""]:
    """Cross-entropy of whether a patch's centre is in a box of each category, the mean over valid patches."""
    size = (logits.shape[2], logits.shape[3])
    wanted = torch.stack(
        [inside(b, n, size, logits.shape[1]) for b, n in zip(targets.boxes, targets.labels, strict=True)]
    )
    each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1)
    return each[valid].mean()


def corners_of(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Left, top, right and bottom of boxes told by centre and sides."""
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
