"""A tail of fires, from cached hidden states of whole frames.

The tokens of the newest frame and of the one before it are made anew and put in the place of the cached ones; hidden
layers that are told beside them stay the cached ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from emberformer.detection.fire_samples import FRAMES, FireObjectSamples
from emberformer.detection.samples import DetectionBatch, HiddenFrames
from emberformer.detection.tail import ENCODER, Tail
from emberformer.detection_settings import TailSettings
from emberformer.errors import InputError
from emberformer.feature_settings import FeatureSettings
from emberformer.finetuned_checkpoint import Encodings, written
from emberformer.model.finetuned import rounded_through
from emberformer.views import turned


class HiddenFireSamples(FireObjectSamples):
    """Windows of fires with the hidden states that their tokens are made of.

    Args:
        samples: the windows; their landscapes share one grid.
        block: after which the states stand.

    Raises:
        InputError: grids that differ, or a store without the states.
    """

    def __init__(self, samples: FireObjectSamples, block: int):
        self.__dict__.update(samples.__dict__)
        grids = {landscape.grid for landscape in samples.landscapes}
        if len(grids) > 1:
            raise InputError(
                "detection.tail", f"frames of {len(grids)} sizes", "frames of one size", "train on one data set"
            )
        self.whole_grid = next(iter(grids))
        self.hidden = [landscape.hidden_reader(block) for landscape in samples.landscapes]

    def __getitems__(self, indices: list[int]) -> DetectionBatch:
        """A whole batch."""
        batch = super().__getitems__(indices)
        first = self.hidden[0]
        states = torch.zeros(len(indices), FRAMES, *first.shape, dtype=first.dtype)
        known = torch.zeros(len(indices), FRAMES, dtype=torch.bool)
        place = torch.zeros(len(indices), *self.grid, dtype=torch.int64)
        whole = np.arange(self.whole_grid[0] * self.whole_grid[1]).reshape(self.whole_grid)
        for n, index in enumerate(indices):
            window = self.window(index)
            rows = window.landscape.frame_of[window.row - min(window.step, FRAMES - 1) : window.row + 1][::-1]
            self.hidden[self.steps[index].landscape].read(rows.tolist(), states[n, : len(rows)])
            known[n, : len(rows)] = True
            inside = turned(whole[window.y, window.x], 0, window.view)
            place[n, : inside.shape[0], : inside.shape[1]] = torch.from_numpy(inside.copy())
        hidden = HiddenFrames(states, known, place, self.whole_grid)
        return DetectionBatch(
            batch.features, batch.valid, batch.boxes, batch.labels, batch.weights, batch.index, hidden
        )


class CachedTail(Tail):
    """The last blocks alone, from hidden states.

    Args:
        features: as in `Tail`.
        of: as in `Tail`.
        encodings: how tokens are stored, by patch grid.
        weights_sha256: as in `Tail`.
        tokens: numbers of a patch's features that a frame has; its tokens are the last of them.
        where: as in `Tail`.

    Raises:
        InputError: as `Tail`.
    """

    def __init__(
        self,
        features: FeatureSettings,
        of: TailSettings,
        encodings: Encodings,
        weights_sha256: str,
        tokens: int,
        where: Path,
    ):
        super().__init__(features, of, weights_sha256, where)
        self.encodings, self.tokens = dict(encodings), tokens
        self.backbone.keep_tail_only()

    def forward(self, batch: DetectionBatch) -> Float[Tensor, "B C Gy Gx"]:
        """Features with the tokens of both frames made anew."""
        hidden = batch.hidden
        assert hidden is not None, "the samples serve hidden states"
        encoding = self.encodings.get(hidden.grid, self.encodings.get(None))
        assert encoding is not None, "the samples are of the stores that it was made for"
        states = hidden.states[hidden.known]
        whole = rounded_through(self.backbone.encode(ENCODER, states, hidden.grid, self.block), encoding, "frame")
        width, features = whole.shape[-1], batch.features.clone()
        window = hidden.known.nonzero()[:, 0]
        place = hidden.place.flatten(1)[window][..., None].expand(-1, -1, width)
        tokens = whole.flatten(1, 2).gather(1, place).transpose(1, 2).unflatten(2, hidden.place.shape[1:])
        for number in range(FRAMES):
            last = (number + 1) * self.tokens
            own = hidden.known[:, number]
            features[own, last - width : last] = tokens[hidden.known.nonzero()[:, 1] == number]
        return features

    def told(self) -> dict[str, Any]:
        return {**written(self.encodings, self.weights_sha256), "tokens": self.tokens}
