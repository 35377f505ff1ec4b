"""The network that is interpreted, and the steps that it is asked about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from emberformer.calibration import Calibration
from emberformer.checkpoint import load_model, model_inputs, open_landscape
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, Step, hidden_inputs, list_steps
from emberformer.errors import InputError
from emberformer.features.extraction import choose_device
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.model.emberformer import EmberFormer
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.sampling import evenly_spaced
from emberformer.settings import Settings
from emberformer.training_settings import Phase

WIND, HISTORY = "wind", "history"


@dataclass(frozen=True)
class Subject:
    """One trained network on one data set.

    Args:
        model: the network as it was trained.
        inner: the network on tokens: EmberFormer behind an encoder that was fine-tuned, else the network itself.
        sizes: what its shape took from the data.
        settings: what it was trained with.
        landscape: the data set.
        steps: all steps of the fires of the split.
        device: where it is computed.
        calibration: of its logits, so that its probabilities are those of its forecasts.
    """

    model: SpreadNetwork
    inner: SpreadNetwork
    sizes: Sizes
    settings: Settings
    landscape: Landscape
    steps: list[Step]
    device: torch.device
    calibration: Calibration

    def fire_id(self, step: Step) -> str:
        return str(self.landscape.fires.fire_id.values[step.fire])

    def frames_seen(self, step: Step) -> int:
        """Frames that the network is shown at a step."""
        return min(step.step + 1, self.settings.model.history)

    def sampled(self, number: int) -> list[Step]:
        """Some steps, evenly spaced over all fires and times; all where there are fewer."""
        return [self.steps[n] for n in evenly_spaced(len(self.steps), number)]

    def batches(self, groups: Sequence[Sequence[Step]], purpose: str, crop: int | None = None) -> Iterator[Batch]:
        """Each group of steps as one batch, with a progress bar.

        Args:
            groups: the steps.
            purpose: what stands before the bar.
            crop: side in patches of a window about the fire; None: whole frames.
        """
        steps = [step for group in groups for step in group]
        served = FireSteps(
            [self.landscape], steps, self.settings.model.history, crop=crop,
            inputs=self.model.inputs, hidden=hidden_inputs(self.settings.model), block=self.model.block,
        )  # fmt: skip
        first = 0
        for group in tqdm(groups, desc=purpose, unit="step", mininterval=1):
            arrays = served.__getitems__(list(range(first, first + len(group))))
            first += len(group)
            arrays = {key: value.to(self.device) for key, value in arrays.items()}
            yield Batch(list(group), arrays, self._inner_inputs(arrays))

    def _inner_inputs(self, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the inner network takes: as it is served, or as the encoder before it gives it."""
        inputs = model_inputs(self.model, arrays)
        if self.inner is self.model:
            return inputs
        caught: dict[str, Tensor] = {}
        hook = self.inner.register_forward_pre_hook(lambda _, __, named: caught.update(named), with_kwargs=True)
        try:
            with torch.no_grad():
                self.model(**inputs)
        finally:
            hook.remove()
        return caught


@dataclass(frozen=True)
class Batch:
    """Steps, all arrays that are served of them, and what the inner network takes."""

    steps: list[Step]
    arrays: dict[str, Tensor]
    inputs: dict[str, Tensor]


def open_subject(layout: Layout, seed: int, phase: Phase, dataset: str, split: str, device: str = "auto") -> Subject:
    """Open a trained network and its data.

    Args:
        layout: paths of the configuration, or of one of its variants.
        seed: of the model.
        phase: of the model.
        dataset: name of the data set.
        split: fires that it is asked about, "validation" or "test".
        device: auto, cpu, cuda or cuda:N.

    Raises:
        InputError: there is no checkpoint, or no step of such fires.
    """
    where = choose_device(device)
    model, sizes, settings, about = load_model(layout.model(seed, phase) / "model.ckpt")
    landscape = open_landscape(layout, dataset, sizes)
    steps = list_steps([landscape], {dataset: read_split(layout.split, layout.settings.split.leakage)[dataset]}, split)
    if not steps:
        raise InputError(layout.split, f"no step of {split} fires of {dataset}", "some", "choose the other split")
    model = model.to(where)
    inner = next((module for module in model.modules() if isinstance(module, EmberFormer)), model)
    return Subject(model, inner, sizes, settings, landscape, steps, where, about["calibration"])


def band_channels(sizes: Sizes) -> dict[str, dict[str, list[int]]]:
    """Terrain band -> array of the network -> the band's channels in it.

    An angle is two channels, on the raster (east and north) and as cached images (sine and cosine).
    """
    named = {
        "terrain_patches": [channel.split(".")[0] for channel in sizes.channels],
        "terrain_pixels": [channel.split(".")[0] for channel in sizes.raster_channels],
        "categories": [key.split("|")[0] for key in sizes.raster_categories],
    }
    bands = dict.fromkeys(band for names in named.values() for band in names if band != "known")
    return {
        band: {key: [n for n, name in enumerate(names) if name == band] for key, names in named.items()}
        for band in bands
    }
