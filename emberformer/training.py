"""Phase 1: all but the backbone trains from cached features; the backbone is not even loaded."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from torch.utils.data import DataLoader

from emberformer.checkpoint import Sizes, build_model, model_inputs, open_landscapes, save_model
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, GridBatches, Landscape, list_steps, whole_frames_at_once
from emberformer.errors import InputError
from emberformer.evaluate.scores import average_precision_of_counts, f1_of_counts
from emberformer.features.extraction import choose_device
from emberformer.layout import Layout
from emberformer.losses import open_pixels, spread_loss
from emberformer.model.emberformer import EmberFormer
from emberformer.settings import Settings, TrainingSettings

log = logging.getLogger(__name__)
BINS = 4096  # of the forecast, for the scores after an epoch; 0.5 is an edge


class FrozenPhase(lightning.LightningModule):
    """Training of everything but the backbone.

    Args:
        model: the network.
        settings: how to train it.
        total_steps: optimiser steps of the whole run, for the learning rate's course.
    """

    def __init__(self, model: EmberFormer, settings: TrainingSettings, total_steps: int):
        super().__init__()
        self.model, self.settings, self.total_steps = model, settings, total_steps
        self.counts = torch.zeros(2, BINS, dtype=torch.int64)  # [observed, forecast's bin]

    def _loss(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logits = self.model(**model_inputs(batch)).float()
        counted = open_pixels(batch["target"], batch["fire_pixels"][:, 0])
        return (
            spread_loss(logits, batch["target"], counted, self.settings.pos_weight, self.settings.dice),
            logits,
            counted,
        )

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        loss, _, _ = self._loss(batch)
        self.log("train/loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(batch["target"]))
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        loss, logits, counted = self._loss(batch)
        place = (torch.sigmoid(logits[counted]) * BINS).long().clamp(max=BINS - 1)
        observed = (batch["target"][counted] == 1).long()
        self.counts += torch.bincount(observed * BINS + place, minlength=2 * BINS).view(2, BINS).cpu()
        self.log("val/loss", loss, batch_size=len(batch["target"]))

    def on_validation_epoch_end(self) -> None:
        counts = self.counts.numpy()
        hits, false_alarms = counts[1, BINS // 2 :].sum(), counts[0, BINS // 2 :].sum()
        ap, f1 = average_precision_of_counts(counts), f1_of_counts(hits, false_alarms, counts[1].sum() - hits)
        self.log("val/new_ap", float(np.nan_to_num(ap)), prog_bar=True)
        self.log("val/new_f1", float(np.nan_to_num(f1)), prog_bar=True)
        self.counts.zero_()

    def configure_optimizers(self):
        """AdamW on all parameters in one group; linear warm-up, then a cosine to zero (arXiv:1608.03983)."""
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        warm = max(1, round(self.settings.warmup * self.total_steps))

        def course(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, self.total_steps - warm))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, course)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class ResampledSteps(lightning.Callback):
    """Draws the steps of each epoch anew where only some of each fire are used."""

    def __init__(self, dataset: FireSteps, sampler: GridBatches, all_steps: list, per_fire: int | None):
        self.dataset, self.sampler, self.all_steps, self.per_fire = dataset, sampler, all_steps, per_fire
        self.draw()

    def draw(self) -> None:
        groups: dict[tuple[int, int], list] = {}
        for step in self.all_steps:
            groups.setdefault((step.landscape, step.fire), []).append(step)
        chosen = [group[n] for group in groups.values() for n in torch.randperm(len(group))[: self.per_fire].tolist()]
        self.dataset.steps[:] = chosen
        self.sampler.set_sizes([self.dataset.size(n) for n in range(len(chosen))])

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.draw()


def train(settings: Settings, layout: Layout, seed: int, device: str = "auto", threads: int | None = None) -> Path:
    """Train one model and write its folder: `model.ckpt`, `last.ckpt`, `metrics.csv`, `config.yaml`.

    A run that was stopped goes on from `last.ckpt` if the fires are still the same. The best epoch by validation
    new-fire average precision is kept.

    Returns:
        `model.ckpt`: weights of the best epoch with all that is needed to use them.

    Raises:
        InputError: stores that do not belong together, or a split without training or validation steps.
    """
    if threads:
        torch.set_num_threads(threads)
    folder = layout.model(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lightning.seed_everything(seed, verbose=False)
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    landscapes = open_landscapes(layout, sizes)
    where = choose_device(device)
    steps, batches, validation = _loaders(settings, layout, landscapes, split, where)
    phase = FrozenPhase(build_model(sizes, settings), settings.training, len(batches) * settings.training.epochs)
    log.info("parameters: %s", {n: sum(p.numel() for p in m.parameters()) for n, m in phase.model.named_children()})
    best = ModelCheckpoint(
        folder, "best", monitor="val/new_ap", mode="max", save_last=True, enable_version_counter=False
    )
    trainer = lightning.Trainer(
        max_epochs=settings.training.epochs,
        accelerator=where.type,
        devices=[where.index or 0] if where.type == "cuda" else 1,
        precision=settings.training.precision,
        gradient_clip_val=settings.training.gradient_clip,
        logger=_loggers(settings, folder, seed),
        callbacks=[
            best,
            EarlyStopping("val/new_ap", mode="max", patience=settings.training.patience),
            Progress(),
            steps,
        ],
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
    )
    unfinished = UnfinishedRun(folder, [landscape.fires.attrs["content_digest"] for landscape in landscapes])
    earlier = unfinished.begin()
    trainer.fit(phase, batches, validation, ckpt_path=unfinished.checkpoint, weights_only=False)
    if earlier is not None:  # the logger begins its file anew
        curve = folder / "metrics.csv"
        pd.concat([earlier, *([pd.read_csv(curve)] if curve.exists() else [])]).to_csv(curve, index=False)
    score = math.nan if best.best_model_score is None else float(best.best_model_score)
    path = save_model(folder, best.best_model_path, sizes, settings, layout, seed, score)
    unfinished.end()
    return path


def _loaders(
    settings: Settings,
    layout: Layout,
    landscapes: list[Landscape],
    split: dict[str, dict[str, str]],
    device: torch.device,
) -> tuple[ResampledSteps, DataLoader, DataLoader]:
    """What draws the training steps, and the loaders of training and validation."""
    training, history = settings.training, settings.model.history
    of_train = list_steps(landscapes, split, "train")
    of_validation = list_steps(landscapes, split, "validation", training.validation_steps_per_fire)
    for name, steps in (("train", of_train), ("validation", of_validation)):
        if not steps:
            expected = "fires with two frames or more in every split"
            raise InputError(layout.split, f"no {name} step", expected, "change `split` or add fires")
    dataset = FireSteps(landscapes, list(of_train), history, training.crop, training.flip)
    sampler = GridBatches([dataset.size(n) for n in range(len(dataset))], training.batch_size, shuffle=True)
    drawn = ResampledSteps(dataset, sampler, of_train, training.steps_per_fire)
    whole = FireSteps(landscapes, of_validation, history)
    in_order = GridBatches([whole.size(n) for n in range(len(whole))], whole_frames_at_once(device), shuffle=False)
    pinned = device.type == "cuda"
    return (
        drawn,
        DataLoader(dataset, batch_sampler=sampler, pin_memory=pinned),
        DataLoader(whole, batch_sampler=in_order, pin_memory=pinned),
    )


class Progress(TQDMProgressBar):
    """Lightning's progress bar without the number of the run, which the folder's name says already."""

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict:
        """What stands behind the bar: loss and validation scores."""
        return {key: value for key, value in super().get_metrics(trainer, pl_module).items() if key != "v_num"}


class UnfinishedRun:
    """The mark of a run that has not ended, so that only such a run is taken up, and only on the same fires.

    Args:
        folder: the model's folder.
        fires: content digests of the fires stores.
    """

    def __init__(self, folder: Path, fires: list[str]):
        self.folder, self.fires = folder, fires
        self.mark = folder / "unfinished.json"
        self.checkpoint: str | None = None

    def begin(self) -> pd.DataFrame | None:
        """Mark the run as begun; where one is taken up, name its checkpoint and give its curve so far."""
        last, metrics = self.folder / "last.ckpt", self.folder / "metrics.csv"
        same = self.mark.exists() and json.loads(self.mark.read_text()) == self.fires
        earlier = None
        if same and last.exists():
            self.checkpoint = str(last)
            earlier = pd.read_csv(metrics) if metrics.exists() else None
            log.info("going on from %s", last)
        else:
            for stale in self.folder.glob("*.ckpt"):
                stale.unlink()
        self.mark.write_text(json.dumps(self.fires))
        return earlier

    def end(self) -> None:
        """Take the mark away."""
        self.mark.unlink()


def _loggers(settings: Settings, folder: Path, seed: int) -> list[Logger]:
    loggers: list[Logger] = [CSVLogger(folder, name="", version="")]
    if settings.training.wandb != "disabled":
        os.environ.setdefault("WANDB_SILENT", "true")
        loggers.append(
            WandbLogger(
                project="emberformer",
                name=f"{settings.name}-{folder.parent.name}-{seed}",
                save_dir=folder,
                offline=settings.training.wandb == "offline",
                config=settings.model_dump(mode="json"),
            )
        )
    return loggers
