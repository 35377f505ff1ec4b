"""`python -m benchmarks --only gpu`: what a GPU makes of extraction, training and futures; nothing where there is none.

Extraction of frames of 224 x 224 pixels with dinov2-small (random weights: the same work) in bfloat16, beside the bare
backbone on the same images on the GPU. Steps of the default network that read the store, or the store once it lies on
the GPU, beside the same batches that lie there already: what reading costs where the network is fast.
Sixteen futures as `benchmarks.futures` draws them.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks import futures
from benchmarks.extraction import Extraction
from benchmarks.made_fires import NAME, make_features, make_fires
from benchmarks.ratios import interleaved
from benchmarks.training import train_on
from emberformer.checkpoint import build_model, open_landscapes
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.features.rows import Memory
from emberformer.layout import Layout
from emberformer.loading import BUFFERS, EpochSteps, GridBatches, Prefetched, StepBatches
from emberformer.losses import loss_inputs
from emberformer.model_settings import ModelSettings
from emberformer.network_sizes import Sizes
from emberformer.settings import Settings
from emberformer.training_settings import LossSettings

FIRES, PIXELS, BATCH, STEPS, REPEATS = 300, 224, 32, 15, 3
FEATURES = {"weights": "random", "architecture": "dinov2-small", "precision": "bfloat16"}
PLACES: dict[Memory, str] = {"disk": "the store", "device": "the store on the GPU"}


def measure() -> dict[str, float]:
    """All figures; none without a GPU."""
    return on_device(torch.device("cuda")) if torch.cuda.is_available() else {}


def on_device(device: torch.device) -> dict[str, float]:
    """All figures of a device."""
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        whole = ModelSettings().model_dump(mode="json")
        settings, layout = make_fires(Path(folder), FIRES, PIXELS, features=FEATURES, model=whole)
        figures = extraction(Path(folder), settings, layout, device)
        make_features(open_fires(layout.fires(NAME)), layout.features(NAME), settings.features, str(device))
        figures |= training(settings, layout, device)
    return figures | {f"GPU: {name}": value for name, value in futures.on_device(device).items()}


def extraction(folder: Path, settings: Settings, layout: Layout, device: torch.device) -> dict[str, float]:
    """Extraction beside the bare backbone, plain and compiled, and both in frames a second."""
    fires, figures = open_fires(layout.fires(NAME)), {}
    for compile, said in ((False, ""), (True, ", compiled")):
        place = folder / f"extraction{said[2:]}"
        place.mkdir()
        measured = Extraction(place, fires, settings.features, device, compile)
        images = [batch.to(device) for batch in measured.batches()]
        frames = sum(map(len, images))
        share = interleaved(finished(measured.forward(images), device), measured.run, REPEATS)
        figures |= {
            f"GPU: extraction / bare forward, frames a second{said}": round(share.ratio, 3),
            f"GPU: frames a second, bare forward{said}": round(frames / share.median_a),
            f"GPU: frames a second, extraction{said}": round(frames / share.median_b),
        }
        shutil.rmtree(place)
    return figures


def training(settings: Settings, layout: Layout, device: torch.device) -> dict[str, float]:
    """Steps that read, beside steps whose batches lie on the device."""
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    network = build_model(sizes, settings).to(device).train()
    inputs = (*network.inputs, *loss_inputs(LossSettings()))
    figures = {}
    for memory, said in PLACES.items():
        landscapes = open_landscapes(layout, sizes, memory, device)
        dataset = FireSteps(
            landscapes, list_steps(landscapes, split, "train")[: BATCH * STEPS], settings.model.history,
            settings.training.crop, True, 0, BUFFERS, pinned=device.type == "cuda", inputs=inputs,
        )  # fmt: skip
        order = GridBatches([], BATCH, True)
        EpochSteps(dataset, order, None)
        reading = Prefetched(StepBatches(dataset, order), device=device)
        there = [{name: values.clone() for name, values in batch.items()} for batch in reading]
        epoch, bare = (
            finished(partial(train_on, network, of, True, network.inputs), device) for of in (reading, there)
        )
        share = interleaved(epoch, bare, REPEATS)
        figures[f"GPU: training from {said} / from batches on the GPU"] = round(share.ratio, 3)
        if memory == "disk":
            figures["GPU: training samples a second"] = round(len(dataset) / share.median_a)
    return figures


def finished(run: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """The same, over only when the device has done its work."""

    def act() -> None:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return act
