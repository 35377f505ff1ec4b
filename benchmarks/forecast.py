"""`python -m benchmarks --only forecast`: the next forecast of a fire, once its terrain is in the store.

One frame of 400 x 400 pixels with a history of 6, dinov2-small, the default network, as many torch threads as there are
cores, up to two. Seconds, not a ratio: what matters is how long an analyst waits. Whatever a forecast needs is in it
(reading, rendering, the backbone, the network); loading the programs and the model is not. Of a fire that is followed,
only the newest frame is not in the store; of one that is seen for the first time, all six.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.machine import cores
from benchmarks.made_fires import NAME, make_features, make_fires
from emberformer.checkpoint import build_model, open_landscapes
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.features.backbone import Backbone, load_backbone
from emberformer.features.rendering import dino_input
from emberformer.model_settings import ModelSettings
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.rollout import probability_of

SIDE, HISTORY, REPEATS = 400, 6, 7
SCALES = (1.0, 0.5)  # patches of 14 and of 28 pixels


def seconds(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median time of some runs, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


class NextForecast:
    """The last forecast of a fire of the store.

    Args:
        model: the network.
        backbone: that made the features.
        items: steps of the store.
        index: of the step.
        scale: `features.scale`.
    """

    def __init__(self, model: SpreadNetwork, backbone: Backbone, items: FireSteps, index: int, scale: float):
        self.model, self.backbone, self.items, self.index, self.scale = model, backbone, items, index, scale
        self.frames = items.__getitems__([index])["history_pixels"][0].float()  # masks as they come from a file

    def run(self, encoded: int) -> None:
        """Forecast with the newest `encoded` frames from pixels, and those before them from the store."""
        batch = self.items.__getitems__([self.index])
        if encoded:
            with torch.inference_mode():
                images = dino_input(self.frames[-encoded:, :SIDE, :SIDE], self.backbone.patch_size, self.scale)
                batch["frame_patches"][0, -encoded:] = self.backbone.encode(images).patches
        with torch.inference_mode():
            probability_of(self.model, batch)


def open_next(folder: Path, scale: float) -> NextForecast:
    """A forecast with a whole history, on features that are in the store."""
    features = {"weights": "random", "architecture": "dinov2-small", "scale": scale}
    whole = ModelSettings(history=HISTORY).model_dump(mode="json")
    settings, layout = make_fires(folder, 5, SIDE, features=features, model=whole)
    store, fires = layout.features(NAME), open_fires(layout.fires(NAME))
    make_features(fires, store, settings.features)
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    landscapes = open_landscapes(layout, sizes)
    model = build_model(sizes, settings).eval()
    steps = list_steps(landscapes, split, "train")
    index = next(n for n, step in enumerate(steps) if step.step + 1 >= HISTORY)
    items = FireSteps(landscapes, steps, HISTORY, inputs=(*model.inputs, "history_pixels"))
    return NextForecast(model, load_backbone(settings.features), items, index, scale)


def measure() -> dict[str, float]:
    """All figures."""
    torch.set_num_threads(min(2, cores() or 2))
    logging.disable(logging.INFO)
    figures = {}
    for scale in SCALES:
        with tempfile.TemporaryDirectory() as folder:
            one = open_next(Path(folder), scale)
            for name, encoded in (("stored", 0), ("newest frame from pixels", 1), ("six frames from pixels", HISTORY)):
                figures[f"forecast, {name}, scale {scale:g}, s"] = round(seconds(partial(one.run, encoded)), 3)
    return figures
