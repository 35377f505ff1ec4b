"""Windows mixed on the grid of patches, with their objects.

MixUp (arXiv:1710.09412) adds two windows by shares; the objects of both stay, each with its window's share as weight.
CutMix (arXiv:1905.04899) puts a rectangle of another window's patches at the same place. An object keeps the part that
is still to be seen: its box is cut to it, and its weight is the part's share of the object. Nothing moves, so patches
and boxes keep fitting. A patch's features know of the patches around it: what is mixed is less clear-cut than pixels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Beta

from emberformer.detection.samples import DetectionBatch
from emberformer.detection_settings import MixingSettings

Rectangle = tuple[int, int, int, int]  # first row, row after the last, first column, column after the last
Told = tuple[Tensor, Tensor, Tensor]  # boxes [n 4], labels [n] and weights [n]

EDGE = 1e-6  # of a window: closer lines are one line


def mixed(batch: DetectionBatch, of: MixingSettings) -> DetectionBatch:
    """The batch with some of its windows mixed with the next one; chance is torch's."""
    if not (of.mixup or of.cutmix) or len(batch) < 2:
        return batch
    features, valid = batch.features.clone(), batch.valid.clone()
    boxes, labels, weights = list(batch.boxes), list(batch.labels), list(batch.weights)
    for n, drawn in enumerate(torch.rand(len(batch)).tolist()):
        other = (n + 1) % len(batch)
        if drawn < of.mixup:
            share = max(one := float(Beta(of.alpha, of.alpha).sample()), 1 - one)
            features[n] = share * batch.features[n] + (1 - share) * batch.features[other]
            valid[n] = batch.valid[n] | batch.valid[other]
            told = mixed_up(_told(batch, n), _told(batch, other), share)
        elif drawn < of.mixup + of.cutmix:
            cut = rectangle(features.shape[2], features.shape[3])
            place = (slice(cut[0], cut[1]), slice(cut[2], cut[3]))
            features[n][:, *place] = batch.features[other][:, *place]
            valid[n][place] = batch.valid[other][place]
            told = cut_and_mixed(
                _told(batch, n), _told(batch, other), cut, (valid.shape[1], valid.shape[2]), of.visible
            )
        else:
            continue
        boxes[n], labels[n], weights[n] = told
    return DetectionBatch(features, valid, boxes, labels, weights, batch.index)


def _told(batch: DetectionBatch, number: int) -> Told:
    return batch.boxes[number], batch.labels[number], batch.weights[number]


def rectangle(rows: int, columns: int) -> Rectangle:
    """A rectangle of patches, a quarter to three quarters of the grid long on each side, anywhere on it."""
    found: list[int] = []
    for number in (rows, columns):
        length = max(1, round(number * float(torch.empty(1).uniform_(0.25, 0.75))))
        first = int(torch.randint(number - length + 1, (1,)))
        found += [first, first + length]
    return found[0], found[1], found[2], found[3]


def mixed_up(first: Told, second: Told, share: float) -> Told:
    """Objects of both windows, their weights times the share of their window."""
    return (
        torch.cat([first[0], second[0]]),
        torch.cat([first[1], second[1]]),
        torch.cat([share * first[2], (1 - share) * second[2]]),
    )


def cut_and_mixed(first: Told, second: Told, cut: Rectangle, grid: tuple[int, int], visible: float) -> Told:
    """Objects of the first window outside a rectangle of patches, and of the second one inside it.

    Args:
        first: of the window that the rectangle is put into.
        second: of the window that it is from.
        cut: the rectangle.
        grid: patches of the window along y and x.
        visible: share of an object that must be left of it.
    """
    edges = torch.tensor([cut[2] / grid[1], cut[0] / grid[0], cut[3] / grid[1], cut[1] / grid[0]])
    edges = edges.to(first[0].device)
    parts = [_seen(first, edges, outside=True), _seen(second, edges, outside=False)]
    kept = [share >= visible for _, share in parts]
    return (
        torch.cat([box[keep] for (box, _), keep in zip(parts, kept, strict=True)]),
        torch.cat([told[1][keep] for told, keep in zip((first, second), kept, strict=True)]),
        torch.cat(
            [(told[2] * share)[keep] for told, (_, share), keep in zip((first, second), parts, kept, strict=True)]
        ),
    )


def _seen(told: Told, edges: Tensor, outside: bool) -> tuple[Float[Tensor, "n 4"], Float[Tensor, " n"]]:
    """Box about what is seen of each object, and the share of its area that is."""
    low, high = told[0][:, :2] - told[0][:, 2:] / 2, told[0][:, :2] + told[0][:, 2:] / 2
    inner_low, inner_high = torch.maximum(low, edges[:2]), torch.minimum(high, edges[2:])
    area = (high - low).prod(1).clamp(min=1e-12)
    share = (inner_high - inner_low).clamp(min=0).prod(1) / area
    if not outside:
        return _box(inner_low, inner_high), share
    # Only where the rectangle covers a whole side does the box about the rest become smaller. A side that ends at the
    # rectangle's edge is covered, whatever the rounding of its middle and length says.
    from_edge, to_edge = edges[:2] - EDGE, edges[2:] + EDGE
    for axis, across in ((0, 1), (1, 0)):
        covered = (from_edge[across] <= low[:, across]) & (high[:, across] <= to_edge[across])
        from_low = covered & (from_edge[axis] <= low[:, axis]) & (to_edge[axis] < high[:, axis])
        from_high = covered & (high[:, axis] <= to_edge[axis]) & (low[:, axis] < from_edge[axis])
        low, high = low.clone(), high.clone()
        low[:, axis] = torch.where(from_low, torch.maximum(low[:, axis], edges[axis + 2]), low[:, axis])
        high[:, axis] = torch.where(from_high, torch.minimum(high[:, axis], edges[axis]), high[:, axis])
    return _box(low, high), 1 - share


def _box(low: Tensor, high: Tensor) -> Float[Tensor, "n 4"]:
    return torch.cat([(low + high) / 2, (high - low).clamp(min=0)], 1)
