"""Losses: `predicted` logits against `target` burned masks, over the pixels that are open to forecast.

Every loss is a function of sums over pixels, so that the sums of parts of a batch, or of several processes, add up to
those of the whole.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor, distributed
from torch.nn import functional

from emberformer.headwind import Slope, headwind
from emberformer.training_settings import LossSettings


def open_pixels(target: UInt8[Tensor, "B H W"], burned: Float[Tensor, "B H W"]) -> Bool[Tensor, "B H W"]:
    """Pixels that count: known (not 255) and not burned yet, because burned stays burned."""
    return (target != 255) & (burned < 0.5)


def counted_pixels(batch: dict[str, Tensor]) -> Bool[Tensor, "B H W"]:
    """Pixels of a batch of `emberformer.dataset.FireSteps` that count; where fires go out, all that are known."""
    return open_pixels(batch["target"], batch["fire_pixels"][:, 0] * batch["stays"][:, None, None])


def spread_sums(
    predicted: Float[Tensor, "B H W"], target: UInt8[Tensor, "B H W"], counted: Bool[Tensor, "B H W"]
) -> Float[Tensor, "sums=6"]:
    """Sums over the counted pixels, from which cross-entropy, Dice and Tversky follow.

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


def focal_sums(
    predicted: Float[Tensor, "B H W"],
    target: UInt8[Tensor, "B H W"],
    counted: Bool[Tensor, "B H W"],
    gamma: float,
    alpha: float,
) -> Float[Tensor, "sums=1"]:
    """Sum of alpha (1 - p)^gamma (-ln p) on burned pixels and (1 - alpha) p^gamma (-ln(1 - p)) on the others.

    Lin et al. 2017 (arXiv:1708.02002, eq. 5); arguments as in `spread_sums`.
    """
    observed = target == 1
    wrong = torch.where(observed, -predicted, predicted)
    weight = torch.where(observed, alpha, 1 - alpha) * counted
    error = torch.sigmoid(wrong).clamp(min=1e-6)  # a power below 1 has no slope at 0
    return (weight * error**gamma * functional.softplus(wrong)).sum()[None]


def boundary_sums(
    predicted: Float[Tensor, "B H W"], target: UInt8[Tensor, "B H W"], counted: Bool[Tensor, "B H W"], pixels: int
) -> Float[Tensor, "sums=2"]:
    """Number of counted pixels about the next perimeter, and the sum of their cross-entropy.

    Args:
        predicted: logits.
        target: 0, 1 or 255 = unknown.
        counted: pixels that enter the loss.
        pixels: rows and columns within which a pixel of the band has both burned and unburned pixels.
    """
    kinds = torch.stack([target == 1, target == 0], 1).to(predicted.dtype)
    near = functional.max_pool2d(kinds, 2 * pixels + 1, stride=1, padding=pixels) > 0.5
    band = (near.all(1) & counted).to(predicted.dtype)
    surprise = functional.softplus(torch.where(target == 1, -predicted, predicted))
    return torch.stack([band.sum(), (surprise * band).sum()])


def headwind_sums(
    predicted: Float[Tensor, "B H W"],
    batch: dict[str, Tensor],
    counted: Bool[Tensor, "B H W"],
    slope: Slope | None,
) -> Float[Tensor, "sums=2"]:
    """Number of counted pixels near the burned area, and the sum of p max(0, -n . a) over them.

    n is the direction from the burned area, see `headwind`; a = w / (10 m/s) + r with the newest wind w and the
    uphill gradient r in m/m: a slope of 45 degrees drives fire uphill as a wind of 10 m/s drives it downwind.

    Args:
        predicted: logits.
        batch: `fire_pixels` and `wind`, and `terrain_pixels` with a slope.
        counted: pixels that enter the loss.
        slope: channels of the terrain; None: wind alone.
    """
    burned = batch["fire_pixels"][:, 0]
    push = batch["wind"][:, -1, :, None, None].expand(-1, -1, *burned.shape[1:])
    against, near = headwind(burned, push if slope is None else push + slope.rise(batch["terrain_pixels"]))
    where = (near & counted).to(predicted.dtype)
    return torch.stack([where.sum(), (torch.sigmoid(predicted) * against * where).sum()])


