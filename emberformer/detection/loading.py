"""Batches of windows for a detector's training: their order in an epoch, from easy to hard where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import numpy as np
from jaxtyping import Float

from emberformer.ahead import ahead
from emberformer.detection.samples import DetectionBatch, DetectionSamples
from emberformer.detection_settings import CurriculumSettings
from emberformer.errors import InputError

LOOKED_AT = 32  # windows that are read together to tell how hard they are


class WindowBatches:
    """Batches of all windows, in their order.

    Args:
        samples: the windows.
        batch_size: windows a batch.

    Raises:
        InputError: there are no windows.
    """

    def __init__(self, samples: DetectionSamples, batch_size: int):
        if not len(samples):
            expected = "windows of training and of validation fires, each of two frames or more"
            raise InputError("detection", "no windows to train or to choose on", expected, "look at split and data")
        self.samples, self.batch_size = samples, batch_size

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch_size)

    def __iter__(self) -> Iterator[DetectionBatch]:
        order = self.order()
        groups = [order[n : n + self.batch_size] for n in range(0, len(order), self.batch_size)]
        jobs = (partial(self.samples.__getitems__, group) for group in groups)
        with closing(ahead(jobs)) as batches:
            yield from batches

    def order(self) -> list[int]:
        """Windows of an epoch."""
        return list(range(len(self.samples)))


class MixedWindows(WindowBatches):
    """Batches in a new order in every epoch; chance is of seed and epoch only.

    A curriculum begins with the easier windows, which come more than once in an epoch then: every epoch has as many.

    Args:
        samples: the windows.
        batch_size: windows a batch.
        seed: of the order.
        of: the curriculum.
        epochs: of the whole run.
    """

    def __init__(self, samples: DetectionSamples, batch_size: int, seed: int, of: CurriculumSettings, epochs: int):
        super().__init__(samples, batch_size)
        self.seed, self.of, self.epochs, self.epoch = seed, of, epochs, 0
        self.by_hardness = np.argsort(hardness(samples), kind="stable") if of.windows < 1 else np.arange(len(samples))

    def begin(self, epoch: int) -> None:
        """Serve what belongs to an epoch, from the next iteration on."""
        self.epoch = epoch
        self.samples.set_epoch(epoch)

    def order(self) -> list[int]:
        """Windows of the epoch, mixed."""
        share = grown(self.of, self.epoch, self.epochs, self.of.windows, 1.0)
        easy = self.by_hardness[: max(1, round(share * len(self.by_hardness)))]
        rng = np.random.default_rng((self.seed, self.epoch))
        return rng.permutation(np.resize(rng.permutation(easy), len(self.by_hardness))).tolist()


def grown(of: CurriculumSettings, epoch: int, epochs: int, first: float, last: float) -> float:
    """What rises from `first` to `last` over the curriculum's epochs, linearly.

    >>> [grown(CurriculumSettings(share=0.5), epoch, 8, 0.25, 1.0) for epoch in (0, 2, 4, 7)]
    [0.25, 0.625, 1.0, 1.0]
    """
    done = min(1.0, epoch / max(1.0, of.share * epochs))
    return first + (last - first) * done


def hardness(samples: DetectionSamples) -> Float[np.ndarray, " n"]:
    """How hard windows are: objects, each the more the smaller it is (1 - the square root of its share of the window).

    Windows without any are the easiest. They are looked at in the views of the first epoch.
    """
    samples.set_epoch(0)
    found = []
    for first in range(0, len(samples), LOOKED_AT):
        batch = samples.__getitems__(list(range(first, min(first + LOOKED_AT, len(samples)))))
        found += [float((2 - boxes[:, 2:].prod(1).clamp(0, 1).sqrt()).sum()) for boxes in batch.boxes]
    return np.array(found)
