"""`python -m benchmarks --only training`: an epoch from the cache, from memory, and with the backbone in every step.

224 x 224 pixels, dinov2-small (random weights: the same work), histories of 5 frames, one torch thread. Wall time where
reading is compared, CPU time where the backbone runs in every step. Everything but where the tokens come from is equal.
An online step encodes the sample's 5 frames and, once, one terrain image, the least that it could do; EmberFormer's own
terrain has as many images as bands.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import Dinov2Model

from benchmarks.cold import drop_pages
from benchmarks.made_fires import NAME, make_features, make_fires
from benchmarks.plain_stage2 import PlainStage2
from benchmarks.ratios import interleaved
from benchmarks.small_store import CACHED_INPUTS
from emberformer.ahead import ahead
from emberformer.checkpoint import build_model, open_landscapes
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.features.architectures import untrained
from emberformer.loading import BUFFERS
from emberformer.losses import SpreadLoss, open_pixels
from emberformer.network_sizes import Sizes
from emberformer.training_settings import LossSettings

HISTORY, BATCH, REPEATS = 5, 4, 3
LONG, SHORT = 6, 2  # batches of an epoch: where reading is compared, and where the backbone runs in every step
MODEL = {"d_model": 256, "layers": 4, "heads": 8, "feedforward": 1024, "d_wind": 32, "history": HISTORY,
         "dropout": 0.0, "decoder_channels": 128, "travel_time": False, "refinement_channels": 32}  # fmt: skip


def train_on(network: nn.Module, batches, mixed: bool, inputs: Sequence[str] = CACHED_INPUTS) -> None:
    """Optimiser steps on batches, where they lie."""
    optimizer, loss = torch.optim.AdamW(network.parameters()), SpreadLoss(LossSettings())
    for batch in batches:
        with torch.autocast(batch["target"].device.type, torch.bfloat16) if mixed else nullcontext():
            logits = network(**{key: batch[key] for key in inputs}).float()
        counted = open_pixels(batch["target"], batch["fire_pixels"][:, 0])
        loss.value(loss.sums(logits, batch, counted)).backward()
        optimizer.step()
        optimizer.zero_grad()


def online(backbone: Dinov2Model, images: Tensor, mixed: bool) -> None:
    """The frozen backbone over the images of one batch."""
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext():
        for part in images.split(8):
            backbone(part)


def measure() -> dict[str, float]:
    """All figures."""
    torch.set_num_threads(1)
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        features = {"weights": "random", "architecture": "dinov2-small"}
        settings, layout = make_fires(Path(folder), 10, 224, features=features, model=MODEL)
        store, fires = layout.features(NAME), open_fires(layout.fires(NAME))
        make_features(fires, store, settings.features)
        split = read_split(layout.split)
        sizes = Sizes.of(layout, split)

        def opened() -> FireSteps:
            landscapes = open_landscapes(layout, sizes)
            steps = list_steps(landscapes, split, "train")[: BATCH * LONG]
            return FireSteps(landscapes, steps, HISTORY, buffers=BUFFERS, inputs=CACHED_INPUTS)

        return _ratios(build_model(sizes, settings).train(), opened, store)


def _ratios(model: nn.Module, opened: Callable[[], FireSteps], store: Path) -> dict[str, float]:
    plain = PlainStage2(model).train()  # type: ignore[arg-type]
    images = torch.rand(BATCH * (HISTORY + 1), 3, 224, 224)
    small, base = (untrained(f"dinov2-{size}", 0).eval() for size in ("small", "base"))
    chunks = [list(range(n, n + BATCH)) for n in range(0, BATCH * LONG, BATCH)]
    dataset = opened()
    in_memory = [{name: values.clone() for name, values in dataset.__getitems__(chunk).items()} for chunk in chunks]

    def cached(number: int = LONG) -> None:
        with closing(ahead([partial(dataset.__getitems__, chunk) for chunk in chunks[:number]])) as batches:
            train_on(model, batches, mixed=True)

    def forget() -> None:
        nonlocal dataset
        dataset = opened()
        drop_pages(store.rglob("*"))

    def epoch(network: nn.Module, mixed: bool, backbone=None, mixed_backbone: bool = False) -> Callable[[], None]:
        def batches():
            for batch in in_memory[: LONG if backbone is None else SHORT]:
                if backbone is not None:
                    online(backbone, images, mixed_backbone)
                yield batch

        return lambda: train_on(network, batches(), mixed)

    against = {
        "epoch online, transformers float32 / from the cache": epoch(model, True, small),
        "epoch online, torch bfloat16 / from the cache": epoch(model, True, small, True),
        "epoch online, dinov2-base / from the cache": epoch(model, True, base),
        "epoch online and plain / from the cache": epoch(plain, False, small),
    }
    warm = interleaved(cached, epoch(model, True), 2 * REPEATS + 1)
    cold = interleaved(cached, epoch(model, True), 2 * REPEATS + 1, before=forget)
    figures = {
        "epoch from the cache / from memory, warm": round(warm.ratio, 3),
        "epoch from the cache / from memory, cold": round(cold.ratio, 3),
    }
    for name, action in against.items():
        figures[name] = round(interleaved(action, partial(cached, SHORT), REPEATS, time.process_time).ratio, 2)
    return figures
