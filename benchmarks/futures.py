"""`python -m benchmarks --only futures`: sixteen futures of one fire of 400 x 400 pixels.

The default ensemble (12 steps) on features at scale 0.5, as many torch threads as there are cores, up to two: of a fire
that may reach all of its frame, and of one that may reach the quarter around it, each with the forecast of the default
network that the futures start from. Untrained weights: they take as long as trained ones. Seconds, not a ratio: what
matters is how long an analyst waits.
"""

from __future__ import annotations

import logging
import tempfile
from functools import partial
from pathlib import Path

import torch

from benchmarks.forecast import SIDE, seconds
from benchmarks.machine import cores
from benchmarks.made_fires import NAME, make_features, make_fires
from emberformer.calibration import Calibration
from emberformer.checkpoint import build_model, open_landscapes
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.ensemble.batches import ensemble_inputs
from emberformer.ensemble.checkpoint import new_generator
from emberformer.ensemble.drawing import Futures
from emberformer.ensemble.prior import Prior
from emberformer.ensemble_settings import EnsembleSettings
from emberformer.features.backbone import CPU
from emberformer.model_settings import ModelSettings
from emberformer.network_sizes import Sizes

SCALE, SEED, REPEATS = 0.5, 0, 3
REACH = {"all of its frame": SIDE, "a quarter of its frame": SIDE // 4}  # pixels


def measure() -> dict[str, float]:
    """All figures."""
    torch.set_num_threads(min(2, cores() or 2))
    logging.disable(logging.INFO)
    return on_device(CPU)


def on_device(device: torch.device) -> dict[str, float]:
    """The same figures of a device."""
    features = {"weights": "random", "architecture": "dinov2-small", "scale": SCALE}
    of, figures = EnsembleSettings(), {}
    with tempfile.TemporaryDirectory() as folder:
        whole = ModelSettings().model_dump(mode="json")
        settings, layout = make_fires(Path(folder), 5, SIDE, features=features, model=whole)
        make_features(open_fires(layout.fires(NAME)), layout.features(NAME), settings.features, str(device))
        split = read_split(layout.split)
        sizes = Sizes.of(layout, split)
        landscapes = open_landscapes(layout, sizes)
        prior = Prior(build_model(sizes, settings).to(device).eval(), Calibration(), of.leads)
        generator = new_generator(sizes, of, None).to(device).eval()
        steps = list_steps(landscapes, split, "train")[:1]
        items = FireSteps(landscapes, steps, settings.model.history, inputs=ensemble_inputs(generator, prior))
        batch = items.__getitems__([0])
        burned = torch.zeros_like(batch["fire_pixels"])
        burned[:, 0, 190:210, 190:210] = 1.0  # in the middle, whatever the fire of the store was
        batch["fire_pixels"] = burned
        batch = {name: values.to(device) for name, values in batch.items()}
        unknown = torch.zeros(burned[:, 0].shape, dtype=torch.bool, device=device)
        for name, reach in REACH.items():
            futures = Futures(generator, of, reach)
            once = partial(_draw, futures, prior, batch, unknown)
            figures[f"futures, {of.members} of a fire that reaches {name}, s"] = round(seconds(once, REPEATS), 2)
    return figures


def _draw(futures: Futures, prior: Prior, batch: dict[str, torch.Tensor], unknown: torch.Tensor) -> None:
    futures(batch, prior(batch), unknown, SEED)
