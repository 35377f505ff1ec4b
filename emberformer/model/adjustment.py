"""Adjustment of spread rates: how fast a fire was, against what was expected of it, says how fast it will be.

In the field, expected rates of spread are multiplied by a factor that the fire itself has shown (Rothermel and Rinehart
1983, Field procedures for verification and adjustment of fire behavior predictions, USDA Forest Service INT-142). Here
the factor comes from the steps of the history: each is forecast anew from the frame before it, and the time that this
forecast takes to burn as many pixels as did burn is compared with the step. So the network need not know how damp the
fuel is, or what a fuel model it has never seen means, as long as the fire goes on as it did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

SHORTEST = 0.05  # steps; a forecast that takes less for what did burn says no more than this


class Past(NamedTuple):
    """The steps that led to the newest frame, the latest first.

    Args:
        burned: the newest burned area and those before it.
        wind: of each step, (u, v) in units of 10 m/s.
        known: whether the fire was seen before the step.
    """

    burned: Bool[Tensor, "B L+1 H W"]
    wind: Float[Tensor, "B L 2"]
    known: Bool[Tensor, "B L"]


def past_steps(
    fire_pixels: Float[Tensor, "B 2 H W"], wind: Float[Tensor, "B T 2"], valid_t: Bool[Tensor, "B T"]
) -> Past:
    """The steps of a history, from the inputs of a network; of one frame there are none.

    Burned areas only grow, so that in how many frames a pixel burns says in which.
    """
    steps = wind.shape[1] - 1
    frames = fire_pixels[:, 1] * valid_t.sum(1)[:, None, None]  # in which the pixel burns
    burned = torch.stack([frames > lag + 0.5 for lag in range(steps + 1)], 1)
    return Past(burned, wind[:, :-1].flip(1), valid_t[:, :-1].flip(1))


class SpreadAdjustment(nn.Module):
    """A factor on arrival times, from a fire's own past; 1 where there is none.

    With r_l the time, in steps, in which the forecast of the step l frames ago burns as many pixels as did burn, and
    n_l = 1 + the pixels that burned in it, the factor is

        r^-g,   log r = sum_l w_l log r_l / sum_l w_l,   w_l = n_l d^l,   g = sigmoid(a + b log sum_l w_l)

    so that much growth is trusted more than little, and the latest more than what is long past. Where nothing burned,
    r_l is the time until the first pixel would have: the fire was slower than that. A step says nothing where no fire
    was in sight before it (a window of training that the fire reached from outside). a, b and d are learned. In
    training r_l is taken as an observation, and no gradient goes through it; an attribution sees all of it.
    """

    def __init__(self):
        super().__init__()
        self.trust = nn.Parameter(torch.tensor([-1.0, 0.5]))  # a, b
        self.decay = nn.Parameter(torch.tensor(0.0))  # d before its sigmoid

    def forward(
        self,
        arrival_from: Callable[[Float[Tensor, "B 2"], Bool[Tensor, "B H W"]], Float[Tensor, "B H W"]],
        past: Past,
    ) -> Float[Tensor, " B"]:
        """The factor.

        Args:
            arrival_from: arrival times in steps, by the wind and the burned area where fire starts.
            past: steps of the history.
        """
        steps = past.wind.shape[1]
        if not steps:
            return past.wind.new_ones(len(past.wind))
        logs, weights = [], []
        for lag in range(steps):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.training):
                before, after = past.burned[:, lag + 1], past.burned[:, lag]
                arrival = arrival_from(past.wind[:, lag], before)
                was, count = before.flatten(1).sum(1), after.flatten(1).sum(1)
                place = torch.maximum(count, was + 1).clamp(max=before[0].numel())
                taken = [a.flatten().kthvalue(n).values for a, n in zip(arrival, place.tolist(), strict=True)]
                logs.append(torch.stack(taken).clamp(min=SHORTEST).log())
            seen = past.known[:, lag] & (was > 0)
            weights.append((1 + count - was) * seen * self.decay.sigmoid() ** lag)
        weight = torch.stack(weights, 1)
        total = weight.sum(1)
        any_seen = total > 0
        total = torch.where(any_seen, total, 1)
        log = (torch.stack(logs, 1) * weight).sum(1) / total
        trust = torch.sigmoid(self.trust[0] + self.trust[1] * total.log())
        return torch.where(any_seen, (-trust * log).exp(), 1)
