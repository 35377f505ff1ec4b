"""`python -m benchmarks --only reading`: blocks of the feature store against plain files and `np.memmap`.

Frames of 224 x 224 pixels, so 16 x 16 tokens of dinov2-small (random weights), float16; batches of 8 windows of 5
frames, as training reads them. Cold: no page of the file is in memory and no record is checked yet.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.cold import drop_pages
from benchmarks.made_fires import NAME, make_features, make_fires
from benchmarks.ratios import Ratio, interleaved
from emberformer.data.fires import open_fires
from emberformer.features.block import BlockWriter
from emberformer.features.reading import Cut, FeatureReader
from emberformer.features.rows import ZarrRows
from emberformer.features.store import open_features

FIRES, PIXELS, WINDOW, BATCH = 60, 224, 5, 8
REPEATS = 7


def write_ratio(folder: Path, records: np.ndarray) -> Ratio:
    """Writing a block of float16 tokens with checksums, over writing the same bytes to a plain file."""

    def block() -> None:
        (folder / "block").unlink(missing_ok=True)
        writer = BlockWriter(folder / "block", folder / "partial", records.shape[1:], "float16", len(records))
        for record in records:
            writer.append(record)
        writer.finish()

    def plain() -> None:
        with open(folder / "plain", "wb", buffering=0) as file:
            for record in records:
                file.write(record.tobytes())
            os.fsync(file.fileno())

    return interleaved(block, plain, REPEATS)


class Readers:
    """The same windows by several ways of reading.

    Args:
        store: a feature store.
        plain: the patches of its frames in one plain file that NumPy maps.
    """

    def __init__(self, store: Path, plain: Path):
        self.store, self.plain = store, plain
        self.identity = open_features(store).attrs
        self.opened = self.open()
        self.shape = self.opened.shape

    def open(self) -> FeatureReader:
        """The reader that training uses, as a new process has it."""
        return FeatureReader(self.store, "frame", self.identity)

    def windows(self, cropped: int | None, frames: np.ndarray) -> Iterator[tuple[list[Cut], torch.Tensor]]:
        """Batches of windows that begin at some frames, and where they go."""
        generator = np.random.default_rng(0)
        _, *grid, features = self.shape
        part = np.array(grid if cropped is None else (cropped, cropped))
        rows, columns = part.tolist()
        target = torch.empty(BATCH, WINDOW, rows, columns, features, dtype=torch.float16)
        for begin in range(0, len(frames), BATCH):
            cuts = []
            for frame in frames[begin : begin + BATCH].tolist():
                y, x = (
                    int(generator.integers(0, whole - part + 1))
                    for whole, part in zip(grid, (rows, columns), strict=True)
                )
                cuts.append(Cut(tuple(range(frame, frame + WINDOW)), slice(y, y + rows), slice(x, x + columns)))
            yield cuts, target[: len(cuts)]

    def by_reader(self, cropped: int | None, frames: np.ndarray) -> None:
        """Through blocks; the next batch is announced, as training does."""
        batches = list(self.windows(cropped, frames))
        for n, (cuts, target) in enumerate(batches):
            self.opened.announce(
                [row for following, _ in batches[n + 1 : n + 2] for cut in following for row in cut.rows]
            )
            self.opened.read(cuts, list(target))

    def by_memmap(self, cropped: int | None, frames: np.ndarray) -> None:
        """The least: straight from the mapped plain file."""
        mapped = np.load(self.plain, mmap_mode="r")  # closed at the end: what is mapped cannot be forgotten
        for cuts, target in self.windows(cropped, frames):
            places = target.numpy()
            for place, cut in enumerate(cuts):
                places[place] = mapped[cut.rows[0] : cut.rows[-1] + 1, cut.y, cut.x]

    def by_zarr(self, frames: np.ndarray) -> None:
        """Through zarr-python."""
        rows = ZarrRows(self.store, "frame_patches", {"shape": self.shape, "fill_value": "NaN"})
        for cuts, target in self.windows(None, frames):
            for place, cut in enumerate(cuts):
                (values,) = rows.pieces(range(cut.rows[0], cut.rows[-1] + 1))
                target.numpy()[place] = values

    def forget(self) -> None:
        """Make everything cold."""
        self.opened = self.open()
        drop_pages([self.plain, *(self.store / "frame_patches").rglob("*")])

    def by_rate(self) -> None:
        """The disk's own pace: the plain file from end to end."""
        buffer = bytearray(2**22)
        with open(self.plain, "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def make_readers(folder: Path) -> Readers:
    """Simulate and extract fires."""
    features = {"weights": "random", "architecture": "dinov2-small"}
    settings, layout = make_fires(folder, FIRES, PIXELS, features=features)
    store, fires = layout.features(NAME), open_fires(layout.fires(NAME))
    make_features(fires, store, settings.features)
    np.save(folder / "plain.npy", open_features(store).frame_patches.values)
    return Readers(store, folder / "plain.npy")


def measure() -> dict[str, float]:
    """All figures."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        readers = make_readers(Path(name))
        write = write_ratio(Path(name), np.load(readers.plain))
        last = readers.shape[0] - WINDOW
        some = np.random.default_rng(1).integers(0, last + 1, 16 * BATCH)
        every = np.random.default_rng(2).permutation(np.arange(0, last + 1, WINDOW))

        def ratio(a: Callable[[], None], b: Callable[[], None], before: Callable[[], None] = lambda: None) -> float:
            return interleaved(a, b, REPEATS, before=before).ratio

        whole = ratio(lambda: readers.by_reader(None, some), lambda: readers.by_memmap(None, some))
        crops = ratio(lambda: readers.by_reader(8, some), lambda: readers.by_memmap(8, some))
        slow = ratio(lambda: readers.by_zarr(some), lambda: readers.by_memmap(None, some))
        cold = ratio(readers.by_rate, lambda: readers.by_reader(None, every), readers.forget)
    return {
        "write a block / plain file": round(write.ratio, 2),
        "read windows from blocks / np.memmap": round(whole, 2),
        "read crops of 8 x 8 patches from blocks / np.memmap": round(crops, 2),
        "read windows with zarr-python / np.memmap": round(slow, 1),
        "read windows cold / sequential disk rate": round(cold * len(every) * WINDOW / readers.shape[0], 2),
    }
