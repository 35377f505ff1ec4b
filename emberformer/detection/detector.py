"""The detector: feature pyramid, proposals, decoder; objects as boxes from cached features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from emberformer.detection.decoder import Decoder, lw_detr_config
from emberformer.detection.losses import DetectionLoss, Targets, patch_cross_entropy
from emberformer.detection.pyramid import FeatureMap, Pyramid
from emberformer.detection.queries import LearnedPlaces, Predictions, Proposals, Queries
from emberformer.detection.refinement import BoxRefinement
from emberformer.detection_settings import DetectionSettings


@dataclass(frozen=True)
class Detected:
    """What the detector says of some windows.

    Args:
        layers: what each decoder layer tells.
        further: what else tells boxes, by name: `proposals`, `refined`.
        patches: logits that a patch's centre is in an object; None: not told.
        cells: the map that was looked at.
        loss: where there are targets.
        loss_dict: its terms.
    """

    layers: list[Predictions]
    further: dict[str, Predictions]
    patches: Float[Tensor, "B K Gy Gx"] | None
    cells: FeatureMap
    loss: Float[Tensor, ""] | None = None
    loss_dict: dict[str, Tensor] | None = None

    @property
    def last(self) -> Predictions:
        """What is said in the end: the refined boxes, where there are any."""
        return self.further.get("refined", self.layers[-1])

    @property
    def logits(self) -> Float[Tensor, "B Q K"]:
        """Of each category."""
        return self.last.logits

    @property
    def pred_boxes(self) -> Float[Tensor, "B Q 4"]:
        """Centre and sides as shares of the window's."""
        return self.last.boxes


class FireDetector(nn.Module):
    """LW-DETR on cached features in place of its backbone.

    In training all groups of queries are asked, each matched for itself; otherwise the first one.

    Args:
        of: its settings.
        channels: numbers that a patch has.
        categories: number of them.
    """

    def __init__(self, of: DetectionSettings, channels: int, categories: int):
        super().__init__()
        config = lw_detr_config(of)
        self.of = of
        self.queries = of.queries  # that are asked; a curriculum begins with fewer
        self.pyramid = Pyramid(channels, of, config)
        levels = len(of.scales) if of.level_heads else 1
        self.starts = nn.ModuleList(
            Proposals(of.d_model, categories, of.queries, levels)
            if of.two_stage
            else LearnedPlaces(of.d_model, of.queries)
            for _ in range(of.groups)
        )
        self.decoder = Decoder(of, config, categories)
        self.refinement = BoxRefinement(of.d_model) if of.refinement else None
        self.patches = nn.Linear(of.d_model, categories) if of.loss.patches else None
        self.loss = DetectionLoss(of.loss, of.groups)

    def forward(
        self,
        features: Float[Tensor, "B C Gy Gx"],
        valid: Bool[Tensor, "B Gy Gx"],
        targets: Targets | None = None,
    ) -> Detected:
        """What all layers say, and the loss where there are targets.

        Args:
            features: of the patches.
            valid: patches that are no padding.
            targets: the objects.
        """
        cells = self.pyramid(features, valid)
        queries, proposals = self.begin(cells, self.queries)
        layers = []
        for number in range(len(self.decoder)):
            queries, told = self.decoder(number, cells, queries)
            layers.append(told)
        further = {} if proposals is None else {"proposals": proposals}
        if self.refinement is not None:
            further["refined"] = self.refined(cells, queries, layers[-1])
        patches = self._patches(cells, features.shape[2:])
        said = Detected(layers, further, patches, cells)
        return said if targets is None else self._with_loss(said, valid, targets)

    def begin(self, cells: FeatureMap, queries: int) -> tuple[Queries, Predictions | None]:
        """Queries of all groups in training, else of the first, and the proposals that they are."""
        found = [start(cells, queries) for start in (self.starts if self.training else self.starts[:1])]
        joined = Queries(*(torch.cat([getattr(q, part) for q, _ in found], 1) for part in Queries.__annotations__))
        if found[0][1] is None:
            return joined, None
        return joined, Predictions(*(torch.cat([getattr(p, k) for _, p in found], 1) for k in ("logits", "boxes")))

    def refined(self, cells: FeatureMap, queries: Queries, told: Predictions) -> Predictions:
        """Boxes after one more step on the finest level."""
        assert self.refinement is not None
        finest = cells.of(max(range(len(cells.shapes)), key=lambda n: cells.shapes[n]))
        return Predictions(told.logits, self.refinement(finest, queries.hidden, told.boxes))

    def _patches(self, cells: FeatureMap, grid: torch.Size) -> Tensor | None:
        if self.patches is None:
            return None
        level = cells.of(min(range(len(cells.shapes)), key=lambda n: abs(cells.shapes[n][0] - grid[0])))
        level = nn.functional.interpolate(level, grid) if level.shape[2:] != grid else level
        return self.patches(level.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).float()

    def _with_loss(self, said: Detected, valid: Tensor, targets: Targets) -> Detected:
        loss, terms = self.loss(said.layers, said.further, targets)
        if said.patches is not None:
            terms["patches"] = patch_cross_entropy(said.patches, valid, targets)
            loss = loss + self.of.loss.patches * terms["patches"]
        return Detected(said.layers, said.further, said.patches, said.cells, loss, terms)
