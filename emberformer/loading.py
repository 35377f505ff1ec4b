"""Loading: which items make a batch, and batches prepared in one thread while the last one is used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import repeat, zip_longest

import numpy as np
import torch
from torch import Tensor

from emberformer.ahead import ahead
from emberformer.data.fires import UNKNOWN
from emberformer.dataset import FireSteps, Step

DEPTH = 2  # batches prepared before they are asked for
BUFFERS = DEPTH + 2  # batches whose memory is in use: those, the one being made and the one being used

Batch = dict[str, Tensor]


class GridBatches:
    """Indices of batches of items that share a patch grid, so that landscapes of different window sizes train together.

    The order follows from `seed` and `epoch` alone. Where several processes train together, each serves its share of
    every batch: together they make the batches that one process makes, none dropped and no item twice.

    Args:
        sizes: patch grid of every item, `FireSteps.shape`.
        batch_size: items a batch, over all processes.
        shuffle: a new order in every epoch, batches of different grids mixed.
        seed: with `epoch` the only source of chance.
        rank: number of this process; it serves items rank, rank + world ... of each batch, which may be none.
        world: number of processes.
    """

    def __init__(
        self,
        sizes: Sequence[tuple[int, ...]],
        batch_size: int,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ):
        self.batch_size, self.shuffle, self.seed, self.epoch = batch_size, shuffle, seed, 0
        self.rank, self.world = rank, world
        self.set_sizes(sizes)

    def set_sizes(self, sizes: Sequence[tuple[int, ...]]) -> None:
        """Serve other items from the next epoch on."""
        self.groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, size in enumerate(sizes):
            self.groups[size].append(index)

    def __len__(self) -> int:
        return sum(-(-len(group) // self.batch_size) for group in self.groups.values())

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        batches: list[list[int]] = []
        for group in self.groups.values():
            items = rng.permutation(group).tolist() if self.shuffle else group
            batches += [items[n : n + self.batch_size] for n in range(0, len(items), self.batch_size)]
        for n in rng.permutation(len(batches)).tolist() if self.shuffle else range(len(batches)):
            yield batches[n][self.rank :: self.world]


class StepBatches:
    """Batches of a dataset in the order of `GridBatches`.

    A process that has no item of a batch serves the first item with an unknown target: all processes make the same
    number of steps, and pixels that are not counted change neither a loss nor a score.
    """

    def __init__(self, dataset: FireSteps, order: GridBatches):
        self.dataset, self.order = dataset, order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        order = list(self.order)
        for indices, following in zip_longest(order, order[1:], fillvalue=[]):
            self.dataset.announce(following)
            batch = self.dataset.__getitems__(indices or [0])
            if not indices:
                batch["target"] = torch.full_like(batch["target"], UNKNOWN)
            yield batch


class EpochSteps:
    """Begins each epoch of the training steps: order, windows and views, and other steps where not all are used.

    Args:
        dataset: the training steps; all of them at first.
        order: their batches.
        per_fire: steps of each fire in an epoch; None: all.
    """

    def __init__(self, dataset: FireSteps, order: GridBatches, per_fire: int | None):
        self.dataset, self.order, self.per_fire = dataset, order, per_fire
        fires: dict[tuple[int, int], list[Step]] = defaultdict(list)
        for step in dataset.steps:
            fires[step.landscape, step.fire].append(step)
        self.fires = list(fires.values())
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Serve what belongs to an epoch, from the next iteration on."""
        self.dataset.epoch = self.order.epoch = epoch
        rng = np.random.default_rng((self.order.seed, epoch)).spawn(1)[0]  # the order draws from its parent
        chosen = [steps[n] for steps in self.fires for n in rng.permutation(len(steps))[: self.per_fire]]
        self.dataset.steps[:] = chosen
        self.order.set_sizes([self.dataset.shape(n) for n in range(len(chosen))])


class Prefetched:
    """Batches of a loader, prepared in one background thread; it ends when the consumer stops, however it does.

    A thread, because reading releases the interpreter: worker processes would copy every batch once more. It knows
    nothing of the consumer's `no_grad` or `inference_mode`. An exception in it is raised where its batch would have
    come. A batch may be kept until the next one is asked for: its memory is used again after that (`BUFFERS`).

    Args:
        loader: batches on the CPU, or already on the device.
        depth: batches prepared before they are asked for; besides these, one is being made.
        device: where the batches go; the thread waits for the copy, so that memory on the CPU is free again by then.
    """

    def __init__(
        self,
        loader: StepBatches,
        depth: int = DEPTH,
        device: torch.device = torch.device("cpu"),  # noqa: B008 (a device is a constant)
    ):
        self.loader, self.depth, self.device = loader, depth, device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        source = iter(self.loader)
        stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

        def prepare() -> Batch | None:
            batch = next(source, None)
            return batch if batch is None or stream is None else _copied(batch, stream)

        jobs: Iterable = repeat(prepare)
        with closing(ahead(jobs, self.depth)) as prepared:
            for batch in prepared:
                if batch is None:
                    return
                if stream is not None:
                    for value in batch.values():
                        value.record_stream(torch.cuda.current_stream(self.device))
                yield batch


def _copied(batch: Batch, stream: torch.cuda.Stream) -> Batch:
    """The batch on the stream's device, beside what the consumer computes there."""
    with torch.cuda.stream(stream):
        moved = {key: value.to(stream.device, non_blocking=True) for key, value in batch.items()}
    stream.synchronize()
    return moved
