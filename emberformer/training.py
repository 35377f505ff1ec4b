"""Phase 1: all but the backbone trains from cached features; the backbone is not even loaded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from emberformer.calibration import Calibration
from emberformer.checkpoint import begin_model, model_inputs, open_landscapes, save_model, trained_parent
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, Step, hidden_inputs, list_steps, whole_frames_at_once
from emberformer.errors import InputError
from emberformer.evaluate.calibration_fit import FOLDS, calibration_of_counts
from emberformer.evaluate.scores import average_precision_of_counts, f1_of_counts
from emberformer.evaluate.verification import BINS, CENTRE
from emberformer.feature_loss import NextFeatures, feature_inputs
from emberformer.features.reading import Memory
from emberformer.forecast_counts import counts_of_forecast, fire_folds
from emberformer.freezing import FrozenAtFirst
from emberformer.headwind import Slope
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.loading import BUFFERS, EpochSteps, GridBatches, Prefetched, StepBatches
from emberformer.losses import SpreadLoss, counted_pixels, loss_inputs, over_processes
from emberformer.model.decoders.pretrained import pretrained_decoders
from emberformer.model.emberformer import EmberFormer
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.optimisation import parameter_groups, warm_cosine
from emberformer.run import EachEpoch, TrainingRun, best_epoch, decided_by, make_trainer
from emberformer.run_logs import RunLogs
from emberformer.settings import Settings, TrainingSettings
from emberformer.training_settings import Phase

log = logging.getLogger(__name__)
Penalty = Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]


class SpreadTraining(lightning.LightningModule):
    """Training of a network: everything that has a gradient.

    Args:
        model: the network.
        settings: how to train it.
        total_steps: optimiser steps of the whole run, for the learning rate's course.
        slope: channels of the terrain that tell the slope, for a loss that asks for it.
        backbone_rate: learning rate of the backbone, where it trains; None: the same.
        penalty: further loss of a batch, its logits and the pixels that count.
        observed: weight of the loss against what was observed.
    """

    calibration: Tensor
    folds: Tensor | None = None  # of the validation steps' fires, see `validated_on`

    def __init__(
        self,
        model: SpreadNetwork,
        settings: TrainingSettings,
        total_steps: int,
        slope: Slope | None = None,
        backbone_rate: float | None = None,
        penalty: Penalty | None = None,
        observed: float = 1.0,
    ):
        super().__init__()
        self.loss = SpreadLoss(settings.loss, slope)
        self.model, self.settings, self.total_steps = model, settings, total_steps
        self.backbone_rate, self.penalty, self.observed = backbone_rate, penalty, observed
        self.counts = torch.zeros(FOLDS, 2, BINS, dtype=torch.int64)  # [fold, observed, logit's bin]
        self.sums = torch.zeros(self.loss.size, dtype=torch.float64)  # of `SpreadLoss`
        # A buffer, so that the checkpoint of an epoch holds the calibration that its validation gave.
        self.register_buffer("calibration", torch.tensor(Calibration(), dtype=torch.float64))

    def validated_on(self, steps: Sequence[Step]) -> None:
        """Say of which fires the validation steps are; untold, they count as one fire, which calibrates nothing."""
        self.folds = fire_folds(steps)

    def forecast(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of a batch, and the pixels that count."""
        logits = self.model(**model_inputs(self.model, batch)).float()
        return logits, counted_pixels(batch)

    def loss_of(self, batch: dict[str, torch.Tensor], logits: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
        """What a training step lowers, a penalty with it."""
        return self._lowered(batch, logits, counted)[0]

    def _lowered(
        self, batch: dict[str, torch.Tensor], logits: torch.Tensor, counted: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What a training step lowers, and of it the loss against what was observed, as validation tells it."""
        observed = self.loss.value(over_processes(self.loss.sums(logits, batch, counted)))
        loss = self.observed * observed
        return loss if self.penalty is None else loss + self.penalty(batch, logits, counted), observed.detach()

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss, observed = self._lowered(batch, *self.forecast(batch))
        self.log("train/loss", observed, prog_bar=True, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        logits, counted = self.forecast(batch)
        self.sums += self.loss.sums(logits, batch, counted).cpu()
        fold = torch.zeros_like(batch["index"]) if self.folds is None else self.folds[batch["index"].cpu()]
        self.counts += counts_of_forecast(logits, batch["target"], counted, fold.to(logits.device)).cpu()

    def on_validation_epoch_end(self) -> None:
        sums, folds = (over_processes(values.to(self.device)).cpu() for values in (self.sums, self.counts))
        counts = folds.numpy().sum(0)
        hits, false_alarms = counts[1, CENTRE:].sum(), counts[0, CENTRE:].sum()
        ap, f1 = average_precision_of_counts(counts), f1_of_counts(hits, false_alarms, counts[1].sum() - hits)
        calibration = calibration_of_counts(folds.numpy())
        self.calibration.copy_(torch.tensor(calibration))
        self.log("val/loss", self.loss.value(sums).item())
        self.log("val/new_ap", float(np.nan_to_num(ap)), prog_bar=True)
        self.log("val/new_f1", float(np.nan_to_num(f1)), prog_bar=True)
        for name, value in calibration._asdict().items():
            self.log(f"val/calibration_{name}", value)
        self.counts.zero_()
        self.sums.zero_()

    def configure_optimizers(self):
        """AdamW; every part of the network with its own rate."""
        rate, of = self.settings.learning_rate, self.settings
        rates = {
            "temporal": rate,
            "decoder": of.decoder_learning_rate or rate,
            "backbone": self.backbone_rate or rate,
        }
        groups = parameter_groups(self.model.parts(), self.model, rates)
        if isinstance(self.penalty, nn.Module):  # what is learned beside the network
            groups.append({"params": list(self.penalty.parameters()), "lr": rate, "name": "penalty"})
        optimizer = torch.optim.AdamW(groups, weight_decay=of.weight_decay)
        schedule = warm_cosine(optimizer, of.warmup, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@dataclass(frozen=True)
class Beginning:
    """All that a phase's training needs, before its first step.

    Args:
        trainer: with the callbacks of the phase.
        training: the network and its loss.
        sizes: of the data.
        landscapes: the data sets.
        batches: of training.
        validation: of validation.
        backbone: of phases 2 and 3, what the checkpoint says of it.
    """

    trainer: lightning.Trainer
    training: SpreadTraining
    sizes: Sizes
    landscapes: list[Landscape]
    batches: Prefetched
    validation: Prefetched
    backbone: dict[str, Any] | None = None


def train(
    settings: Settings,
    layout: Layout,
    seed: int,
    device: str = "auto",
    threads: int | None = None,
    devices: int = 1,
    memory: Memory = "disk",
) -> Path:
    """Train one model and write its folder: `model.ckpt`, `last.ckpt`, `metrics.csv`, `config.yaml`,
    `tensorboard`.

    A run that was stopped goes on from `last.ckpt` if the fires are still the same. The best epoch by validation
    new-fire average precision is kept.

    Args:
        settings: the whole configuration.
        layout: its paths.
        seed: of initial weights, order, windows and dropout.
        device: auto, cpu, cuda or cuda:N.
        threads: CPU threads, shared by the processes; None: torch's own choice.
        devices: processes that train together, each on a GPU of its own or all on the CPU, with the losses and, without
            dropout, the weights of one process. The others are started with this process's command line.
        memory: 'disk', 'ram' or 'device': where the features stay while training.

    Returns:
        `model.ckpt`: weights of the best epoch with all that is needed to use them.

    Raises:
        InputError: stores that do not belong together, a split without training or validation steps, or devices that
            are not there.
    """
    lightning.seed_everything(seed, verbose=False)
    begun = begin_training(settings, layout, seed, device, threads, devices, memory)
    return fit(begun, settings, layout, seed, "phase1")


def begin_training(
    settings: Settings,
    layout: Layout,
    seed: int,
    device: str = "auto",
    threads: int | None = None,
    devices: int = 1,
    memory: Memory = "disk",
) -> Beginning:
    """Phase 1 before its first step, its weights drawn from torch's chance as it stands; arguments as in `train`."""
    trainer = make_trainer(settings, layout.model(seed), device, threads, devices)
    split = read_split(layout.split, settings.split.leakage)
    sizes = Sizes.of(layout, split)
    landscapes = open_landscapes(layout, sizes, memory, trainer.strategy.root_device)
    model = begin_model(sizes, settings)
    weight = settings.training.loss.future_features
    inputs = (*model.inputs, *feature_inputs(weight))
    steps, batches, validation = make_loaders(settings, layout, landscapes, split, seed, trainer, inputs)
    waiting = [decoder.part for decoder in pretrained_decoders(model)]
    frozen = FrozenAtFirst(waiting, settings.model.decoder_freeze_epochs)
    trainer.callbacks += [EachEpoch(steps, seed), frozen]  # type: ignore[attr-defined]
    total = len(batches) * settings.training.epochs
    ahead = None
    if weight:
        assert isinstance(model, EmberFormer), "settings see to it"
        ahead = NextFeatures(model, settings.model.d_model, sizes.features, weight)
    training = SpreadTraining(model, settings.training, total, Slope.of(sizes.normaliser), penalty=ahead)
    return Beginning(trainer, training, sizes, landscapes, batches, validation)


def fit(begun: Beginning, settings: Settings, layout: Layout, seed: int, phase: Phase) -> Path:
    """Train to the end, from where the run was stopped, and save the best epoch; not where that was done already.

    Args:
        begun: the phase.
        settings: the whole configuration.
        layout: its paths.
        seed: of the run.
        phase: its name.

    Returns:
        `model.ckpt` in the model's folder.
    """
    folder, trainer = layout.model(seed, phase), begun.trainer
    folder.mkdir(parents=True, exist_ok=True)
    parent = [] if phase == "phase1" else [trained_parent(layout, seed, phase)]
    run = TrainingRun(folder, decided_by(begun.landscapes, layout, *parent))
    if run.ended:
        return run.kept()
    logs = RunLogs(settings, folder, seed, phase)
    if trainer.is_global_zero:
        parts = begun.training.model.named_children()
        log.info("parameters: %s", {name: sum(p.numel() for p in part.parameters()) for name, part in parts})
        logs.begin(trainer, begun.validation.loader.dataset, going_on=run.begin())
    begun.training.validated_on(begun.validation.loader.dataset.steps)
    trainer.fit(begun.training, begun.batches, begun.validation, ckpt_path=run.checkpoint, weights_only=False)
    if trainer.is_global_zero:
        path, score = best_epoch(trainer)
        logs.end(trainer, save_model(folder, path, begun.sizes, settings, layout, seed, score, phase, begun.backbone))
        run.end()
    return folder / "model.ckpt"


def make_loaders(
    settings: Settings,
    layout: Layout,
    landscapes: list[Landscape],
    split: dict[str, dict[str, str]],
    seed: int,
    trainer: lightning.Trainer,
    inputs: tuple[str, ...],
    block: int | None = None,
) -> tuple[EpochSteps, Prefetched, Prefetched]:
    """What begins an epoch, and this process's loaders of training and validation.

    Args:
        settings: the configuration; `training` says how steps are drawn.
        layout: its paths.
        landscapes: its data sets.
        split: data set -> fire -> split.
        seed: of order, windows and views.
        trainer: that the batches are for.
        inputs: arrays that are served.
        block: whose tokens `frame_hidden` holds.

    Raises:
        InputError: a split without training or validation steps.
    """
    training, history, leads = settings.training, settings.model.history, settings.model.lead_times
    device, rank, world = trainer.strategy.root_device, trainer.global_rank, trainer.world_size
    of_train = list_steps(landscapes, split, "train")
    of_validation = list_steps(landscapes, split, "validation", training.validation_steps_per_fire, leads)
    for name, steps in (("train", of_train), ("validation", of_validation)):
        if not steps:
            expected = "fires with two frames or more in every split"
            raise InputError(layout.split, f"no {name} step", expected, "change `split` or add fires")
    served = {"inputs": (*inputs, *loss_inputs(training.loss)), "hidden": hidden_inputs(settings.model),
              "pinned": device.type == "cuda", "block": block}  # fmt: skip
    noise = training.rate_noise if settings.built_model.adjusts_rates else 0.0
    dataset = FireSteps(
        landscapes, of_train, history, training.crop, training.flip, seed, BUFFERS,
        category_dropout=training.category_dropout, rate_noise=noise, lead_times=leads, **served,
    )  # fmt: skip
    order = GridBatches([], training.batch_size, True, seed, rank, world)
    epochs = EpochSteps(dataset, order, training.steps_per_fire)
    whole = FireSteps(landscapes, of_validation, history, buffers=BUFFERS, **served)
    grids = [whole.shape(n) for n in range(len(whole))]
    in_order = GridBatches(grids, whole_frames_at_once(device) * world, False, 0, rank, world)
    return (
        epochs,
        Prefetched(StepBatches(dataset, order), device=device),
        Prefetched(StepBatches(whole, in_order), device=device),
    )
