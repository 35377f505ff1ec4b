"""Attention to the past: how the newest moment of a patch weighs the moments before it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from emberformer.errors import InputError
from emberformer.evaluate.boundaries import perimeter
from emberformer.interpretation.subject import Batch, Subject
from emberformer.model.attention import AttentionBlock
from emberformer.model.emberformer import EmberFormer
from emberformer.model.history import patches_near_fire
from emberformer.sampling import evenly_spaced

STEPS = 6  # of each length of history
NEAR = 1  # patches from the front
ROLLOUT = "rollout"


def temporal_attention(subject: Subject) -> pd.DataFrame:
    """Attention by lag, averaged over patches near the front and over the others that look back.

    A patch is near the front if it, or one of its eight neighbours, holds a pixel of the perimeter. Patches that do not
    look back (`model.reach`) have no attention and are left out.

    Returns:
        A row for each layer (from 1; "rollout": all together, see `rolled_out`), head (from 1; "mean"), place
        ("near_front", "elsewhere"), number of frames seen and lag (0 = newest): the mean weight, which adds up to 1
        over lags, and the number of patches. Empty for a network that does not weigh its past.
    """
    weights: dict[tuple, list] = defaultdict(lambda: [0.0, 0])
    inner = subject.inner
    columns = ["layer", "head", "place", "frames_seen", "lag", "weight", "n_patches"]
    if not isinstance(inner, EmberFormer):
        return pd.DataFrame(columns=columns)
    for batch in subject.batches([[step] for step in _steps(subject)], "attention"):
        try:
            layers, rollout = _attention(inner, batch)
        except InputError:  # the settings name a temporal part that weighs nothing
            return pd.DataFrame(columns=columns)
        seen = subject.frames_seen(batch.steps[0])
        named = {(number + 1, head + 1): layers[number, :, :, head] for number in range(len(layers))
                 for head in range(layers.shape[3])}  # fmt: skip
        named |= {(number + 1, "mean"): layers[number].mean(2) for number in range(len(layers))}
        named |= {} if rollout is None else {(ROLLOUT, "mean"): rollout}
        places = _places(inner, batch, layers.shape[1:3])
        for (layer, head), of in named.items():
            for place, chosen in places.items():
                for lag, value in enumerate(of[chosen][:, -seen:].sum(0).flip(0).tolist()):
                    total = weights[layer, head, place, seen, lag]
                    total[0] += value
                    total[1] += int(chosen.sum())
    rows = [(*key, total / n, n) for key, (total, n) in weights.items() if n]
    return pd.DataFrame(rows, columns=columns)


def rolled_out(
    blocks: list[Float[Tensor, "N _ _"]],
) -> Float[Tensor, "N T"]:
    """How much of each moment of the input reaches the newest token through all blocks: attention rollout.

    Each block passes on half of a token itself and half of what it attends to; the product over all blocks.

    Args:
        blocks: attention of each block [N t T], averaged over its heads: of its newest t moments to the T it is given.

    Returns:
        Shares that add up to 1.

    References:
        Abnar and Zuidema (2020), Quantifying attention flow in transformers, arXiv:2005.00928.
    """
    share = torch.ones_like(blocks[-1][:, -1:, :1])[:, 0]  # of the newest moment, the last block's only output
    for attention in reversed(blocks):
        share = nn.functional.pad(share, (attention.shape[1] - share.shape[1], 0))
        passed = nn.functional.pad(share, (attention.shape[2] - attention.shape[1], 0))
        share = 0.5 * passed + 0.5 * torch.einsum("nt,ntu->nu", share, attention)
    return share


def _attention(
    inner: EmberFormer, batch: Batch
) -> tuple[Float[Tensor, "K Gy Gx h T"], Float[Tensor, "Gy Gx T"] | None]:
    """Weights of each block and head, and their rollout where the temporal part is made of blocks of attention."""
    blocks: list[Tensor] = []

    def keep(block: nn.Module, given: tuple, _: object) -> None:
        assert isinstance(block, AttentionBlock), "only these have the hook"
        blocks.append(block.weights(*given)[0].mean(1))

    handles = [m.register_forward_hook(keep) for m in inner.temporal.modules() if isinstance(m, AttentionBlock)]
    try:
        with torch.inference_mode():
            layers = inner.attention_by_lag(batch.inputs)[:, 0]
    finally:
        for handle in handles:
            handle.remove()
    if not blocks:
        return layers, None
    rollout = rolled_out(blocks)
    missing = layers.shape[-1] - rollout.shape[-1]
    return layers, nn.functional.pad(rollout, (missing, 0)).unflatten(0, layers.shape[1:3])


def _places(inner: EmberFormer, batch: Batch, grid: torch.Size) -> dict[str, Bool[Tensor, "Gy Gx"]]:
    burned = batch.arrays["fire_pixels"][:1, 0]
    pixels = burned.shape[1] // grid[0]
    front = torch.from_numpy(perimeter(burned[0].cpu().numpy() > 0.5).astype(np.float32))[None].to(burned.device)
    near = patches_near_fire(front, pixels, NEAR)[0]
    looking = torch.ones_like(near) if inner.reach is None else patches_near_fire(burned, pixels, inner.reach)[0]
    return {"near_front": near & looking, "elsewhere": looking & ~near}


def _steps(subject: Subject) -> list:
    """Some steps of each length of history, evenly spaced."""
    chosen = []
    for seen in range(1, subject.settings.model.history + 1):
        steps = [step for step in subject.steps if subject.frames_seen(step) == seen]
        chosen += [steps[place] for place in evenly_spaced(len(steps), STEPS)]
    return chosen
