"""Distillation: a small network learns the forecasts of the last phase, for quick forecasts in the field.

With logits s of the student and t of the teacher, temperature T and the observed burned area, the loss is
w T^2 KL(sigmoid(t / T) || sigmoid(s / T)) + (1 - w) (loss against what was observed), the first a mean over the pixels
that count (Hinton et al. 2015, arXiv:1503.02531, for two classes). T is a setting; what calibrates the teacher's
forecasts has no part in it, and the student gets a calibration of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import lightning
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from emberformer.checkpoint import build_model, load_model, model_inputs, open_landscapes, trained_parent
from emberformer.data.split import read_split
from emberformer.dataset import hidden_inputs, terrain_rasters
from emberformer.errors import InputError
from emberformer.finetuning import training_of
from emberformer.headwind import Slope
from emberformer.layout import Layout
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.run import EachEpoch, make_trainer
from emberformer.settings import Settings
from emberformer.training import Beginning, Penalty, SpreadTraining, fit, make_loaders
from emberformer.training_settings import DistillationSettings


def distil(settings: Settings, layout: Layout, seed: int, device: str = "auto", threads: int | None = None) -> Path:
    """Train the student and write its folder, as `emberformer.training.train` does for phase 1.

    It sees the training steps, crops and views of phase 1; validation scores are against what was observed.

    Args:
        settings: the whole configuration.
        layout: its paths.
        seed: of the teacher, and of initial weights, order, windows and dropout.
        device: auto, cpu, cuda or cuda:N.
        threads: CPU threads; None: torch's own choice.

    Returns:
        `model.ckpt` of the student, which needs no teacher.

    Raises:
        InputError: no distillation in the configuration, or a teacher that is not trained yet.
    """
    distillation_settings(settings, layout)
    path = trained_parent(layout, seed, "student")
    lightning.seed_everything(seed, verbose=False)
    teacher, sizes, _, _ = load_model(path)
    begun = begin_distillation(settings, layout, seed, teacher, sizes, device, threads)
    return fit(begun, settings, layout, seed, "student")


def begin_distillation(
    settings: Settings,
    layout: Layout,
    seed: int,
    teacher: SpreadNetwork,
    sizes: Sizes,
    device: str = "auto",
    threads: int | None = None,
) -> Beginning:
    """The student before its first step, its weights drawn from torch's chance as it stands.

    Args:
        settings: the whole configuration.
        layout: its paths.
        seed: of order, windows and dropout.
        teacher: whose forecasts it learns, in evaluation mode.
        sizes: of the data.
        device: as in `distil`.
        threads: as in `distil`.
    """
    about = distillation_settings(settings, layout)
    of_student = settings.of_student()
    learned = settings.model.model_copy(update={"lead_times": of_student.model.lead_times})
    in_training = settings.model_copy(update={"model": learned, "training": training_of(settings.training, about)})
    trainer = make_trainer(in_training, layout.model(seed, "student"), device, threads, 1)
    landscapes, split = open_landscapes(layout, sizes), read_split(layout.split, settings.split.leakage)
    student = build_model(sizes, of_student)
    keep_from(student, hidden_inputs(of_student.model), terrain_rasters(sizes.normaliser))
    served = tuple(dict.fromkeys((*teacher.inputs, *student.inputs)))
    steps, batches, validation = make_loaders(
        in_training, layout, landscapes, split, seed, trainer, served, teacher.block
    )
    trainer.callbacks.append(EachEpoch(steps, seed))  # type: ignore[attr-defined]
    teacher = teacher.to(trainer.strategy.root_device).requires_grad_(False)
    training = SpreadTraining(
        student, in_training.training, len(batches) * about.epochs, Slope.of(sizes.normaliser),
        penalty=taught_by(teacher, about.temperature, about.weight), observed=1 - about.weight,
    )  # fmt: skip
    return Beginning(trainer, training, sizes, landscapes, batches, validation)


def distillation_settings(settings: Settings, layout: Layout) -> DistillationSettings:
    """Settings of the student.

    Raises:
        InputError: the configuration has none.
    """
    if settings.distillation is None:
        raise InputError(f"{layout.config}: distillation", "no settings", "a student", "add `distillation: {}`")
    return settings.distillation


def keep_from(network: SpreadNetwork, names: Collection[str], of_terrain: Mapping[str, int]) -> None:
    """Give a network zeros for what it is not to know, though the batches hold it for another.

    Args:
        network: that is not to know.
        names: of arrays.
        of_terrain: of which the terrain alone is kept from it, see `terrain_rasters`.
    """

    def hide(module: torch.nn.Module, arguments: tuple, arrays: dict[str, Tensor]) -> tuple[tuple, dict[str, Tensor]]:
        known = {key: values.clone() if key in names else values for key, values in arrays.items()}
        for name in set(names) & known.keys():
            known[name][:, : of_terrain.get(name)] = 0
        return arguments, known

    if names:
        network.register_forward_pre_hook(hide, with_kwargs=True)


def taught_by(teacher: SpreadNetwork, temperature: float, weight: float) -> Penalty:
    """What a student's logits lose against its teacher's, see above.

    Args:
        teacher: in evaluation mode.
        temperature: T, above 0; the higher, the more the teacher's small probabilities count.
        weight: w, from 0 to 1.
    """

    def penalty(batch: dict[str, Tensor], logits: Tensor, counted: Tensor) -> Tensor:
        with torch.no_grad():
            taught = teacher(**model_inputs(teacher, batch)).float()
        return weight * temperature**2 * divergence(logits / temperature, taught / temperature, counted)

    return penalty


def divergence(
    predicted: Float[Tensor, "B H W"], target: Float[Tensor, "B H W"], counted: Bool[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Mean over the counted pixels of KL(sigmoid(target) || sigmoid(predicted)), in nats; 0 where nothing is counted.

    >>> one = torch.ones(1, 1, 1)
    >>> divergence(0 * one, 0 * one, one > 0), divergence(0 * one, 50 * one, one > 0)  # certain against even: ln 2
    (tensor(0.), tensor(0.6931))
    """
    soft = torch.sigmoid(target)
    surprise = functional.binary_cross_entropy_with_logits(predicted, soft, reduction="none")
    least = functional.binary_cross_entropy_with_logits(target, soft, reduction="none")
    return ((surprise - least) * counted).sum() / counted.sum().clamp(min=1)
