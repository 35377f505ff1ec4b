"""What an ensemble is served: batches of training and validation, texts, and how far fire goes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from emberformer.arrival_leads import UNKNOWN
from emberformer.data.texts import Texts
from emberformer.dataset import FireSteps, hidden_inputs, list_steps
from emberformer.ensemble.checkpoint import ensemble_settings
from emberformer.ensemble.generator import Generator
from emberformer.ensemble.prior import Prior
from emberformer.ensemble_settings import EnsembleSettings
from emberformer.errors import InputError
from emberformer.future_arrays import arrival_lead
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.loading import BUFFERS, EpochSteps, GridBatches, Prefetched, StepBatches
from emberformer.prior_forecasts import PriorForecasts
from emberformer.settings import Settings, expand


@dataclass(frozen=True)
class Batches:
    """What a training is served.

    Args:
        steps: what begins an epoch.
        training: batches of it.
        validation: batches of validation, windows as in training.
    """

    steps: EpochSteps
    training: Prefetched
    validation: Prefetched


def make_batches(
    settings: Settings,
    of: EnsembleSettings,
    layout: Layout,
    landscapes: list[Landscape],
    split: dict[str, dict[str, str]],
    seed: int,
    device: torch.device,
    generator: Generator,
) -> Batches:
    """Batches of training and validation.

    Raises:
        InputError: a split without training or validation steps.
    """
    training = settings.training
    of_train = list_steps(landscapes, split, "train", frames_ahead=of.leads)
    of_validation = list_steps(landscapes, split, "validation", of.validation_steps_per_fire, frames_ahead=of.leads)
    for name, steps in (("train", of_train), ("validation", of_validation)):
        if not steps:
            expected = f"fires with {of.leads + 1} frames or more in every split"
            raise InputError(
                layout.split, f"no {name} step", expected, "change `split` or `ensemble.leads`, or add fires"
            )
    wanted = ("arrival_lead", *(("patches_to_come",) if of.alignment else ()), *(("prior",) if of.prior else ()))
    served = {"inputs": ensemble_inputs(generator, None, wanted), "hidden": hidden_inputs(settings.model),
              "pinned": device.type == "cuda", "leads": of.leads, "at_front": True}  # fmt: skip
    dataset = FireSteps(
        landscapes, of_train, settings.model.history, training.crop, training.flip, seed, BUFFERS,
        category_dropout=training.category_dropout, **served,
    )  # fmt: skip
    order = GridBatches([], of.batch_size, True, seed)
    epochs = EpochSteps(dataset, order, of.steps_per_fire)
    windows = FireSteps(landscapes, of_validation, settings.model.history, training.crop, buffers=BUFFERS, **served)
    in_order = GridBatches([windows.shape(n) for n in range(len(windows))], of.batch_size, False)
    return Batches(
        epochs,
        Prefetched(StepBatches(dataset, order), device=device),
        Prefetched(StepBatches(windows, in_order), device=device),
    )


def ensemble_inputs(generator: Generator, prior: Prior | None, further: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Arrays that an ensemble and the network that it starts from are served."""
    of_prior = (*prior.model.inputs, "lead") if prior is not None else ()
    return tuple(dict.fromkeys((*generator.inputs, *of_prior, "wind", "valid_t", *further)))


def read_priors(landscapes: list[Landscape], layout: Layout, seed: int, split: dict[str, dict[str, str]]) -> list[Path]:
    """Give the landscapes with fires to learn from what the last phase's network forecast for them.

    Returns:
        The root of each store that was read.

    Raises:
        InputError: it is not forecast yet.
    """
    of, phase = ensemble_settings(layout.settings, layout.config), layout.parent_phase("ensemble")
    roots = []
    for landscape in landscapes if of.prior else ():
        if {"train", "validation"} & set(split[landscape.name].values()):
            path, ids = layout.learned_from(seed, phase, landscape.name), list(map(str, landscape.fires.fire_id.values))
            landscape.prior = PriorForecasts(path, ids, of.leads)
            roots.append(path / "zarr.json")
    return roots


def margin_of(landscapes: list[Landscape], reach: int, settings: Settings, of: EnsembleSettings) -> int:
    """Pixels from the edges of a training window within which fire may come from outside: as far as fire goes, but no
    more than a third of the window; none where windows are whole frames, or a forecast of the whole frame tells of it.
    """
    crop = settings.training.crop
    if crop is None or of.prior:
        return 0
    side = min(min(landscape.grid[0], landscape.grid[1], crop) * landscape.pixels for landscape in landscapes)
    return min(reach, side // 3)


def reach_of(landscapes: list[Landscape], split: dict[str, dict[str, str]], leads: int) -> int:
    """Pixels that fire went in so many frames at most, over all training steps."""
    furthest = 1.0
    for step in list_steps(landscapes, split, "train", frames_ahead=leads):
        landscape = landscapes[step.landscape]
        row = int(landscape.row_start[step.fire]) + step.step
        lead = arrival_lead(landscape, step.fire, row, leads)
        new = (lead > 0) & (lead < UNKNOWN)
        if new.any() and (lead == 0).any():
            furthest = max(furthest, float(np.asarray(distance_transform_edt(lead != 0))[new].max()))
    return math.ceil(furthest)


def read_texts(landscapes: list[Landscape], of: EnsembleSettings) -> int | None:
    """Give the landscapes the texts that the settings name; length of their embeddings, None without texts.

    Raises:
        InputError: a store that is none, or texts of different sizes.
    """
    for landscape in landscapes if of.text else ():
        landscape.texts = Texts(expand(of.text[landscape.name]), list(map(str, landscape.fires.fire_id.values)))
    shapes = {landscape.name: landscape.texts.shape for landscape in landscapes if landscape.texts is not None}
    if len(set(shapes.values())) > 1:
        remedy = "embed all of them with one model, padded to one length"
        raise InputError("ensemble.text", f"tokens and features {shapes}", "the same for all data sets", remedy)
    return next(iter(shapes.values()))[1] if shapes else None
