"""Counts of validation forecasts by fold of their fires, from which scores and calibration follow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from emberformer.dataset import Step
from emberformer.evaluate.calibration_fit import FOLDS
from emberformer.evaluate.verification import BINS, BINS_PER_UNIT, CENTRE


def fire_folds(steps: Sequence[Step]) -> Int[Tensor, " steps"]:
    """Fold of each step: the fires take turns in the order in which they first appear."""
    fires = dict.fromkeys((step.landscape, step.fire) for step in steps)
    fold = {fire: number % FOLDS for number, fire in enumerate(fires)}
    return torch.tensor([fold[step.landscape, step.fire] for step in steps], dtype=torch.int64)


def counts_of_forecast(
    logits: Float[Tensor, "B H W"],
    target: UInt8[Tensor, "B H W"],
    counted: Bool[Tensor, "B H W"],
    fold: Int[Tensor, " B"],
) -> Int[Tensor, "folds observed=2 bins"]:
    """Counted pixels by fold, by what was observed and by the logit's bin (`emberformer.evaluate.verification`)."""
    place = (logits[counted] * BINS_PER_UNIT["probability"]).floor().clamp(-CENTRE, CENTRE - 1).long() + CENTRE
    place = place + BINS * ((target[counted] == 1).long() + 2 * fold[:, None, None].expand_as(target)[counted])
    return torch.bincount(place, minlength=FOLDS * 2 * BINS).view(FOLDS, 2, BINS)
