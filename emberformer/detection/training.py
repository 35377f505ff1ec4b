"""Training of a detector from cached features, in Lightning."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import lightning
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from emberformer.detection.asking import Asking
from emberformer.detection.boxes import to_pixels
from emberformer.detection.checkpoint import detection_settings, save_detector
from emberformer.detection.coco_metrics import coco_scores
from emberformer.detection.detector import FireDetector
from emberformer.detection.distilling import Teaching, load_teacher
from emberformer.detection.found import Detections, Objects
from emberformer.detection.loading import MixedWindows, WindowBatches, grown
from emberformer.detection.losses import Targets
from emberformer.detection.mixing import mixed
from emberformer.detection.samples import DetectionBatch, DetectionSamples
from emberformer.detection.sources import open_source
from emberformer.detection.tail import Tail
from emberformer.detection_settings import DetectionSettings
from emberformer.errors import InputError
from emberformer.finetuning import ORTHOGONAL, AdaptiveRanks
from emberformer.layout import Layout
from emberformer.model.lora import apart_from_orthogonal
from emberformer.optimisation import exponential_average, warm_cosine
from emberformer.run import EachEpoch, TrainingRun, best_weights, make_trainer, part_of
from emberformer.run_logs import RunDescription, RunLogs
from emberformer.settings import Settings, expand

log = logging.getLogger(__name__)
SIDE = 100  # of a window, while training: the overlap of boxes does not ask how long a pixel is


class DetectionTraining(lightning.LightningModule):
    """Training of a detector; it is validated, and later asked, by the exponential average of its weights.

    Args:
        detector: what learns.
        total_steps: optimiser steps of the whole run, for the learning rate's course.
        categories: names of the labels.
        teaching: loss against a teacher; None: there is none.
        tail: blocks of the backbone that train too; None: it is frozen. They are not averaged.
    """

    def __init__(
        self,
        detector: FireDetector,
        total_steps: int,
        categories: Sequence[str],
        teaching: Teaching | None = None,
        tail: Tail | None = None,
    ):
        super().__init__()
        self.categories = tuple(categories)
        self.told: list[Objects] = []
        self.found: list[Detections] = []
        self.detector, self.total_steps, self.teaching, self.tail = detector, total_steps, teaching, tail
        self.average = exponential_average(detector, detector.of.average)
        self.asking = Asking(
            self.averaged, detector.of.asking.model_copy(update={"minimum_score": 0.0, "values_at_once": False})
        )

    @property
    def averaged(self) -> FireDetector:
        """The detector of the averaged weights."""
        return cast(FireDetector, self.average.module)

    def transfer_batch_to_device(self, batch: DetectionBatch, device: torch.device, dataloader_idx: int):
        """A batch is no collection that Lightning knows."""
        return batch.to(device)

    def on_train_epoch_start(self) -> None:
        """What the curriculum asks for in this epoch."""
        of = self.detector.of
        first, epochs = of.curriculum.queries or of.queries, of.epochs
        self.detector.queries = round(grown(of.curriculum, self.current_epoch, epochs, first, of.queries))
        simple = of.curriculum.simple_matching and self.current_epoch < of.curriculum.share * epochs
        self.detector.loss.simple_matching = simple

    def seen(self, batch: DetectionBatch) -> DetectionBatch:
        """The batch with the tokens of the blocks that train too."""
        return batch if self.tail is None else replace(batch, features=self.tail(batch), hidden=None, pixels=None)

    def training_step(self, batch: DetectionBatch, batch_idx: int) -> Tensor:
        batch = mixed(self.seen(batch), self.detector.of.mixing)
        said = self.detector(batch.features, batch.valid, Targets.of(batch))
        loss, terms = said.loss, dict(said.loss_dict)
        if self.teaching is not None:
            taught = self.teaching(batch, said, self.detector)
            loss, terms = loss + torch.stack(list(taught.values())).sum(), terms | taught
        if self.tail is not None and self.tail.backbone.adaptive is not None:
            loss = loss + ORTHOGONAL * apart_from_orthogonal(self.tail.backbone)
        if not torch.isfinite(loss):
            raise InputError(
                f"step {self.global_step}", f"a loss of {loss.item()}", "a number", "lower detection.learning_rate"
            )
        told = {f"train/{name}": value.detach() for name, value in terms.items()} | {"train/loss": loss.detach()}
        self.log_dict(told, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def on_before_zero_grad(self, optimizer: torch.optim.Optimizer) -> None:
        """After every step of the optimiser."""
        if self.average.n_averaged < self.global_step:
            self.average.update_parameters(self.detector)

    def validation_step(self, batch: DetectionBatch, batch_idx: int) -> None:
        detector, batch = self.averaged, self.seen(batch)
        detector.queries, detector.loss.simple_matching = detector.of.queries, False
        said = detector(batch.features, batch.valid, Targets.of(batch))
        self.log("val/loss", said.loss, prog_bar=True, batch_size=len(batch))
        for n, (boxes, labels) in enumerate(zip(batch.boxes, batch.labels, strict=True)):
            answer = self.asking.objects(said.logits[n].float(), said.pred_boxes[n].float())
            self.told.append(Objects.of(_in_pixels(boxes), labels.cpu().numpy()))
            scores = answer.scores.double().cpu().numpy()
            self.found.append(Detections(_in_pixels(answer.boxes), answer.labels.cpu().numpy(), scores))

    def on_validation_epoch_end(self) -> None:
        """COCO's average precision; 0 where no window of the validation has an object."""
        scores = coco_scores(self.told, self.found, self.categories)
        self.log("val/ap", float(np.nan_to_num(scores["AP"])), prog_bar=True)
        self.log("val/ap50", float(np.nan_to_num(scores["AP50"])))
        self.told.clear()
        self.found.clear()

    def configure_optimizers(self):
        """AdamW with a rising, then falling rate."""
        of = self.detector.of
        learned: list[nn.Module] = [self.detector, *([self.teaching] if self.teaching is not None else [])]
        weights = [p for one in learned for p in one.parameters() if p.requires_grad]
        groups: list[dict] = [{"params": weights}]
        if self.tail is not None and of.tail is not None:
            groups.append({"params": self.tail.backbone.trained, "lr": of.tail.learning_rate})
        optimizer = torch.optim.AdamW(groups, of.learning_rate, weight_decay=of.weight_decay)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": warm_cosine(optimizer, of.warmup, self.total_steps), "interval": "step"},
        }


