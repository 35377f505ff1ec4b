"""Losses: `predicted` logits against `target` burned masks, over the pixels that are open to forecast."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor, distributed
from torch.nn import functional


def open_pixels(target: UInt8[Tensor, "B H W"], burned: Float[Tensor, "B H W"]) -> Bool[Tensor, "B H W"]:
    """Pixels that count: known (not 255) and not burned yet, because burned stays burned."""
    return (target != 255) & (burned < 0.5)


def spread_sums(
    predicted: Float[Tensor, "B H W"], target: UInt8[Tensor, "B H W"], counted: Bool[Tensor, "B H W"]
) -> Float[Tensor, "sums=6"]:
    """Sums over the counted pixels, from which `loss_of_sums` follows; sums of parts of a batch add up to its sums.

    With probability p and observed burned o they are, in this order: 1, o, -o ln p, -(1 - o) ln(1 - p), p o and p.

    Args:
        predicted: logits.
        target: 0 or 1; other values must not be counted.
        counted: pixels that enter the loss.
    """
    observed = (target == 1) & counted
    share, burned = counted.to(predicted.dtype), observed.to(predicted.dtype)
    surprise = functional.softplus(torch.where(observed, -predicted, predicted))
    probability = torch.sigmoid(predicted)
    burned_surprise, overlap = surprise * burned, probability * burned
    parts = (share, burned, burned_surprise, surprise * share - burned_surprise, overlap, probability * share)
    return torch.stack([part.sum() for part in parts])


def loss_of_sums(sums: Float[Tensor, "sums=6"], pos_weight: float | None, dice: float) -> Float[Tensor, ""]:
    """Weighted cross-entropy plus `dice` times (1 - Dice), means over counted pixels.

    Dice = (2 sum p o + 1) / (sum p + sum o + 1), over the batch (Milletari et al. 2016,
    arXiv:1606.04797, without squares).

    Args:
        sums: of `spread_sums`.
        pos_weight: weight of burned pixels; None: the share of unburned over burned ones, at most 100.
        dice: weight of the Dice term.

    Returns:
        A number; 0 where nothing is counted.
    """
    count, positive, missed, alarmed, overlap, probability = sums
    weight = ((count - positive) / positive.clamp(min=1)).clamp(1, 100) if pos_weight is None else pos_weight
    loss = (weight * missed + alarmed) / count.clamp(min=1)
    return loss + dice * (1 - (2 * overlap + 1) / (probability + positive + 1))


def spread_loss(
    predicted: Float[Tensor, "B H W"],
    target: UInt8[Tensor, "B H W"],
    counted: Bool[Tensor, "B H W"],
    pos_weight: float | None,
    dice: float,
) -> Float[Tensor, ""]:
    """`loss_of_sums` of a batch; arguments as there and in `spread_sums`."""
    return loss_of_sums(spread_sums(predicted, target, counted), pos_weight, dice)


def over_processes(sums: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """Sums over all processes that train together; the same tensor where there is one.

    A loss L of the total has in each process the gradient of its own part alone, dL/dtotal * dsums. The model's
    gradient is the sum of these over the processes; since their mean is taken when gradients are exchanged
    (`DistributedDataParallel`), each is multiplied by the number of processes here.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return sums
    total = sums.detach().clone()
    distributed.all_reduce(total)
    return total + (sums - sums.detach()) * distributed.get_world_size()
