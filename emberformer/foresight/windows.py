"""Batches of windows: what a predictor is told of the past, and what came."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from emberformer.foresight.clips import Clips
from emberformer.foresight.standard import Standard
from emberformer.settings import Split

AT_ONCE = 64  # frames


Place = tuple[Int[Tensor, "B 1 1"], Int[Tensor, "B y 1"], Int[Tensor, "B 1 x"]]


@dataclass(frozen=True)
class Batch:
    """Windows of one grid.

    Args:
        patches: components of the history, oldest first.
        valid_t: false on padding.
        wind: of the steps to each frame of the history, then of those to come, in units of 10 m/s.
        static: terrain.
        newest: features of the newest frame, as stored.
        share: burned share of its patches.
        valid: patches that hold a real pixel.
        rows: of the newest frames.
        clips: that they are of.
        place: which part of the frames this is; None: whole frames.
    """

    patches: Float[Tensor, "B T Gy Gx K"]
    valid_t: Bool[Tensor, "B T"]
    wind: Float[Tensor, "B M 2"]
    static: Float[Tensor, "B Gy Gx S"]
    newest: Float[Tensor, "B Gy Gx D"]
    share: Float[Tensor, "B Gy Gx"]
    valid: Bool[Tensor, "B Gy Gx"]
    rows: Int[np.ndarray, " B"]
    clips: Clips
    place: Place | None = None

    @property
    def fires(self) -> list[str]:
        """Name of the fire of each window, with that of its data set."""
        return [f"{self.clips.dataset}/{self.clips.fire_ids[fire]}" for fire in self.clips.fire_of[self.rows]]

    def later(self, gap: int) -> Float[Tensor, "B Gy Gx D"]:
        """Features of the frame so many frames later, as stored."""
        return self._cut(self.clips.features[torch.from_numpy(self.rows + gap)])

    def share_later(self, gap: int) -> Float[Tensor, "B Gy Gx"]:
        """Burned share of its patches."""
        return self._cut(self.clips.share[torch.from_numpy(self.rows + gap)])

    def _cut(self, whole: Tensor) -> Tensor:
        return whole if self.place is None else whole[self.place]


class Windows:
    """Windows of some data sets, whose components are computed once.

    Args:
        clips: the data sets.
        standard: of their features.
        history: newest frames that are told.
        longest: longest gap.
    """

    def __init__(self, clips: Sequence[Clips], standard: Standard, history: int, longest: int):
        self.clips, self.standard, self.history, self.longest = list(clips), standard, history, longest
        self.components = [_components(part, standard) for part in self.clips]

    def batch(self, place: int, rows: Int[np.ndarray, " B"]) -> Batch:
        """Whole frames of one data set."""
        part = self.clips[place]
        past, real = part.history(rows, self.history)
        newest = torch.from_numpy(rows)
        return Batch(
            self.components[place][past].float(), real, part.winds(rows, self.history, self.longest),
            part.static[torch.from_numpy(part.fire_of[rows])], part.features[newest], part.share[newest],
            part.valid.expand(len(rows), -1, -1), rows, part,
        )  # fmt: skip

    def in_order(
        self,
        split: Split,
        per_fire: int | None,
        begun: Mapping[str, Container[tuple[str, int]]] | None = None,
        size: int = 16,
    ) -> Iterator[Batch]:
        """Windows of a split that reach the longest gap.

        Args:
            split: of the fires.
            per_fire: so many of each fire, evenly spaced; None: all.
            begun: data set -> names of fires and numbers of their newest frames; of these data sets all such windows,
                and no others.
            size: windows at once.
        """
        for place, part in enumerate(self.clips):
            wanted = (begun or {}).get(part.dataset)
            rows = part.windows(split, self.longest, per_fire if wanted is None else None)
            if wanted is not None:
                rows = rows[[key in wanted for key in part.named(rows)]]
            for at in range(0, len(rows), size):
                yield self.batch(place, rows[at : at + size])


def _components(clips: Clips, standard: Standard) -> Float[Tensor, "F Gy Gx K"]:
    """Components of every frame, in half precision: a third of what the features take."""
    parts = [
        standard.components(clips.features[at : at + AT_ONCE]).half() for at in range(0, len(clips.features), AT_ONCE)
    ]
    return torch.cat(parts)


def cropped(batch: Batch, gap: int, side: int, rng: np.random.Generator) -> Batch:
    """The same windows cut to a square about a patch that burns now or then; each window has its own.

    Args:
        batch: whole frames.
        gap: frames ahead.
        side: of the square in patches; a smaller grid stays whole.
        rng: chance.
    """
    grid = batch.share.shape[1:]
    rows, columns = (min(side, length) for length in grid)
    burning = (batch.share_later(gap) > 0).numpy()
    corners = []
    for of_window in burning:
        places = np.argwhere(of_window)
        y, x = places[rng.integers(len(places))] if len(places) else (rng.integers(grid[0]), rng.integers(grid[1]))
        corner = [int(at) - int(rng.integers(length)) for at, length in ((y, rows), (x, columns))]
        corners.append([int(np.clip(at, 0, whole - length)) for at, whole, length in
                        zip(corner, grid, (rows, columns), strict=True)])  # fmt: skip
    y = torch.tensor([corner[0] for corner in corners])[:, None, None] + torch.arange(rows)[:, None]
    x = torch.tensor([corner[1] for corner in corners])[:, None, None] + torch.arange(columns)
    place = (torch.arange(len(corners))[:, None, None], y, x)
    return replace(
        batch, patches=batch.patches.transpose(0, 1)[:, *place].transpose(0, 1), static=batch.static[place],
        newest=batch.newest[place], share=batch.share[place], valid=batch.valid[place], place=place,
    )  # fmt: skip
