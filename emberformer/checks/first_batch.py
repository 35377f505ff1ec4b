"""A phase of a configuration as its training begins, with a full batch, and one whole frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import lightning
import torch
from torch import Tensor

from emberformer.checkpoint import build_model, model_inputs, open_landscapes
from emberformer.data.split import read_split
from emberformer.distillation import begin_distillation, distillation_settings
from emberformer.finetuned_checkpoint import backbone_hash, encodings_of, fine_tuned
from emberformer.finetuning import begin_finetuning
from emberformer.layout import Layout
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.settings import Settings
from emberformer.training import Beginning, SpreadTraining, begin_training
from emberformer.training_settings import Phase

REPEATS = 3  # timed runs after the first


@dataclass(frozen=True)
class FirstBatch:
    """What a training begins with.

    Args:
        training: the untrained network and its loss.
        batch: of training, on the network's device.
        whole: one whole frame of validation.
        batches: of training in an epoch.
        scored: forecasts after an epoch.
        arithmetic: of a training step; forecasts are made in float32.
    """

    training: SpreadTraining
    batch: dict[str, Tensor]
    whole: dict[str, Tensor]
    batches: int
    scored: int
    arithmetic: Callable[[], AbstractContextManager] = nullcontext

    @property
    def model(self) -> SpreadNetwork:
        return self.training.model

    @property
    def device(self) -> torch.device:
        return self.batch["target"].device

    def loss(self) -> Tensor:
        """Of the batch, as a training step has it."""
        with self.arithmetic():
            return self.training.loss_of(self.batch, *self.training.forecast(self.batch))

    def step_seconds(self) -> float:
        """Time of a batch forward and backward."""
        self.model.train()
        seconds = quickest(lambda: self.loss().backward(), self.device)
        self.model.zero_grad()
        return seconds

    def forecast_seconds(self) -> float:
        """Time of the forecast of one whole frame from cached features; what an encoder has made before counts so."""
        self.model.eval()
        given = model_inputs(self.model, self.whole)
        with torch.inference_mode():
            return quickest(lambda: self.model(**given), self.device)


def quickest(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of the quickest of some runs, after one that does not count."""
    times = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def first_batch(settings: Settings, layout: Layout, device: str = "auto", phase: Phase = "phase1") -> FirstBatch:
    """Begin a phase and read a full batch of its first epoch, and the last frame of validation.

    Args:
        settings: the configuration, or one of its variants.
        layout: its paths; split and features must be there.
        device: auto, cpu, cuda or cuda:N.
        phase: of the configuration.

    Raises:
        InputError: a store or the split is missing or does not fit, there is no step to train on, or no such phase.
    """
    begun = untrained_beginning(settings, layout, phase, device)
    trainer, training, validation = begun.trainer, begun.training, begun.validation.loader.dataset
    where = trainer.strategy.root_device
    training.to(where)
    steps = begun.batches.loader
    last = len(validation) - 1
    batch, whole = (
        {key: value.to(where) for key, value in of.__getitems__(indices).items()}
        for of, indices in ((steps.dataset, max(steps.order, key=len)), (validation, [last]))
    )
    arithmetic = trainer.precision_plugin.train_step_context
    return FirstBatch(training, batch, whole, len(begun.batches), len(validation), arithmetic)


def untrained_beginning(settings: Settings, layout: Layout, phase: Phase, device: str = "auto") -> Beginning:
    """A phase as its training begins, but for the weights of the phases before it: these are as they were drawn.

    Args:
        settings: the configuration, or one of its variants.
        layout: its paths.
        phase: of the configuration.
        device: auto, cpu, cuda or cuda:N.
    """
    seed = settings.training.seeds[0]
    lightning.seed_everything(seed, verbose=False)
    if phase == "phase1":
        return begin_training(settings, layout, seed, device)
    sizes = Sizes.of(layout, read_split(layout.split, settings.split.leakage))
    parent = build_model(sizes, settings)
    if phase != "student":
        return begin_finetuning(settings, layout, seed, phase, parent, sizes, device)
    distillation_settings(settings, layout)
    if (taught_by := layout.parent_phase(phase)) != "phase1":
        landscapes = open_landscapes(layout, sizes)
        encodings, weights = encodings_of(landscapes), backbone_hash(layout, landscapes)
        parent = fine_tuned(parent, settings, taught_by, encodings, weights, layout.config)
    return begin_distillation(settings, layout, seed, parent.eval(), sizes, device)
