"""Which patches look back, and over how many steps: work is done only where it can change the forecast."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from emberformer.model.fusion import Fusion, Ground
from emberformer.model.temporal import Temporal

MOST = 0.6  # share of patches near the fire from which on picking them costs more than it saves


def look_back(
    fusion: Fusion,
    temporal: Temporal,
    *,
    fire: Float[Tensor, "B N T D"],
    ground: Ground,
    wind: Float[Tensor, "B T 2"],
    valid_t: Bool[Tensor, "B T"],
) -> Float[Tensor, "B N M"]:
    """Newest token of every patch; padded steps are left out, not only masked.

    On a CPU samples with equally long histories run together, so that no padded step is computed. Elsewhere, where
    starting many small kernels costs more than the steps, all run together from the first real step of any of them.

    Args:
        fusion: fire, terrain and wind to tokens.
        temporal: tokens of a history to the newest one.
        fire: features of N patches at T moments, oldest first, padded on the left.
        ground: what the fusion knows of the patches' terrain.
        wind: (u, v) of each moment.
        valid_t: false on padding; the newest moment is always real.
    """
    together = first_steps(valid_t, apart=fire.device.type == "cpu")
    starts = together.unique().tolist()
    if len(starts) < 2:
        start = starts[0] if starts else 0
        return temporal(fusion(fire[:, :, start:], ground, wind[:, start:]), _unless_all(valid_t[:, start:]))
    groups = [(together == start).nonzero()[:, 0] for start in starts]
    newest = [
        temporal(
            fusion(fire[rows, :, start:], ground.rows(rows), wind[rows, start:]), _unless_all(valid_t[rows, start:])
        )
        for start, rows in zip(starts, groups, strict=True)
    ]
    return torch.cat(newest).index_select(0, torch.cat(groups).argsort())


def first_steps(valid_t: Bool[Tensor, "B T"], apart: bool) -> Int[Tensor, " B"]:
    """First step that is computed of each history: its first real one, or where they run together that of any.

    >>> histories = torch.tensor([[False, False, True], [False, True, True]])
    >>> [first_steps(histories, apart).tolist() for apart in (True, False)]
    [[2, 1], [1, 1]]
    """
    first = valid_t.int().argmax(1)
    return first if apart or not len(first) else first.min(0, keepdim=True).values.expand_as(first)


def _unless_all(valid_t: Bool[Tensor, "B T"]) -> Bool[Tensor, "B T"] | None:
    """None where nothing is padding; asked on a CPU only, because elsewhere the answer would be waited for."""
    return None if valid_t.device.type == "cpu" and bool(valid_t.all()) else valid_t


def look_back_near_fire(
    fusion: Fusion,
    temporal: Temporal,
    near: Bool[Tensor, "B N"],
    *,
    fire: Float[Tensor, "B N T D"],
    ground: Ground,
    wind: Float[Tensor, "B T 2"],
    valid_t: Bool[Tensor, "B T"],
) -> Float[Tensor, "B N M"]:
    """Newest token of every patch, of which only those near the fire look back.

    The others keep the fused token of the newest moment, normed like the rest: the decoder sees terrain and wind there,
    and nothing of the past.

    Args:
        fusion: as in `look_back`.
        temporal: as in `look_back`.
        near: patches that look back (`patches_near_fire`).
        fire: as in `look_back`.
        ground: as in `look_back`.
        wind: as in `look_back`.
        valid_t: as in `look_back`.
    """
    tokens = temporal.without_history(fusion(fire[:, :, -1:], ground, wind[:, -1:])[:, :, 0])
    if near.float().mean() > MOST:
        looking = look_back(fusion, temporal, fire=fire, ground=ground, wind=wind, valid_t=valid_t)
        return torch.where(near[:, :, None], looking.to(tokens.dtype), tokens)
    samples, patches = near.nonzero(as_tuple=True)
    looking = look_back(
        fusion,
        temporal,
        fire=fire[samples, patches][:, None],
        ground=ground.pick(samples, patches),
        wind=wind[samples],
        valid_t=valid_t[samples],
    )
    return tokens.index_put((samples, patches), looking[:, 0].to(tokens.dtype))


def patches_near_fire(burned: Float[Tensor, "B H W"], pixels: int, reach: int) -> Bool[Tensor, "B Gy Gx"]:
    """Patches with a burned pixel, and all within `reach` patches of one (Chebyshev distance).

    A frame in which nothing burns has none.

    >>> patches_near_fire(torch.eye(8)[None] * (torch.arange(8) > 5), pixels=2, reach=1).int().tolist()
    [[[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]]
    """
    patches = functional.max_pool2d(burned[:, None], pixels, ceil_mode=True)
    reach = min(reach, max(patches.shape[2:]))
    rows = functional.max_pool2d(patches, (2 * reach + 1, 1), stride=1, padding=(reach, 0))
    return functional.max_pool2d(rows, (1, 2 * reach + 1), stride=1, padding=(0, reach))[:, 0] > 0.5
