"""What is written about a training run: CSV always, Weights & Biases where it is asked for."""

from __future__ import annotations

import os
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from emberformer.settings import Settings


def run_loggers(settings: Settings, folder: Path, seed: int) -> list[Logger]:
    """Loggers of one run, whose files lie in the model's folder."""
    loggers: list[Logger] = [CSVLogger(folder, name="", version="")]
    if settings.logging.wandb != "disabled":
        os.environ.setdefault("WANDB_SILENT", "true")
        loggers.append(
            WandbLogger(
                project=settings.logging.project,
                name=f"{settings.name}-{folder.parent.name}-{seed}",
                save_dir=folder,
                offline=settings.logging.wandb == "offline",
                config=settings.model_dump(mode="json"),
            )
        )
    return loggers