def weighted_cross_entropy(sums: Float[Tensor, "sums=6"], pos_weight: float | None) -> Float[Tensor, ""]:
    """Mean over counted pixels of -(w o ln p + (1 - o) ln(1 - p)); 0 where nothing is counted.

    Args:
        sums: of `spread_sums`.
        pos_weight: w; None: the share of unburned over burned pixels, from 1 to 100.
    """
    count, positive, missed, alarmed, _, _ = sums
    weight = ((count - positive) / positive.clamp(min=1)).clamp(1, 100) if pos_weight is None else pos_weight
    return (weight * missed + alarmed) / count.clamp(min=1)


def dice_loss(sums: Float[Tensor, "sums=6"]) -> Float[Tensor, ""]:
    """1 - Dice = 1 - (2 sum p o + 1) / (sum p + sum o + 1), over the batch; 0 where nothing is counted.

    Milletari et al. 2016 (arXiv:1606.04797), without squares.
    """
    _, positive, _, _, overlap, probability = sums
    return 1 - (2 * overlap + 1) / (probability + positive + 1)


def tversky_loss(sums: Float[Tensor, "sums=6"], alpha: float) -> Float[Tensor, ""]:
    """1 - (TP + 1/2) / (TP + alpha FP + (1 - alpha) FN + 1/2), of sums of probabilities; 1 - Dice for alpha 1/2.

    Salehi et al. 2017 (arXiv:1706.05721); TP = sum p o, FP = sum p (1 - o), FN = sum (1 - p) o.
    """
    _, positive, _, _, overlap, probability = sums
    false_alarms, misses = probability - overlap, positive - overlap
    return 1 - (overlap + 0.5) / (overlap + alpha * false_alarms + (1 - alpha) * misses + 0.5)


class SpreadLoss:
    """The terms of `LossSettings` whose weight is not 0, as sums over a batch and as their weighted total.

    Args:
        settings: weights of the terms, and what each is made with.
        slope: channels of the terrain that tell the slope, for the penalty on headwind; None: wind alone.
    """

    def __init__(self, settings: LossSettings, slope: Slope | None = None):
        self.settings, self.slope = settings, slope
        self.size = 6 + (settings.focal > 0) + 2 * (settings.boundary > 0) + 2 * (settings.wind_direction > 0)

    def sums(
        self, predicted: Float[Tensor, "B H W"], batch: dict[str, Tensor], counted: Bool[Tensor, "B H W"]
    ) -> Float[Tensor, " sums"]:
        """Sums over counted pixels, `size` of them; those of parts of a batch add up to those of the whole."""
        of, target = self.settings, batch["target"]
        parts = [spread_sums(predicted, target, counted)]
        if of.focal:
            parts.append(focal_sums(predicted, target, counted, of.focal_gamma, of.focal_alpha))
        if of.boundary:
            parts.append(boundary_sums(predicted, target, counted, of.boundary_pixels))
        if of.wind_direction:
            parts.append(headwind_sums(predicted, batch, counted, self.slope))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def value(self, sums: Float[Tensor, " sums"]) -> Float[Tensor, ""]:
        """The loss; 0 where nothing is counted."""
        of, spread, further = self.settings, sums[:6], list(sums[6:])
        loss = of.cross_entropy * weighted_cross_entropy(spread, of.pos_weight)
        if of.dice:
            loss = loss + of.dice * dice_loss(spread)
        if of.tversky:
            loss = loss + of.tversky * tversky_loss(spread, of.tversky_alpha)
        if of.focal:
            loss = loss + of.focal * further.pop(0) / spread[0].clamp(min=1)
        for weight in (of.boundary, of.wind_direction):
            if weight:
                count, total = further.pop(0), further.pop(0)
                loss = loss + weight * total / count.clamp(min=1)
        return loss


def loss_inputs(settings: LossSettings) -> tuple[str, ...]:
    """Arrays of a batch that the loss takes beside target and burned area.

    What is hidden from the network is hidden here too: still air, or flat ground.
    """
    return ("wind", "terrain_pixels") if settings.wind_direction else ()


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
