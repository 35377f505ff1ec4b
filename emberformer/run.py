"""A training run: what begins an epoch, what is shown of it, and how it goes on after it was stopped."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import TQDMProgressBar

from emberformer.loading import EpochSteps

log = logging.getLogger(__name__)


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
