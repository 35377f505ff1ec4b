"""A training run: its trainer, what begins an epoch, what is shown of it, and how it goes on after it was stopped."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, cast, runtime_checkable
from zipfile import BadZipFile, ZipFile

import lightning
import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar

from emberformer.arithmetic import of_training
from emberformer.atomic import write_whole
from emberformer.errors import InputError
from emberformer.feature_key import content_digest
from emberformer.features.extraction import choose_device
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.settings import Settings

log = logging.getLogger(__name__)


def make_trainer(
    settings: Settings,
    folder: Path,
    device: str,
    threads: int | None,
    devices: int,
    watched: tuple[str, Literal["min", "max"]] = ("val/new_ap", "max"),
) -> lightning.Trainer:
    """The trainer of a run: keeps the best epoch by the score that is watched and stops early; its logs come later.

    Raises:
        InputError: devices that are not there.
    """
    where = choose_device(device)
    cuda = where.type == "cuda"
    if devices > 1 and (where.index is not None or (cuda and torch.cuda.device_count() < devices)):
        found = f"{device}, and {devices} processes" if where.index is not None else f"{torch.cuda.device_count()} GPUs"
        raise InputError("--devices", found, f"a GPU for each of {devices}", "ask for fewer, or for `--device cpu`")
    if threads:
        torch.set_num_threads(max(1, threads // devices))
        os.environ["OMP_NUM_THREADS"] = str(max(1, threads // devices))  # else Lightning sets its own number
    best = ModelCheckpoint(folder, "best", monitor=watched[0], mode=watched[1], enable_version_counter=False)
    last = ModelCheckpoint(folder, "last", enable_version_counter=False)  # `save_last` keeps that of the best epoch
    # Weights that are frozen at first have no gradient that the processes could share.
    together = "ddp_find_unused_parameters_true" if settings.model.decoder_freeze_epochs else "ddp"
    return lightning.Trainer(
        max_epochs=settings.training.epochs,
        accelerator=where.type,
        devices=[where.index or 0] if cuda and devices == 1 else devices,
        strategy=together if devices > 1 else "auto",
        plugins=[LightningEnvironment()] if devices > 1 else None,  # else a Slurm job's own tasks would be counted
        use_distributed_sampler=False,
        precision=of_training(settings.training.precision, where),
        gradient_clip_val=settings.training.gradient_clip,
        logger=False,  # `fit` knows whether the run goes on
        callbacks=[
            best,
            last,
            EarlyStopping(watched[0], mode=watched[1], patience=settings.training.patience),
            Progress(),
        ],
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
    )


def best_epoch(trainer: lightning.Trainer) -> tuple[str, float]:
    """Checkpoint of the best epoch, and the score that was watched; NaN if there is none."""
    best = cast(ModelCheckpoint, trainer.checkpoint_callback)
    return best.best_model_path, math.nan if best.best_model_score is None else float(best.best_model_score)


def best_weights(trainer: lightning.Trainer) -> tuple[dict[str, torch.Tensor], float]:
    """All weights of the best epoch, on the CPU, and its score."""
    path, score = best_epoch(trainer)
    return torch.load(path, map_location="cpu", weights_only=False)["state_dict"], score


def part_of(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The weights of one part of a module, by its own names."""
    return {key.removeprefix(prefix): of for key, of in state.items() if key.startswith(prefix)}


@runtime_checkable
class Begins(Protocol):
    """What is told when an epoch begins."""

    def begin(self, epoch: int) -> None:
        """Serve what belongs to an epoch, from the next iteration on."""
        ...


class EachEpoch(lightning.Callback):
    """All chance of an epoch follows from the seed and its number; an interrupted run goes on as if it had not been.

    The order of the data has its own source of chance; torch's is left for dropout, and is another in every process.
    """

    def __init__(self, steps: Begins, seed: int):
        self.steps, self.seed = steps, seed

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.steps.begin(trainer.current_epoch)
        chance = np.random.SeedSequence((self.seed, trainer.current_epoch, trainer.global_rank))
        torch.manual_seed(int(chance.generate_state(1, np.uint64)[0]))


class Progress(TQDMProgressBar):
    """Lightning's progress bar without the number of the run, which the folder's name says already."""

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict:
        """What stands behind the bar: loss and validation scores."""
        return {key: value for key, value in super().get_metrics(trainer, pl_module).items() if key != "v_num"}


def decided_by(landscapes: Sequence[Landscape], layout: Layout, *files: Path) -> list[str]:
    """Digests of what decides a model beside the settings: fires, weights that made their features, split, files."""
    weights = (str(one.identity["weights_sha256"]) for one in landscapes)
    return [*(one.content for one in landscapes), *weights, *(content_digest(file) for file in (layout.split, *files))]


class TrainingRun:
    """The mark of a run: one that was stopped is taken up, and one that has ended is not made again, on the same data.

    Args:
        folder: the model's folder, whose name says the settings.
        data: digests of what else decides the model, see `decided_by`.
    """

    def __init__(self, folder: Path, data: Sequence[str]):
        self.folder, self.data = folder, list(data)
        self.model = folder / "model.ckpt"
        self.mark, self.ended_mark = folder / "unfinished.json", folder / "finished.json"

    @property
    def ended(self) -> bool:
        """Whether the model is there, of a run on these data."""
        return self._is_of(self.ended_mark) and not self.mark.exists() and self.model.exists()

    def kept(self) -> Path:
        """The model of a run that has ended, made new for who goes by times."""
        log.info("trained on the same data already; to train anew, remove %s", self.folder)
        self.model.touch()
        return self.model

    @property
    def checkpoint(self) -> str | None:
        """Where the run is taken up; None: at its beginning.

        All processes that train together find the same: the first one has begun the run before it starts the others.
        """
        last = self.folder / "last.ckpt"
        return str(last) if self._is_of(self.mark) and last.exists() else None

    def _is_of(self, mark: Path) -> bool:
        try:
            return json.loads(mark.read_text()) == self.data
        except (OSError, ValueError):  # no mark, or one that was not written to its end
            return False

    def begin(self) -> bool:
        """Mark the run as begun; whether it is taken up. Otherwise what an earlier one left is removed.

        Raises:
            InputError: what an earlier one left is damaged.
        """
        going_on = self.checkpoint is not None
        self.ended_mark.unlink(missing_ok=True)
        if going_on:
            for left in self.folder.glob("*.ckpt"):
                _require_whole(left)
            log.info("going on from %s", self.checkpoint)
        else:
            for stale in self.folder.glob("*.ckpt"):
                stale.unlink()
        write_whole(self.mark, json.dumps(self.data))
        return going_on

    def end(self) -> None:
        """Say that the model is whole."""
        os.replace(self.mark, self.ended_mark)


def _require_whole(checkpoint: Path) -> None:
    """A checkpoint is a zip archive, whose members have checksums."""
    try:
        with ZipFile(checkpoint) as archive:
            damage = archive.testzip()
    except (BadZipFile, OSError) as error:
        damage = str(error)
    if damage is not None:
        remedy = f"remove {checkpoint.with_name('last.ckpt')}: the training then begins anew"
        raise InputError(checkpoint, f"damaged: {damage}", "a checkpoint to go on from", remedy)
