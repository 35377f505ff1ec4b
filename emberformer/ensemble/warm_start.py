"""Warm start: what fits of another checkpoint is copied, and all that was not is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn


class WarmStart(NamedTuple):
    """What became of every entry.

    Args:
        copied: in both, of one shape.
        mismatched: in both, of different shapes; the network keeps its own.
        new: only in the network.
        skipped: only in the checkpoint.
    """

    copied: list[str]
    mismatched: list[str]
    new: list[str]
    skipped: list[str]

    def __str__(self) -> str:
        told = [f"{len(self.copied)} entries copied"]
        others = {"mismatched": self.mismatched, "new": self.new, "skipped": self.skipped}
        told += [f"{name}: {', '.join(entries)}" for name, entries in others.items() if entries]
        return "; ".join(told)


def warm_start(network: nn.Module, state: Mapping[str, Tensor]) -> WarmStart:
    """Copy the entries of a checkpoint that fit; the network is changed in place.

    Args:
        network: as it begins.
        state: of a network that may have other parts.
    """
    own = network.state_dict()
    copied = [name for name in own if name in state and own[name].shape == state[name].shape]
    with torch.no_grad():
        for name in copied:
            own[name].copy_(state[name])
    mismatched = [name for name in own if name in state and name not in copied]
    return WarmStart(copied, mismatched, [n for n in own if n not in state], [n for n in state if n not in own])
