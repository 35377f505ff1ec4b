"""Flow matching: a straight path from noise to data, and a network that learns its velocity.

x_t = (1 - t) x_0 + t x_1 with noise x_0 and data x_1, whose velocity is x_1 - x_0 (Lipman et al. 2023,
arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003). Times are logit-normal (Esser et al. 2024, arXiv:2403.03206,
section 3.1), and shifted towards the noise as there for images of many pixels (section 5.3.2): of a field of many equal
pixels the large features, such as the area that will burn, are told at a time when a single pixel still says next to
nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from emberformer.ensemble.arrival_field import clamped
from emberformer.ensemble.conditioning import Conditioning
from emberformer.ensemble.nano_dit import NanoDiT


class FlowDraw(NamedTuple):
    """The chance of one training batch.

    Args:
        time: of every sample, 0 noise to 1 data.
        noise: x_0, of the field's shape.
        drop: class of every sample, see `emberformer.ensemble.conditioning`.
    """

    time: Float[Tensor, " B"]
    noise: Float[Tensor, "B 1 H W"]
    drop: Int[Tensor, " B"]


class FlowTerms(NamedTuple):
    """What a batch says of a network.

    Args:
        flow: mean squared error of the velocity over the pixels that are open to forecast.
        levels: mean cross-entropy of the values of the field over these pixels, in nats; 0 for a network that tells
            no shares of them.
        alignment: 1 - cosine between the middle block and the features to come; 0 where it is not asked for.
        velocity_norm: root mean square of the network's velocity over these pixels.
    """

    flow: Float[Tensor, ""]
    levels: Float[Tensor, ""]
    alignment: Float[Tensor, ""]
    velocity_norm: Float[Tensor, ""]


def shifted_time(time: Float[Tensor, " n"], shift: float) -> Float[Tensor, " n"]:
    """Times nearer to the noise the larger the shift; 1 leaves them.

    >>> shifted_time(torch.tensor([0.0, 0.5, 1.0]), 3.0).tolist()
    [0.0, 0.25, 1.0]
    """
    return time / (time + shift * (1 - time))


def draw_times(number: int, shift: float, generator: torch.Generator | None = None) -> Float[Tensor, " B"]:
    """Logit-normal times, shifted."""
    return shifted_time(torch.sigmoid(torch.randn(number, generator=generator)), shift)


def flow_terms(
    network: NanoDiT,
    conditioning: Conditioning,
    field: Float[Tensor, "B 1 H W"],
    burned: Bool[Tensor, "B 1 H W"],
    unknown: Bool[Tensor, "B 1 H W"],
    draw: FlowDraw,
    features_to_come: Float[Tensor, "B N P"] | None = None,
    margin: int = 0,
) -> FlowTerms:
    """Errors of a network on one draw.

    Args:
        network: what learns.
        conditioning: of the batch.
        field: x_1, see `emberformer.ensemble.arrival_field`.
        burned: pixels that burn already, which are held.
        unknown: pixels that nothing is known of, which are held and not scored.
        draw: times, noise and classes.
        features_to_come: cached features of the frame that is forecast, row by row of the patches' grid, for the
            alignment of the middle block (Yu et al. 2025, arXiv:2410.06940).
        margin: pixels from the edges of the window that are not scored.

    Raises:
        ValueError: shapes of field and noise differ.
    """
    if draw.noise.shape != field.shape:
        raise ValueError(f"noise of shape {tuple(draw.noise.shape)} for a field of {tuple(field.shape)}")
    t = draw.time[:, None, None, None]
    x_t = clamped((1 - t) * draw.noise + t * field, burned, unknown)
    velocity, middle, scores = network.denoised(x_t, draw.time, network.prepare(conditioning, draw.drop))
    is_open = ~(burned | unknown) & inner(field, margin)
    count = is_open.sum().clamp(min=1)
    error = torch.where(is_open, velocity - (field - draw.noise), 0).square().sum() / count
    norm = torch.where(is_open, velocity, 0).square().sum().div(count).sqrt()
    levels = aligned = error.new_zeros(())
    if scores is not None:
        number = ((field[:, 0] + 1) * network.leads / 2).round().long()
        surprise = functional.cross_entropy(scores, number, reduction="none")[:, None]
        levels = torch.where(is_open, surprise, 0).sum() / count
    if features_to_come is not None:
        aligned = (1 - _alignment(network, middle, conditioning.grid, features_to_come)).mean()
    return FlowTerms(error, levels, aligned, norm.detach())


def inner(like: Float[Tensor, "B 1 H W"], margin: int) -> Bool[Tensor, "H W"]:
    """Pixels that are further from the edges than a margin.

    >>> inner(torch.zeros(1, 1, 3, 4), 1).int().tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    height, width = like.shape[2:]
    inside = torch.zeros(height, width, dtype=torch.bool, device=like.device)
    inside[margin : height - margin, margin : width - margin] = True
    return inside


def _alignment(
    network: NanoDiT, middle: Float[Tensor, "B n D"], grid: tuple[int, int], wanted: Float[Tensor, "B N P"]
) -> Float[Tensor, "B N"]:
    """Cosine between features and the mean of the field's tokens that lie on their patch."""
    if network.alignment is None:
        raise ValueError("the network was made without `aligned_features`")
    finer = (grid[0] * network.finer, grid[1] * network.finer)
    pooled = functional.avg_pool2d(middle.transpose(1, 2).unflatten(2, finer), network.finer).flatten(2).transpose(1, 2)
    return functional.cosine_similarity(network.alignment(pooled), wanted.float(), dim=-1)
