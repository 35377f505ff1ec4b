"""Losses: `predicted` logits against `target` burned masks, over the pixels that are open to forecast."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional


def open_pixels(target: UInt8[Tensor, "B H W"], burned: Float[Tensor, "B H W"]) -> Bool[Tensor, "B H W"]:
    """Pixels that count: known (not 255) and not burned yet, because burned stays burned."""
    return (target != 255) & (burned < 0.5)


def spread_loss(
    predicted: Float[Tensor, "B H W"],
    target: UInt8[Tensor, "B H W"],
    counted: Bool[Tensor, "B H W"],
    pos_weight: float | None,
    dice: float,
) -> Float[Tensor, ""]:
    """Weighted cross-entropy plus `dice` times (1 - Dice), means over counted pixels.

    Dice = (2 sum p o + 1) / (sum p + sum o + 1), over the batch (Milletari et al. 2016,
    arXiv:1606.04797, without squares).

    Args:
        predicted: logits.
        target: 0 or 1; other values must not be counted.
        counted: pixels that enter the loss.
        pos_weight: weight of burned pixels; None: the share of unburned over burned ones, at most 100.
        dice: weight of the Dice term.

    Returns:
        A number; 0 where nothing is counted.
    """
    observed = (target == 1).to(predicted.dtype)
    share = counted.to(predicted.dtype)
    count = share.sum().clamp(min=1)
    positive = (observed * share).sum()
    weight = (
        ((count - positive) / positive.clamp(min=1)).clamp(1, 100)
        if pos_weight is None
        else predicted.new_tensor(pos_weight)
    )
    entropy = functional.binary_cross_entropy_with_logits(predicted, observed, reduction="none", pos_weight=weight)
    loss = (entropy * share).sum() / count
    if dice:
        probability = torch.sigmoid(predicted) * share
        overlap = (2 * (probability * observed).sum() + 1) / (probability.sum() + positive + 1)
        loss = loss + dice * (1 - overlap)
    return loss
