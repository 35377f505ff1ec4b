"""How a trained detector is asked: all of it, or less where less will do.

Fewer queries by the proposals' scores, layers that a window can do without, queries that are dropped between layers,
and values that are computed for all layers at once: each is an option (`AskingSettings`), and none lets a window depend
on the batch that it is in.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional
from transformers.loss.loss_for_object_detection import box_iou

from emberformer.detection.decoder import DeformableLayers
from emberformer.detection.detector import FireDetector
from emberformer.detection.losses import corners_of
from emberformer.detection.pyramid import FeatureMap
from emberformer.detection.queries import Predictions, Queries, picked
from emberformer.detection_settings import AskingSettings

STEP = 5  # adaptive numbers of queries are rounded up to its multiples, so that windows pass together


@dataclass(frozen=True)
class Answer:
    """Objects that were found in one window, the surest first.

    Args:
        boxes: centre and sides as shares of the window's.
        labels: categories.
        scores: 0 to 1.
    """

    boxes: Float[Tensor, "n 4"]
    labels: Int[Tensor, " n"]
    scores: Float[Tensor, " n"]


class Asking:
    """A trained detector and how it is asked.

    Args:
        detector: in evaluation mode.
        of: how.
    """

    def __init__(self, detector: FireDetector, of: AskingSettings):
        self.detector, self.of = detector, of
        self.decoder = detector.decoder
        self.values = None
        if of.values_at_once:
            self.decoder = copy.deepcopy(detector.decoder)
            self.values = ValuesAtOnce(self.decoder.layers)

    @torch.inference_mode()
    def __call__(self, features: Float[Tensor, "B C Gy Gx"], valid: Bool[Tensor, "B Gy Gx"]) -> list[Answer]:
        """Objects of each window."""
        return [self.objects(*one) for one in self.predictions(features, valid)]

    def predictions(self, features: Tensor, valid: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Logits [q K] and boxes [q 4] of the queries that each window was left with."""
        cells = self.detector.pyramid(features, valid)
        limit = min(self.of.queries or self.detector.of.queries, self.detector.of.queries)
        queries, proposals = self.detector.begin(cells, limit)
        if self.of.adaptive is None or proposals is None:
            return self._decode(cells, queries)
        wanted = (self.of.adaptive * proposals.scores.sum(1) / STEP).ceil().long() * STEP
        counts = wanted.clamp(STEP, limit)
        found: list[tuple[Tensor, Tensor]] = [(cells.cells, cells.cells)] * len(counts)
        for count in counts.unique().tolist():
            rows = (counts == count).nonzero()[:, 0]
            first = torch.arange(count, device=rows.device).expand(len(rows), -1)
            for row, one in zip(
                rows.tolist(), self._decode(cells.rows(rows), queries.rows(rows).pick(first)), strict=True
            ):
                found[row] = one
        return found

    def _decode(self, cells: FeatureMap, queries: Queries) -> list[tuple[Tensor, Tensor]]:
        """Pass the layers; windows that have settled leave."""
        found: list[tuple[Tensor, Tensor]] = [(cells.cells, cells.cells)] * len(cells.cells)
        window = torch.arange(len(found), device=cells.cells.device)
        values = None if self.values is None else self.values(cells)
        last = min(self.of.layers or len(self.decoder), len(self.decoder)) - 1
        before: Predictions | None = None
        for number in range(last + 1):
            queries, told = self.decoder(number, cells, queries, None if values is None else values[number])
            done = torch.full_like(window, number == last, dtype=torch.bool)
            if self.of.settled is not None and before is not None:
                done |= change(before, told) <= self.of.settled
            said = told
            if number + 1 == len(self.decoder) and self.detector.refinement is not None:
                said = self.detector.refined(cells, queries, told)
            for row in done.nonzero()[:, 0].tolist():
                found[int(window[row])] = (said.logits[row], said.boxes[row])
            if done.all():
                break
            if done.any():
                rows = (~done).nonzero()[:, 0]
                window, cells, queries = window[rows], cells.rows(rows), queries.rows(rows)
                told = Predictions(told.logits[rows], told.boxes[rows])
                values = None if values is None else [one[rows] for one in values]
            queries, before = self._kept(queries, told)
        return found

    def _kept(self, queries: Queries, told: Predictions) -> tuple[Queries, Predictions]:
        """The best share of the queries."""
        if self.of.keep == 1:
            return queries, told
        best = told.scores.topk(max(1, round(self.of.keep * queries.hidden.shape[1])), 1).indices
        return queries.pick(best), Predictions(picked(told.logits, best), picked(told.boxes, best))

    def objects(self, logits: Float[Tensor, "q K"], boxes: Float[Tensor, "q 4"]) -> Answer:
        """What is told of one window: every category of every query is an object of its own score."""
        scores, place = logits.sigmoid().flatten().sort(descending=True)
        kept = place[scores >= self.of.minimum_score][: self.of.most]
        return Answer(boxes[kept // logits.shape[1]], kept % logits.shape[1], scores[: len(kept)])


def change(before: Predictions, after: Predictions) -> Float[Tensor, " B"]:
    """The most that a score, or 1 - IoU of a box times its score, changes in a layer; of each window."""
    score = (after.logits.sigmoid() - before.logits.sigmoid()).abs().amax((1, 2))
    pairs = zip(before.boxes, after.boxes, strict=True)
    fit = torch.stack([box_iou(corners_of(a), corners_of(b))[0].diagonal() for a, b in pairs])
    return torch.maximum(score, ((1 - fit) * after.scores).amax(1))


class ValuesAtOnce:
    """Values of the map for all layers in one product; it takes the layers' own projections away.

    Args:
        layers: of a decoder that is this one's own.
    """

    def __init__(self, layers: nn.Module):
        assert isinstance(layers, DeformableLayers), "settings see to it"
        projections = [layer.cross_attn.value_proj for layer in layers.layers]  # type: ignore[union-attr]
        self.weight = torch.cat([one.weight for one in projections])  # type: ignore[arg-type]
        self.bias = torch.cat([one.bias for one in projections])  # type: ignore[arg-type]
        self.number = len(projections)
        for layer in layers.layers:
            layer.cross_attn.value_proj = nn.Identity()  # type: ignore[union-attr]

    def __call__(self, cells: FeatureMap) -> list[Float[Tensor, "B S d"]]:
        """Of every layer."""
        return list(functional.linear(cells.cells, self.weight, self.bias).chunk(self.number, -1))
