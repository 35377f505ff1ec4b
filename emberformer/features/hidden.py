"""Hidden states of whole frames: what stands in the store of all tokens after one block of the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emberformer.errors import InputError
from emberformer.features.rows import Memory, open_rows, runs
from emberformer.features.shape import plain_type


class HiddenReader:
    """All tokens of frames after one block, before the final LayerNorm.

    Args:
        location: the store, a folder or a URL.
        identity: attributes of the store.
        block: number of the block, from 1.
        memory: 'disk', 'ram' or 'device', see `FeatureReader`.
        device: where the batches are made, with 'device'.

    Raises:
        InputError: the store does not hold this block's tokens.
    """

    def __init__(
        self,
        location: Path | str,
        identity: dict[str, Any],
        block: int,
        memory: Memory = "disk",
        device: torch.device = torch.device("cpu"),  # noqa: B008 (a device is a constant)
    ):
        layers = list(identity["layers"])
        if block not in layers:
            raise InputError(
                location, f"tokens after blocks {layers or 'none'}", f"tokens after block {block}",
                f"put {block} into `features.layers`, or train with `path: pixels`",
            )  # fmt: skip
        self.layer = layers.index(block)
        self.device = device if memory == "device" else torch.device("cpu")
        self.patches = open_rows(location, "frame_layers", memory, self.device)
        self.prefix = open_rows(location, "frame_prefix", memory, self.device)
        prefix, features = self.prefix.shape[-2:]
        self.shape = (prefix + self.patches.shape[2] * self.patches.shape[3], features)
        self.dtype = getattr(torch, plain_type(identity["dtype"]))

    def announce(self, rows: Sequence[int]) -> None:
        """Have the system bring rows that will be read soon."""
        for _, run in runs(rows):
            self.patches.announce(run)
            self.prefix.announce(run)

    def read(self, rows: Sequence[int], out: Tensor) -> None:
        """Copy the tokens of rows to their place: out [n S D], the prefix first.

        Raises:
            InputError: a row is damaged.
        """
        first = self.prefix.shape[-2]
        for place, run in runs(rows):
            for source, tokens in ((self.prefix, slice(0, first)), (self.patches, slice(first, None))):
                done = place
                for piece in source.pieces(run):
                    values = torch.as_tensor(piece[:, self.layer])
                    out[done : done + len(values), tokens] = values.reshape(len(values), -1, self.shape[1])
                    done += len(values)
