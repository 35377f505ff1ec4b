"""Learning from a trained detector on the same features: from its feature map, and from what it detects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from emberformer.detection.checkpoint import load_detector
from emberformer.detection.detector import Detected, FireDetector
from emberformer.detection.losses import Targets
from emberformer.detection.samples import DetectionBatch
from emberformer.detection_settings import DetectionDistillationSettings
from emberformer.errors import InputError


class Teaching(nn.Module):
    """Loss of a student against its teacher; the linear layer between their maps is learned beside the student.

    Args:
        teacher: in evaluation mode; it is not trained.
        student: that learns.
        of: weights.
    """

    def __init__(self, teacher: FireDetector, student: FireDetector, of: DetectionDistillationSettings):
        super().__init__()
        self.of = of
        self.teacher = [teacher.requires_grad_(False)]  # in a list, so that no checkpoint holds it
        self.to_teacher = nn.Linear(student.of.d_model, teacher.of.d_model)

    def forward(self, batch: DetectionBatch, said: Detected, student: FireDetector) -> dict[str, Tensor]:
        """The weighted terms.

        Features: squared error of the map's cells that hold patches. Predictions: the student's loss with the
        teacher's detections as objects, each with its score as weight.
        """
        teacher = self.teacher[0].to(batch.features.device)
        with torch.no_grad():
            taught = teacher(batch.features, batch.valid)
        error = (self.to_teacher(said.cells.cells) - taught.cells.cells).square().mean(-1)
        features = error[said.cells.real].mean()
        predictions, _ = student.loss(said.layers, {}, self.detections(taught))
        return {"taught_features": self.of.features * features, "taught_boxes": self.of.predictions * predictions}

    def detections(self, taught: Detected) -> Targets:
        """What the teacher is sure enough of."""
        scores, labels = taught.logits.sigmoid().max(-1)
        sure = scores >= self.of.score
        each = list(zip(sure, taught.pred_boxes, labels, scores, strict=True))
        return Targets([b[s] for s, b, _, _ in each], [n[s] for s, _, n, _ in each], [w[s] for s, _, _, w in each])


def load_teacher(
    path: Path, student: FireDetector, channels: int, categories: tuple[str, ...], features: Mapping[str, str]
) -> FireDetector:
    """The detector of a checkpoint, which must see the same features and tell the same categories.

    Args:
        path: of the checkpoint.
        student: that will learn from it.
        channels: numbers that a patch has.
        categories: names of the labels.
        features: name of the feature store of each data set; the teacher's data sets may be others.

    Raises:
        InputError: it does not, or its pyramid has other levels.
    """
    told = load_detector(path)
    for name, found, wanted in (
        ("features", sorted(set(told.about["features"].values())), sorted(set(features.values()))),
        ("channels", told.channels, channels),
        ("categories", told.categories, categories),
        ("scales", told.detector.of.scales, student.of.scales),
    ):
        if found != wanted:
            raise InputError(
                path, f"{name} {found}", f"{wanted}, as of what learns from it", "name a teacher of the same features"
            )
    return told.detector
