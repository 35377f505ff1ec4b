"""Recomputation: what is cheap to compute again is not kept for the backward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def recomputed(function: Callable[..., Tensor], *arguments: object) -> Tensor:
    """`function(*arguments)`, of which only the arguments are kept; the backward pass computes it a second time.

    The second time stops where the last tensor that a gradient needs is there, so that a matrix product at the end of
    `function` is not repeated. It is meant for norms and activations, which are quick and their results large, and,
    where memory is short, for whole blocks (Chen et al. 2016, arXiv:1604.06174). Random numbers are drawn alike both
    times.
    """
    if not torch.is_grad_enabled():
        return function(*arguments)
    result = checkpoint(function, *arguments, use_reentrant=False, determinism_check="none")
    assert isinstance(result, Tensor), "one tensor comes back"
    return result
