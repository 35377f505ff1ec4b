"""What is written about a training run: CSV and TensorBoard always, Weights & Biases where it is asked for.

Nothing here draws chance or touches a weight, so that a training is the same whatever is logged of it.
"""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import lightning
import wandb
import yaml
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from emberformer.atomic import write_whole
from emberformer.dataset import FireSteps
from emberformer.errors import InputError
from emberformer.previews import Previews
from emberformer.settings import Settings
from emberformer.training_settings import Phase

BEST = {
    "train/loss": "min",
    "val/loss": "min",
    "val/new_ap": "max",
    "val/new_f1": "max",
    "val/ap": "max",
}  # what a run's summary keeps
RUN_ID = "wandb-run.txt"  # id of the Weights & Biases run, under which a stopped training goes on
TAG_LENGTH = 64  # the most that Weights & Biases takes


@dataclass(frozen=True)
class RunLogs:
    """Logs of one run, whose files lie in the model's folder; only the first of several processes writes them.

    Args:
        settings: the configuration, or one of its variants.
        folder: the model's.
        seed: of the run.
        phase: of the run.
    """

    settings: Settings
    folder: Path
    seed: int
    phase: Phase = "phase1"

    def begin(self, trainer: lightning.Trainer, validation: FireSteps, going_on: bool) -> None:
        """Give a trainer its loggers, and what watches the run for them.

        Args:
            trainer: before it begins.
            validation: the steps that are scored after an epoch.
            going_on: the run was stopped and goes on; otherwise what an earlier one left is removed.
        """
        number = self.settings.logging.previews
        trainer.loggers = self.loggers(going_on)
        trainer.callbacks += [RunDescription(self.settings), *([Previews(validation, number)] if number else [])]  # type: ignore[attr-defined]

    def loggers(self, going_on: bool) -> list[Logger]:
        """All loggers that the settings ask for.

        Raises:
            InputError: `wandb: online` without an account on this machine.
        """
        if not going_on:
            shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
            (self.folder / RUN_ID).unlink(missing_ok=True)
        board = TensorBoardLogger(self.folder, name="", version="tensorboard", default_hp_metric=False)
        loggers: list[Logger] = [_curve(self.folder, going_on), board]
        if self.settings.logging.wandb != "disabled":
            loggers.append(_wandb_logger(self.settings, self.folder, self.seed, self.phase))
        return loggers

    def end(self, trainer: lightning.Trainer, model: Path) -> None:
        """Close a finished run; the model goes to Weights & Biases where `logging.artifact` asks for it."""
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                run = logger.experiment
                if self.settings.logging.artifact:
                    artifact = wandb.Artifact(f"{self.folder.parent.name}-{self.folder.name}", type="model")
                    artifact.add_file(str(model))
                    run.log_artifact(artifact)
                if self.settings.logging.watch:
                    run.unwatch()
                run.finish()


def run_name(settings: Settings, seed: int, phase: Phase) -> str:
    """Name of a run: configuration, network, phase, seed.

    >>> from pathlib import Path
    >>> from emberformer.data_settings import DeepCrownSettings
    >>> source = {"root": Path("."), "minutes_per_frame": 30, "bands": {"1": {"kind": "continuous"}}}
    >>> run_name(Settings(name="valley", datasets={"a": DeepCrownSettings(**source)}), 2, "phase1")
    'valley-emberformer-phase1-seed-2'
    """
    return f"{settings.name}-{trained_network(settings, phase)}-{phase}-seed-{seed}"


def trained_network(settings: Settings, phase: Phase) -> str:
    """The network that trains in a phase: the student's is another than its teacher's, a detector its own."""
    if phase == "detection":
        return "detector"
    if phase == "student" and settings.distillation is not None:
        return settings.distillation.model.network
    return settings.model.network


def _curve(folder: Path, going_on: bool) -> CSVLogger:
    """The logger of `metrics.csv`, which begins its file anew; where the run goes on, after the rows that are there."""
    logger, path = CSVLogger(folder, name="", version=""), folder / "metrics.csv"
    if going_on and path.exists():
        earlier = path.rename(path.with_suffix(".earlier"))
        with open(earlier, newline="") as file:
            logger.experiment.metrics_keys.extend(next(csv.reader(file), []))
        earlier.rename(path)
    return logger


def _wandb_logger(settings: Settings, folder: Path, seed: int, phase: Phase) -> WandbLogger:
    wanted = settings.logging
    if wanted.wandb == "online" and not wandb.api.api_key:
        raise InputError(
            "logging.wandb: online", "no account of Weights & Biases on this machine", "an API key",
            "run `wandb login`, set WANDB_API_KEY, or take `wandb: offline`",
        )  # fmt: skip
    os.environ.setdefault("WANDB_SILENT", "true")
    if wandb.run is not None:  # of a training in this process that failed: its run must not take this one's numbers
        wandb.finish(exit_code=1)
    identity = folder / RUN_ID
    if not identity.exists():
        write_whole(identity, uuid4().hex[:12])
    tags = [*wanted.tags, trained_network(settings, phase), phase, *settings.datasets]
    return WandbLogger(
        project=wanted.project,
        entity=wanted.entity,
        name=run_name(settings, seed, phase),
        id=identity.read_text(),
        group=settings.name,
        job_type=phase,
        tags=list(dict.fromkeys(tag[:TAG_LENGTH] for tag in tags)),
        save_dir=folder,
        offline=wanted.wandb == "offline",
        config={**settings.model_dump(mode="json"), "phase": phase, "seed": seed},
    )


class RunDescription(lightning.Callback):
    """Tells the loggers, once, what they log: the configuration, and which end of each score is the better one.

    Args:
        settings: the configuration.
    """

    def __init__(self, settings: Settings):
        self.settings = settings

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Describe the run."""
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                text = yaml.safe_dump(self.settings.model_dump(mode="json"), sort_keys=False)
                logger.experiment.add_text("configuration", f"```yaml\n{text}```")
            elif isinstance(logger, WandbLogger):
                logger.experiment.define_metric("epoch")
                for name, best in BEST.items():
                    logger.experiment.define_metric(name, step_metric="epoch", summary=best)
                if self.settings.logging.watch:
                    logger.watch(pl_module, log="all", log_graph=False)
