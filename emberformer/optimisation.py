"""Optimisation: parameter groups with rates of their own, and the learning rate's course."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def parameter_groups(parts: Mapping[str, list[nn.Module]], model: nn.Module, rates: Mapping[str, float]) -> list[dict]:
    """Groups for an optimiser: every trainable parameter in exactly one; empty groups are left out.

    Args:
        parts: name of the group -> modules of the network, `model.parts()`.
        model: the network.
        rates: name of the group -> learning rate.

    Raises:
        ValueError: a trainable parameter is in no group, or in two.
    """
    groups, seen = [], set()
    for name, modules in parts.items():
        own = {id(p): p for module in modules for p in module.parameters() if p.requires_grad}
        if twice := seen & set(own):
            raise ValueError(f"{len(twice)} parameters of group {name} are in another group too")
        seen |= set(own)
        if own:
            groups.append({"params": list(own.values()), "lr": rates[name], "name": name})
    left = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in seen]
    if left:
        raise ValueError(f"parameters in no group: {', '.join(left)}")
    return groups


def warm_cosine(optimizer: torch.optim.Optimizer, warmup: float, total_steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warm-up over a share of all steps, then a cosine to zero (Loshchilov and Hutter, arXiv:1608.03983)."""
    warm = max(1, round(warmup * total_steps))

    def course(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total_steps - warm))))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, course)


def exponential_average(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of a model for the exponential average of its weights and buffers, which no optimiser changes.

    Args:
        model: what learns; `update_parameters` of what is returned takes it after every step.
        decay: part of the average that stays.
    """
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True).requires_grad_(False)
