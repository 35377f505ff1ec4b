"""The patch embedding of images in [0, 1]: replication of grey and normalisation, folded into it.

With the grey value x in all three channels the embedding is sum_c W_c * (x - mean_c) / std_c + b. That is W1 * x + b1
with W1 = sum_c W_c / std_c and b1 = b - sum_c (mean_c / std_c) sum(W_c): exact, but for rounding. For images
of three channels the W_c / std_c stay apart.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from emberformer.errors import InputError
from emberformer.features.families import Family, family_of


def fold_grey(model: nn.Module) -> None:
    """Replace the one patch projection of a vision transformer, so that it takes grey images in [0, 1] itself.

    Raises:
        InputError: there is no such projection, or it does not take three channels.
    """
    parent, name, projection = _projection(model)
    setattr(parent, name, folded(projection, family_of(model)))
    holders: list[Any] = [parent, model.config]
    for holder in holders:
        if hasattr(holder, "num_channels"):
            holder.num_channels = 1  # the modules compare it with what they are given


def fold_colour(model: nn.Module) -> None:
    """As `fold_grey`, but it takes three-channel images in [0, 1].

    Raises:
        InputError: as `fold_grey`.
    """
    parent, name, projection = _projection(model)
    setattr(parent, name, folded(projection, family_of(model), grey=False))


def _projection(model: nn.Module) -> tuple[nn.Module, str, nn.Conv2d]:
    """The one patch projection: the module that holds it, its name there, and itself."""
    projections = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    channels = [module.in_channels for _, module in projections]
    if channels != [3]:
        raise InputError(
            "features.weights", f"a {type(model).__name__} whose convolutions take {channels or 'no'} channels",
            "one patch projection of three-channel images", "choose a DINOv2 or DINOv3 vision transformer",
        )  # fmt: skip
    path, projection = projections[0]
    parent, _, name = path.rpartition(".")
    return model.get_submodule(parent), name, projection


def folded(projection: nn.Conv2d, family: Family, grey: bool = True) -> nn.Conv2d:
    """The projection of images in [0, 1], grey or of three channels, that equals `projection` of normalised images.

    It is computed in float64 and rounded once.
    """
    weight = projection.weight.detach().double()
    mean, deviation = (torch.tensor(values, dtype=torch.float64) for values in (family.mean, family.deviation))
    scaled = weight / deviation.to(weight.device)[:, None, None]
    bias = -(scaled.sum((2, 3)) @ mean.to(weight.device))
    if projection.bias is not None:
        bias += projection.bias.detach().double()
    size, stride = projection.weight.shape[2:], projection.stride
    channels = 1 if grey else 3
    result = nn.Conv2d(channels, projection.out_channels, (size[0], size[1]), (stride[0], stride[1]), device="meta")
    result.weight = nn.Parameter((scaled.sum(1, keepdim=True) if grey else scaled).to(projection.weight.dtype))
    result.bias = nn.Parameter(bias.to(projection.weight.dtype))
    return result
