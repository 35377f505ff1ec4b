"""Cached tokens of a batch: read straight to their place, into memory that is used again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from emberformer.features.hidden import HiddenReader
from emberformer.features.reading import Cut, TokenReader
from emberformer.landscape import Landscape


@dataclass(frozen=True)
class Sample:
    """One item before its features are read: arrays on the raster, and which features belong to them.

    Args:
        arrays: everything but the features; what `FireSteps` names.
        landscape: whose stores are read.
        fire: number of the fire.
        frames: rows and window of the history's features, oldest first.
        terrain: row and window of the terrain's features.
        to_come: row and window of the features of a frame that is yet to come.
    """

    arrays: dict[str, np.ndarray]
    landscape: Landscape
    fire: int
    frames: Cut
    terrain: Cut
    to_come: Cut


class TokenBatches:
    """Reads what samples name of their stores; padding never passes the backbone, it is zero here.

    Args:
        names: arrays wanted, of `frame_patches`, `frame_layers`, `terrain_patches` and `patches_to_come`.
        history: frames of a sample, T.
        buffers: batches whose memory is used in turn; 0: fresh memory for every batch.
        pinned: page-locked memory, for a GPU.
        block: whose tokens of whole frames are read too, as `frame_hidden`; None: none.
    """

    def __init__(self, names: Collection[str], history: int, buffers: int, pinned: bool, block: int | None = None):
        self.names, self.history, self.buffers, self.pinned = names, history, buffers, pinned
        self.block = block
        self._ring: dict[tuple, list[Tensor]] = {}

    def read(self, samples: Sequence[Sample], size: tuple[int, int]) -> dict[str, Tensor]:
        """Tokens of samples whose windows are of one size, in patches, as `FireSteps` describes them."""
        found = {}
        if "frame_patches" in self.names:
            found["frame_patches"] = self._frame_patches(samples, size)
        if "frame_layers" in self.names:
            found["frame_layers"] = self._frame_layers(samples, size)
        if "terrain_patches" in self.names:
            found["terrain_patches"] = self._terrain_patches(samples, size)
        if "patches_to_come" in self.names:
            found["patches_to_come"] = self._patches_to_come(samples, size)
        if self.block is not None:
            found["frame_hidden"] = self._frame_hidden(samples, self.block)
        return found

    def _frame_hidden(self, samples: Sequence[Sample], block: int) -> Tensor:
        reader = samples[0].landscape.hidden_reader(block)
        hidden = self._buffer("hidden", (len(samples), self.history, *reader.shape), reader)
        for n, sample in enumerate(samples):
            padding = self.history - len(sample.frames.rows)
            hidden[n, :padding] = 0
            sample.landscape.hidden_reader(block).read(sample.frames.rows, hidden[n, padding:])
        return hidden

    def _frame_patches(self, samples: Sequence[Sample], size: tuple[int, int]) -> Tensor:
        first = samples[0].landscape
        shape = (len(samples), self.history, *size, first.features)
        frames = self._buffer("frame", shape, first.frame_reader)
        for landscape, own in _by_landscape(samples):
            outs = []
            for n, sample in own:
                padding = self.history - len(sample.frames.rows)
                frames[n, :padding] = 0
                outs.append(frames[n, padding:])
            landscape.frame_reader.read([sample.frames for _, sample in own], outs)
        return frames

    def _patches_to_come(self, samples: Sequence[Sample], size: tuple[int, int]) -> Tensor:
        first = samples[0].landscape
        patches = self._buffer("to_come", (len(samples), 1, *size, first.features), first.frame_reader)
        for landscape, own in _by_landscape(samples):
            landscape.frame_reader.read([sample.to_come for _, sample in own], [patches[n] for n, _ in own])
        return patches

    def _frame_layers(self, samples: Sequence[Sample], size: tuple[int, int]) -> Tensor:
        reader = samples[0].landscape.layer_reader
        layers = self._buffer("layers", (len(samples), reader.shape[1], *size, reader.shape[-1]), reader)
        for landscape, own in _by_landscape(samples):
            newest = [replace(sample.frames, rows=sample.frames.rows[-1:]) for _, sample in own]
            landscape.layer_reader.read(newest, [layers[n : n + 1] for n, _ in own])
        return layers

    def _terrain_patches(self, samples: Sequence[Sample], size: tuple[int, int]) -> Tensor:
        first = samples[0].landscape
        shape = (len(samples), len(first.channel_order), *size, first.features)
        terrain = self._buffer("terrain", shape, first.frame_reader)
        for landscape, own in _by_landscape(samples):
            landscape.read_terrain([sample.terrain for _, sample in own], [terrain[n] for n, _ in own])
        return terrain

    def _buffer(self, name: str, shape: tuple[int, ...], reader: TokenReader | HiddenReader) -> Tensor:
        """Memory for a batch; the next one of the ring, so that pages are not given back and cleared at every step."""
        kind = (reader.dtype, reader.device)
        if not self.buffers:
            return torch.empty(shape, dtype=kind[0], device=kind[1])
        ring = self._ring.setdefault((name, *shape[1:], *kind), [])
        if ring and shape[0] <= len(ring[0]) and len(ring) >= self.buffers:
            ring.append(ring.pop(0))
        else:
            if ring and shape[0] > len(ring[0]):
                ring.clear()
            pinned = self.pinned and kind[1].type == "cpu"
            ring.append(torch.empty(shape, dtype=kind[0], device=kind[1], pin_memory=pinned))
        return ring[-1][: shape[0]]


def _by_landscape(samples: Sequence[Sample]) -> list[tuple[Landscape, list[tuple[int, Sample]]]]:
    """Samples with their place in the batch, by landscape, so that each reader is asked once."""
    found: dict[Landscape, list[tuple[int, Sample]]] = {}
    for n, sample in enumerate(samples):
        found.setdefault(sample.landscape, []).append((n, sample))
    return list(found.items())
