"""The last blocks of the backbone train with the detector, by adapters.

The features of a patch are made anew from what the frozen blocks say, and rounded as the store rounds them: before its
first step the detector is told what the store tells. Where that comes from is the subclasses' own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from emberformer.detection.samples import DetectionBatch
from emberformer.detection_settings import TailSettings
from emberformer.errors import InputError
from emberformer.feature_settings import FeatureSettings
from emberformer.finetuned_checkpoint import untuned
from emberformer.model.tuned import Encoder
from emberformer.training_settings import FinetuningSettings

ENCODER: Encoder = "fire"  # whose adapters they are: the one that sees what is looked for


class Tail(nn.Module, ABC):
    """The backbone with adapters in its last blocks.

    Args:
        features: that name the backbone.
        of: blocks and adapters.
        weights_sha256: of the backbone that made the store.
        where: file that the hash stands in.

    Raises:
        InputError: other weights, or blocks or layers to adapt that do not exist.
    """

    def __init__(self, features: FeatureSettings, of: TailSettings, weights_sha256: str, where: Path):
        super().__init__()
        self.weights_sha256 = weights_sha256
        self.backbone = untuned(features, weights_sha256, where)
        self.backbone.begin("detection", FinetuningSettings(blocks=of.blocks, lora=of.lora))
        block = self.backbone.first_block(ENCODER)
        assert block is not None, "a tail is of some last blocks"
        if block < 0:
            there = of.blocks + block
            raise InputError("detection.tail.blocks", str(of.blocks), f"at most the backbone's {there}", "name fewer")
        self.block = block  # the last one that is frozen

    @abstractmethod
    def forward(self, batch: DetectionBatch) -> Float[Tensor, "B C Gy Gx"]:
        """Features with the tokens of the tuned backbone."""

    @abstractmethod
    def told(self) -> dict[str, Any]:
        """What a checkpoint says of it, beside what was tuned."""
