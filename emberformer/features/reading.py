"""Reading features: a batch of windows into its buffer, from mapped blocks, from zarr-python, or from memory.

Blocks are mapped once and their rows copied straight to their place in the batch. Rows that are not known to be in
memory are announced to the system for the whole batch before the first of them is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from emberformer.errors import InputError
from emberformer.features.rows import Memory, Rows, open_rows, runs
from emberformer.features.shape import Axis, plain_type
from emberformer.views import turned


@dataclass(frozen=True)
class Cut:
    """A window of some rows.

    Args:
        rows: rows of the store, in the order wanted.
        y: patch rows.
        x: patch columns.
        view: how the window is mirrored and turned, see `emberformer.views.turned`.
    """

    rows: tuple[int, ...]
    y: slice
    x: slice
    view: int = 0

    def runs(self) -> list[tuple[int, range]]:
        """Place in `rows` and numbers of consecutive rows."""
        return runs(self.rows)


class TokenReader:
    """Patch tokens of some array of a finished store, as the network takes them.

    Args:
        patches: the rows.
        kind: type that they are stored in.
        device: where the batches are made.
        scale: of every token, for rows of int8.
        blank: tokens of a blank image, to be added to those of int8.
    """

    def __init__(
        self, patches: Rows, kind: str, device: torch.device, scale: Rows | None = None, blank: Tensor | None = None
    ):
        self.patches, self.kind, self.device, self.scale, self.blank = patches, kind, device, scale, blank
        self.shape = patches.shape
        self.dtype = torch.float32 if kind == "int8" else getattr(torch, kind)

    def read(self, cuts: Sequence[Cut], outs: Sequence[Tensor]) -> None:
        """Copy windows to their places: out [rows, (C), Gy', Gx', D'] of each, on the reader's device.

        Raises:
            InputError: a row is damaged.
        """
        wanted = [cut.runs() for cut in cuts]
        for of_cut in wanted:
            for _, run in of_cut:
                self._announce(run)
        for cut, of_cut, out in zip(cuts, wanted, outs, strict=True):
            for place, run in of_cut:
                if self.scale is None:
                    self._copy(self.patches, run, cut, out[place : place + len(run)])
                else:
                    out[place : place + len(run)] = self._decoded(run, cut)

    def announce(self, rows: Sequence[int]) -> None:
        """Have the system bring rows that will be read soon, while those of now are worked on."""
        for _, run in runs(rows):
            self._announce(run)

    def _announce(self, run: range) -> None:
        self.patches.announce(run)
        if self.scale is not None:
            self.scale.announce(run)

    def _copy(self, rows: Rows, run: range, cut: Cut, out: Tensor) -> None:
        done, pieces = 0, cast(Sequence[Any], rows.pieces(run))
        for piece in pieces:
            window = piece[..., cut.y, cut.x, :]
            window = turned(window, -3, cut.view) if cut.view else window
            target = out[done : done + len(piece)]
            if isinstance(window, Tensor):
                target.copy_(window)
            elif self.kind == "bfloat16":  # NumPy has no such type: bits to bits
                target.view(torch.uint16).numpy()[...] = window
            else:
                target.numpy()[...] = window
            done += len(piece)

    def _decoded(self, run: range, cut: Cut) -> Tensor:
        assert self.scale is not None
        codes, scale = (
            torch.cat([torch.as_tensor(p) for p in rows.pieces(run)]) for rows in (self.patches, self.scale)
        )
        values = codes[..., cut.y, cut.x, :].float() * scale[..., cut.y, cut.x, None].float()
        if self.blank is not None:
            values += self.blank[cut.y, cut.x]
        return torch.as_tensor(turned(values, -3, cut.view))


class FeatureReader(TokenReader):
    """Patch tokens of one axis of a finished store.

    Args:
        location: the store, a folder or a URL.
        axis: 'frame' or 'terrain'.
        identity: attributes of the store.
        blank: tokens of a blank image, for stores of int8.
        memory: 'disk' reads what is asked for; 'ram' and 'device' load all rows first.
        device: where the batches are made; with 'device' also where the rows stay.

    Raises:
        InputError: the rows do not fit into memory.
    """

    def __init__(
        self,
        location: Path | str,
        axis: Axis,
        identity: dict[str, Any],
        blank: np.ndarray | None = None,
        memory: Memory = "disk",
        device: torch.device = torch.device("cpu"),  # noqa: B008 (a device is a constant)
    ):
        kind, device = identity["dtype"], device if memory == "device" else torch.device("cpu")
        patches = open_rows(location, f"{axis}_patches", memory, device)
        scale = open_rows(location, f"{axis}_scale", memory, device) if kind == "int8" else None
        about = blank if kind == "int8" and not identity["components"] else None
        added = None if about is None else torch.from_numpy(np.ascontiguousarray(about)).to(device)
        super().__init__(patches, kind, device, scale, added)


class LayerReader(TokenReader):
    """Patch tokens after some of the backbone's blocks, `frame_layers` of a finished store, as it keeps them.

    Args:
        location: the store, a folder or a URL.
        identity: attributes of the store.
        memory: as in `FeatureReader`.
        device: as in `FeatureReader`.

    Raises:
        InputError: the store has no such tokens, or the rows do not fit into memory.
    """

    def __init__(
        self,
        location: Path | str,
        identity: dict[str, Any],
        memory: Memory = "disk",
        device: torch.device = torch.device("cpu"),  # noqa: B008 (a device is a constant)
    ):
        if not identity["layers"]:
            raise InputError(
                location, "a feature store without hidden layers", "tokens after some of the backbone's blocks",
                "name the blocks in `features.layers`, such as [3, 6, 9, 12], and extract again",
            )  # fmt: skip
        kind, device = identity["dtype"], device if memory == "device" else torch.device("cpu")
        patches = open_rows(location, "frame_layers", memory, device)
        super().__init__(patches, plain_type(kind), device)


class MeansReader:
    """`frame_burned` or `terrain_mean` of a finished store: a value a patch instead of a token.

    Args:
        location: the store, a folder or a URL.
        array: name of the array.
        memory: 'disk' reads what is asked for; else all rows are loaded first, into the machine's memory.

    Raises:
        InputError: the rows do not fit into memory.
    """

    def __init__(self, location: Path | str, array: str, memory: Memory = "disk"):
        self.rows = open_rows(location, array, "disk" if memory == "disk" else "ram", torch.device("cpu"))

    def read(self, cut: Cut) -> np.ndarray:
        """A window of some rows [rows, (C), Gy', Gx'].

        Raises:
            InputError: a row is damaged.
        """
        pieces = [np.asarray(piece) for _, run in cut.runs() for piece in self.rows.pieces(run)]
        return turned(np.concatenate(pieces)[..., cut.y, cut.x], -2, cut.view)
