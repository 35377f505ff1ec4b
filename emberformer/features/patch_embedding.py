"""The patch embedding of grey images: replication to three channels and ImageNet's normalisation, folded into it.

With the grey value x in all three channels the embedding is sum_c W_c * (x - mean_c) / std_c + b. That is W1 * x + b1
with W1 = sum_c W_c / std_c and b1 = b - sum_c (mean_c / std_c) sum(W_c): exact, but for rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from emberformer.errors import InputError

# Mean and standard deviation of ImageNet's channels, with which DINOv2 and DINOv3 were trained
# (facebookresearch/dinov2, data/transforms.py).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def fold_grey(model: nn.Module) -> None:
    """Replace the one patch projection of a vision transformer, so that it takes grey images in [0, 1] itself.

    Raises:
        InputError: there is no such projection, or it does not take three channels.
    """
    projections = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    channels = [module.in_channels for _, module in projections]
    if channels != [3]:
        raise InputError(
            "features.weights", f"a {type(model).__name__} whose convolutions take {channels or 'no'} channels",
            "one patch projection of three-channel images", "choose a DINOv2 or DINOv3 vision transformer",
        )  # fmt: skip
    path, projection = projections[0]
    parent_path, _, name = path.rpartition(".")
    parent = model.get_submodule(parent_path)
    setattr(parent, name, folded(projection))
    holders: list[Any] = [parent, model.config]
    for holder in holders:
        if hasattr(holder, "num_channels"):
            holder.num_channels = 1  # the modules compare it with what they are given


def folded(projection: nn.Conv2d) -> nn.Conv2d:
    """The projection of grey images that equals `projection` of normalised three-channel images.

    It is computed in float64 and rounded once.
    """
    weight = projection.weight.detach().double()
    mean, deviation = (torch.tensor(values, dtype=torch.float64) for values in (IMAGENET_MEAN, IMAGENET_STD))
    scaled = weight / deviation.to(weight.device)[:, None, None]
    bias = -(scaled.sum((2, 3)) @ mean.to(weight.device))
    if projection.bias is not None:
        bias += projection.bias.detach().double()
    size, stride = projection.weight.shape[2:], projection.stride
    grey = nn.Conv2d(1, projection.out_channels, (size[0], size[1]), (stride[0], stride[1]), device="meta")
    grey.weight = nn.Parameter(scaled.sum(1, keepdim=True).to(projection.weight.dtype))
    grey.bias = nn.Parameter(bias.to(projection.weight.dtype))
    return grey
