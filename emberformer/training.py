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
from jaxtyping import Bool, Float, Int, UInt8
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from torch import Tensor

from emberformer.checkpoint import Sizes, build_model, model_inputs, open_landscapes, save_model
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps, whole_frames_at_once
from emberformer.errors import InputError
from emberformer.evaluate.scores import average_precision_of_counts, f1_of_counts
from emberformer.features.extraction import choose_device
from emberformer.features.reading import Memory
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.loading import BUFFERS, EpochSteps, GridBatches, Prefetched, StepBatches
from emberformer.losses import loss_of_sums, open_pixels, over_processes, spread_sums
from emberformer.model.emberformer import EmberFormer
from emberformer.settings import Settings, TrainingSettings

log = logging.getLogger(__name__)
BINS = 4096  # of the forecast, for the scores after an epoch; 0.5 is an edge


def counts_of_forecast(
    logits: Float[Tensor, "B H W"], target: UInt8[Tensor, "B H W"], counted: Bool[Tensor, "B H W"]
) -> Int[Tensor, "2 bins"]:
    """Counted pixels by what was observed and by the bin of the forecast's probability."""
    place = (torch.sigmoid(logits[counted]) * BINS).long().clamp(max=BINS - 1)
    observed = (target[counted] == 1).long()
    return torch.bincount(observed * BINS + place, minlength=2 * BINS).view(2, BINS)


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
        self.sums = torch.zeros(6, dtype=torch.float64)  # of `spread_sums`

    def _forecast(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and the pixels that count."""
        logits = self.model(**model_inputs(batch)).float()
        return logits, open_pixels(batch["target"], batch["fire_pixels"][:, 0])

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        logits, counted = self._forecast(batch)
        sums = over_processes(spread_sums(logits, batch["target"], counted))
        loss = loss_of_sums(sums, self.settings.pos_weight, self.settings.dice)
        self.log("train/loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        logits, counted = self._forecast(batch)
        self.sums += spread_sums(logits, batch["target"], counted).cpu()
        self.counts += counts_of_forecast(logits, batch["target"], counted).cpu()

    def on_validation_epoch_end(self) -> None:
        sums, counts = (over_processes(values.to(self.device)).cpu() for values in (self.sums, self.counts))
        counts = counts.numpy()
        hits, false_alarms = counts[1, BINS // 2 :].sum(), counts[0, BINS // 2 :].sum()
        ap, f1 = average_precision_of_counts(counts), f1_of_counts(hits, false_alarms, counts[1].sum() - hits)
        self.log("val/loss", loss_of_sums(sums, self.settings.pos_weight, self.settings.dice).item())
        self.log("val/new_ap", float(np.nan_to_num(ap)), prog_bar=True)
        self.log("val/new_f1", float(np.nan_to_num(f1)), prog_bar=True)
        self.counts.zero_()
        self.sums.zero_()

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


class EachEpoch(lightning.Callback):
    """All chance of an epoch follows from the seed and its number; an interrupted run goes on as if it had not been.

    The order of the data has its own source of chance; torch's is left for dropout, and is another in every process.
    """

    def __init__(self, steps: EpochSteps, seed: int):
        self.steps, self.seed = steps, seed

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.steps.begin(trainer.current_epoch)
        chance = np.random.SeedSequence((self.seed, trainer.current_epoch, trainer.global_rank))
        torch.manual_seed(int(chance.generate_state(1, np.uint64)[0]))


def train(
    settings: Settings,
    layout: Layout,
    seed: int,
    device: str = "auto",
    threads: int | None = None,
    devices: int = 1,
    memory: Memory = "disk",
) -> Path:
    """Train one model and write its folder: `model.ckpt`, `last.ckpt`, `metrics.csv`, `config.yaml`.

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
    folder = layout.model(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lightning.seed_everything(seed, verbose=False)
    trainer = _trainer(settings, folder, seed, device, threads, devices)
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    landscapes = open_landscapes(layout, sizes, memory, trainer.strategy.root_device)
    steps, batches, validation = _loaders(settings, layout, landscapes, split, seed, trainer)
    trainer.callbacks.append(EachEpoch(steps, seed))  # type: ignore[attr-defined]
    phase = FrozenPhase(build_model(sizes, settings), settings.training, len(batches) * settings.training.epochs)
    unfinished = UnfinishedRun(folder, [landscape.fires.attrs["content_digest"] for landscape in landscapes])
    earlier = None
    if trainer.is_global_zero:
        counts = {name: sum(p.numel() for p in part.parameters()) for name, part in phase.model.named_children()}
        log.info("parameters: %s", counts)
        earlier = unfinished.begin()
    trainer.fit(phase, batches, validation, ckpt_path=unfinished.checkpoint, weights_only=False)
    if trainer.is_global_zero:
        if earlier is not None:  # the logger begins its file anew
            curve = folder / "metrics.csv"
            pd.concat([earlier, *([pd.read_csv(curve)] if curve.exists() else [])]).to_csv(curve, index=False)
        best: ModelCheckpoint = trainer.checkpoint_callback  # type: ignore[assignment]
        score = math.nan if best.best_model_score is None else float(best.best_model_score)
        save_model(folder, best.best_model_path, sizes, settings, layout, seed, score)
        unfinished.end()
    return folder / "model.ckpt"


def _trainer(
    settings: Settings, folder: Path, seed: int, device: str, threads: int | None, devices: int
) -> lightning.Trainer:
    where = choose_device(device)
    cuda = where.type == "cuda"
    if devices > 1 and (where.index is not None or (cuda and torch.cuda.device_count() < devices)):
        found = f"{device}, and {devices} processes" if where.index is not None else f"{torch.cuda.device_count()} GPUs"
        raise InputError("--devices", found, f"a GPU for each of {devices}", "ask for fewer, or for `--device cpu`")
    if threads:
        torch.set_num_threads(max(1, threads // devices))
        os.environ["OMP_NUM_THREADS"] = str(max(1, threads // devices))  # else Lightning sets its own number
    best = ModelCheckpoint(
        folder, "best", monitor="val/new_ap", mode="max", save_last=True, enable_version_counter=False
    )
    return lightning.Trainer(
        max_epochs=settings.training.epochs,
        accelerator=where.type,
        devices=[where.index or 0] if cuda and devices == 1 else devices,
        strategy="ddp" if devices > 1 else "auto",
        plugins=[LightningEnvironment()] if devices > 1 else None,  # else a Slurm job's own tasks would be counted
        use_distributed_sampler=False,
        precision=settings.training.precision,
        gradient_clip_val=settings.training.gradient_clip,
        logger=_loggers(settings, folder, seed),
        callbacks=[best, EarlyStopping("val/new_ap", mode="max", patience=settings.training.patience), Progress()],
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
    )


def _loaders(
    settings: Settings,
    layout: Layout,
    landscapes: list[Landscape],
    split: dict[str, dict[str, str]],
    seed: int,
    trainer: lightning.Trainer,
) -> tuple[EpochSteps, Prefetched, Prefetched]:
    """What begins an epoch, and this process's loaders of training and validation."""
    training, history = settings.training, settings.model.history
    device, rank, world = trainer.strategy.root_device, trainer.global_rank, trainer.world_size
    of_train = list_steps(landscapes, split, "train")
    of_validation = list_steps(landscapes, split, "validation", training.validation_steps_per_fire)
    for name, steps in (("train", of_train), ("validation", of_validation)):
        if not steps:
            expected = "fires with two frames or more in every split"
            raise InputError(layout.split, f"no {name} step", expected, "change `split` or add fires")
    pinned = device.type == "cuda"
    dataset = FireSteps(landscapes, of_train, history, training.crop, training.flip, seed, BUFFERS, pinned)
    order = GridBatches([], training.batch_size, True, seed, rank, world)
    epochs = EpochSteps(dataset, order, training.steps_per_fire)
    whole = FireSteps(landscapes, of_validation, history, buffers=BUFFERS, pinned=pinned)
    grids = [whole.size(n) for n in range(len(whole))]
    in_order = GridBatches(grids, whole_frames_at_once(device) * world, False, 0, rank, world)
    return (
        epochs,
        Prefetched(StepBatches(dataset, order), device=device),
        Prefetched(StepBatches(whole, in_order), device=device),
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
