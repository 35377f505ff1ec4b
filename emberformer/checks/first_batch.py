"""A configuration's network with its first batch, as training will serve it, and one whole frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import lightning
import torch
from torch import Tensor

from emberformer.checkpoint import Sizes, build_model, model_inputs, open_landscapes
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, hidden_inputs, list_steps
from emberformer.errors import InputError
from emberformer.features.extraction import choose_device
from emberformer.layout import Layout
from emberformer.network import SpreadNetwork
from emberformer.settings import Settings
from emberformer.training_settings import Precision

REPEATS = 3  # timed runs after the first


@dataclass(frozen=True)
class FirstBatch:
    """What a training begins with.

    Args:
        model: the untrained network.
        batch: of training, on the network's device.
        whole: one whole frame of validation.
        batches: of training in an epoch.
        scored: forecasts after an epoch.
        precision: of training; forecasts are made in float32.
    """

    model: SpreadNetwork
    batch: dict[str, Tensor]
    whole: dict[str, Tensor]
    batches: int
    scored: int
    precision: Precision = "32-true"

    @property
    def device(self) -> torch.device:
        return self.batch["target"].device

    def step_seconds(self) -> float:
        """Time of a batch forward and backward."""
        self.model.train()
        seconds = quickest(
            lambda: logits_of(self.model, self.batch, self.precision).square().mean().backward(), self.device
        )
        self.model.zero_grad()
        return seconds

    def forecast_seconds(self) -> float:
        """Time of the forecast of one whole frame from cached features."""
        self.model.eval()
        given = model_inputs(self.model, self.whole)
        with torch.inference_mode():
            return quickest(lambda: self.model(**given), self.device)


def logits_of(model: SpreadNetwork, batch: dict[str, Tensor], precision: Precision) -> Tensor:
    """Logits of a batch in the arithmetic of training, as float32."""
    with torch.autocast(batch["target"].device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
        return model(**model_inputs(model, batch)).float()


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


def first_batch(settings: Settings, layout: Layout, device: str = "auto") -> FirstBatch:
    """Build the network and read its first batch; steps of it lie far apart in the data.

    Args:
        settings: the configuration, or one of its variants.
        layout: its paths; split and features must be there.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        InputError: a store or the split is missing or does not fit, or there is no step to train on.
    """
    where, training, history = choose_device(device), settings.training, settings.model.history
    lightning.seed_everything(training.seeds[0], verbose=False)
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    landscapes = open_landscapes(layout, sizes)
    model = build_model(sizes, settings).to(where)
    served = {"inputs": model.inputs, "hidden": hidden_inputs(settings.model)}
    steps = list_steps(landscapes, split, "train")
    if not steps:
        expected = "fires with two frames or more in training"
        raise InputError(layout.split, "no training step", expected, "change `split` or add fires")
    data = FireSteps(landscapes, steps, history, training.crop, training.flip, 0, **served)
    alike = [n for n in range(len(steps)) if data.size(n) == data.size(0)]
    chosen = alike[:: max(1, len(alike) // training.batch_size)][: training.batch_size]
    scored = list_steps(landscapes, split, "validation", training.validation_steps_per_fire)
    whole = FireSteps(landscapes, [(scored or steps)[-1]], history, **served)
    batch, one = (
        {key: value.to(where) for key, value in of.__getitems__(indices).items()}
        for of, indices in ((data, chosen), (whole, [0]))
    )
    in_epoch = len(steps)
    if training.steps_per_fire is not None:
        in_epoch = len(list_steps(landscapes, split, "train", training.steps_per_fire))
    return FirstBatch(model, batch, one, -(-in_epoch // training.batch_size), len(scored), training.precision)
