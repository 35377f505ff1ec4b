"""Freezing: what begins from published weights waits until the rest has learned to speak to it."""

from __future__ import annotations

from collections.abc import Sequence

import lightning
from torch import nn


class FrozenAtFirst(lightning.Callback):
    """Keeps modules as they are for some epochs, and lets them train from then on.

    It acts when an epoch begins, after the optimiser was made, so that their parameters are in their group from the
    start; an optimiser leaves alone what has no gradient, weight decay included. Which epoch it is decides, so a run
    that was stopped goes on rightly. Running statistics of norms stand still with the weights.

    Args:
        modules: what is frozen.
        epochs: for how many epochs.
    """

    def __init__(self, modules: Sequence[nn.Module], epochs: int):
        self.modules, self.epochs = list(modules), epochs
        self.parameters = [p for module in self.modules for p in module.parameters() if p.requires_grad]

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        frozen = trainer.current_epoch < self.epochs
        for parameter in self.parameters:
            parameter.requires_grad_(not frozen)
        for module in self.modules:
            module.train(not frozen)