def train_detector(
    settings: Settings, layout: Layout, seed: int, device: str = "auto", threads: int | None = None
) -> Path:
    """Train the detector of one seed on the stores of its configuration, see `fit_detector`.

    Raises:
        InputError: no detector in the configuration, stores that are not there, or as `fit_detector`.
    """
    source = open_source(layout, seed)
    samples, validation = source.training(), source.validation()
    lightning.seed_everything(seed, verbose=False)
    tail = source.begin_tail(layout, samples)
    samples, validation = (source.for_tail(one, tail) for one in (samples, validation))
    folder = layout.detector(seed)
    return fit_detector(
        settings, folder, samples, validation, source.data, source.features, seed, device, threads, tail
    )


def fit_detector(
    settings: Settings,
    folder: Path,
    training: DetectionSamples,
    validation: DetectionSamples,
    data: Sequence[str],
    features: Mapping[str, str],
    seed: int,
    device: str = "auto",
    threads: int | None = None,
    tail: Tail | None = None,
) -> Path:
    """Train a detector on samples and write its folder: `model.ckpt`, `last.ckpt`, `metrics.csv`, `config.yaml`.

    A run that was stopped goes on from `last.ckpt` if the data are still the same. The epoch of the greatest average
    precision on validation is kept.

    Args:
        settings: the whole configuration.
        folder: of the detector.
        training: windows to learn from.
        validation: windows that choose the epoch.
        data: digests of what the detector is made from.
        features: name of the feature store of each data set.
        seed: of initial weights, order and mixing.
        device: auto, cpu, cuda or cuda:N.
        threads: CPU threads; None: torch's own choice.
        tail: blocks of the backbone that train too; the samples serve what they need.

    Raises:
        InputError: no windows to train or to choose on, or a loss that is no number.
    """
    of, run = detection_settings(settings, folder), TrainingRun(folder, data)
    if run.ended:
        return run.kept()
    lightning.seed_everything(seed, verbose=False)
    trainer = make_trainer(_as_phase(settings, of), folder, device, threads, 1, watched=("val/ap", "max"))
    batches = MixedWindows(training, of.batch_size, seed, of.curriculum, of.epochs)
    watched = WindowBatches(validation, of.batch_size)
    detector = FireDetector(of, training.channels, len(training.categories))
    steps, teaching = len(batches) * of.epochs, _teaching(detector, training, of, features)
    module = DetectionTraining(detector, steps, training.categories, teaching, tail)
    if tail is not None and tail.backbone.adaptive is not None:
        trainer.callbacks.append(AdaptiveRanks(tail.backbone, steps))  # type: ignore[attr-defined]
    folder.mkdir(parents=True, exist_ok=True)
    logs = RunLogs(settings, folder, seed, "detection")
    log.info("parameters: %d", sum(p.numel() for p in detector.parameters()))
    trainer.loggers = logs.loggers(run.begin())
    trainer.callbacks += [EachEpoch(batches, seed), RunDescription(settings)]  # type: ignore[attr-defined]
    trainer.fit(module, batches, watched, ckpt_path=run.checkpoint, weights_only=False)
    state, score = best_weights(trainer)
    told = None if tail is None else {**tail.told(), "state": part_of(state, "tail.")}
    kept = part_of(state, "average.module.")
    path = save_detector(folder, kept, settings, training.channels, training.categories, features, seed, score, told)
    logs.end(trainer, path)
    run.end()
    return path


def _as_phase(settings: Settings, of: DetectionSettings) -> Settings:
    """The configuration, to train as the detector does; it never stops early."""
    own = {"epochs": of.epochs, "precision": of.precision, "gradient_clip": of.gradient_clip, "patience": of.epochs}
    return settings.model_copy(update={"training": settings.training.model_copy(update=own)})


def _teaching(
    detector: FireDetector, samples: DetectionSamples, of: DetectionSettings, features: Mapping[str, str]
) -> Teaching | None:
    if of.distillation is None:
        return None
    teacher = load_teacher(expand(of.distillation.teacher), detector, samples.channels, samples.categories, features)
    return Teaching(teacher, detector, of.distillation)


def _in_pixels(shares: Tensor) -> Float[np.ndarray, "n 4"]:
    return to_pixels(shares.double().cpu().numpy(), (SIDE, SIDE))
