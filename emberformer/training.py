"""Phase 1: all but the backbone trains from cached features; the backbone is not even loaded."""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import torch
import yaml
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from torch.utils.data import DataLoader

from emberformer.data.fires import open_fires
from emberformer.data.normalise import TerrainNormaliser
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, GridBatches, Landscape, list_steps, training_terrain
from emberformer.errors import InputError
from emberformer.evaluate.scores import average_precision_of_counts, f1_of_counts
from emberformer.features.store import open_features
from emberformer.layout import Layout
from emberformer.losses import open_pixels, spread_loss
from emberformer.model.emberformer import EmberFormer, build_emberformer
from emberformer.provenance import provenance
from emberformer.settings import Settings, TrainingSettings

log = logging.getLogger(__name__)
BINS = 4096  # of the forecast, for the scores after an epoch; 0.5 is an edge


@dataclass(frozen=True)
class Sizes:
    """What the network's shape takes from the data; kept in the checkpoint."""

    features: int
    pixels: int
    channels: tuple[str, ...]
    normaliser: TerrainNormaliser

    @classmethod
    def of(cls, layout: Layout, split: dict[str, dict[str, str]]) -> Sizes:
        """Sizes of the data sets of a configuration; the normaliser is fitted on their training fires."""
        training, channels, numbers = [], [], set()
        for name in layout.settings.datasets:
            fires, features = open_fires(layout.fires(name)), open_features(layout.features(name))
            training.append((fires, training_terrain(fires, split[name])))
            channels += [str(c) for c in features.band.values if str(c) not in channels]
            numbers.add((features.sizes["feature"], int(features.attrs["pixels_per_patch"])))
        (features_length, pixels), *others = numbers
        assert not others, "one feature key gives one token length"
        return cls(features_length, pixels, tuple(channels), TerrainNormaliser.fit(training))


def open_landscapes(layout: Layout, sizes: Sizes) -> list[Landscape]:
    """All data sets of a configuration, in its order."""
    return [
        Landscape(name, layout.fires(name), layout.features(name), sizes.normaliser, sizes.channels)
        for name in layout.settings.datasets
    ]


def build_model(sizes: Sizes, settings: Settings) -> EmberFormer:
    """The untrained network of these sizes and settings."""
    return build_emberformer(
        features=sizes.features,
        channels=len(sizes.channels),
        pixels=sizes.pixels,
        terrain_pixels=len(sizes.normaliser.channels),
        category_sizes=sizes.normaliser.category_sizes,
        settings=settings.model,
    )


def model_inputs(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What of a batch the network takes."""
    return {key: value for key, value in batch.items() if key not in ("target", "index")}


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

    A run that was stopped goes on from `last.ckpt`. The best epoch by validation new-fire average precision is kept.

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
    training = settings.training
    train_steps = list_steps(landscapes, split, "train")
    validation_steps = list_steps(landscapes, split, "validation", training.validation_steps_per_fire)
    for name, steps in (("train", train_steps), ("validation", validation_steps)):
        if not steps:
            raise InputError(
                layout.split,
                f"no {name} step",
                "fires with two frames or more in every split",
                "change `split` or add fires",
            )
    history = settings.model.history
    dataset = FireSteps(landscapes, list(train_steps), history, training.crop, training.flip)
    sampler = GridBatches([dataset.size(n) for n in range(len(dataset))], training.batch_size, shuffle=True)
    resampled = ResampledSteps(dataset, sampler, train_steps, training.steps_per_fire)
    validation = FireSteps(landscapes, validation_steps, history)
    validation_batches = GridBatches(
        [validation.size(n) for n in range(len(validation))], training.batch_size, shuffle=False
    )
    phase = FrozenPhase(build_model(sizes, settings), training, len(sampler) * training.epochs)
    log.info(
        "trainable parameters: %s", {n: sum(p.numel() for p in m.parameters()) for n, m in phase.model.named_children()}
    )
    best = ModelCheckpoint(
        folder, "best", monitor="val/new_ap", mode="max", save_last=True, enable_version_counter=False
    )
    trainer = lightning.Trainer(
        max_epochs=training.epochs,
        accelerator="cpu" if device == "cpu" else device,
        devices=1,
        precision=training.precision,
        gradient_clip_val=training.gradient_clip,
        logger=_loggers(settings, folder, seed),
        callbacks=[
            best,
            EarlyStopping("val/new_ap", mode="max", patience=training.patience),
            TQDMProgressBar(refresh_rate=1),
            resampled,
        ],
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
    )
    last, metrics = folder / "last.ckpt", folder / "metrics.csv"
    earlier = pd.read_csv(metrics) if last.exists() and metrics.exists() else pd.DataFrame()
    trainer.fit(
        phase,
        DataLoader(dataset, batch_sampler=sampler, pin_memory=trainer.strategy.root_device.type == "cuda"),
        DataLoader(validation, batch_sampler=validation_batches),
        ckpt_path=str(last) if last.exists() else None,
        weights_only=False,
    )
    if len(earlier):  # the logger begins its file anew
        pd.concat([earlier, pd.read_csv(metrics)]).to_csv(metrics, index=False)
    return save_model(
        folder, best.best_model_path, sizes, settings, layout, seed, float(best.best_model_score or math.nan)
    )


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


def save_model(
    folder: Path, best: str, sizes: Sizes, settings: Settings, layout: Layout, seed: int, score: float
) -> Path:
    """Write the best weights with sizes, settings and provenance; plain types, so that loading runs no code."""
    state = torch.load(best, map_location="cpu", weights_only=False)["state_dict"]
    content = {
        "state": {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")},
        "sizes": {"features": sizes.features, "pixels": sizes.pixels, "channels": list(sizes.channels),
                  "normaliser": json.dumps(sizes.normaliser.to_dict())},
        "settings": settings.model_dump(mode="json"),
        "features": {name: layout.features(name).stem for name in settings.datasets},
        "seed": seed,
        "validation_new_ap": score,
        "provenance": provenance(),
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(content["settings"], sort_keys=False))
    partial = folder / "model.partial"
    torch.save(content, partial)
    os.replace(partial, folder / "model.ckpt")
    return folder / "model.ckpt"


def load_model(path: Path) -> tuple[EmberFormer, Sizes, Settings, dict]:
    """A trained network in evaluation mode, its sizes and settings, and the checkpoint's remaining entries.

    Raises:
        InputError: there is no checkpoint, or it is none of EmberFormer's.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        sizes = Sizes(
            content["sizes"]["features"], content["sizes"]["pixels"], tuple(content["sizes"]["channels"]),
            TerrainNormaliser.from_dict(json.loads(content["sizes"]["normaliser"])),
        )  # fmt: skip
    except (OSError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            path, str(error), "a checkpoint of `emberformer train`", "train first, or name another file"
        ) from error
    settings = Settings.model_validate(content["settings"])
    model = build_model(sizes, settings)
    model.load_state_dict(content["state"])
    return (
        model.eval(),
        sizes,
        settings,
        {key: content[key] for key in ("features", "seed", "validation_new_ap", "provenance")},
    )
