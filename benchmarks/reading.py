"""`python -m benchmarks --only reading`: blocks of the feature store against plain files and `np.memmap`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from benchmarks.ratios import Ratio, interleaved
from emberformer.features.block import Block, BlockWriter

RECORD, RECORDS, WINDOW = (16, 16, 384), 256, 5
REPEATS = 5


def write_ratio(folder: Path, records: np.ndarray) -> Ratio:
    """Writing a block of float16 tokens with checksums, over writing the same bytes to a plain file."""

    def block() -> None:
        (folder / "block").unlink(missing_ok=True)
        writer = BlockWriter(folder / "block", folder / "partial", RECORD, "float16", RECORDS)
        for record in records:
            writer.append(record)
        writer.finish()

    def plain() -> None:
        with open(folder / "plain", "wb", buffering=0) as file:
            for record in records:
                file.write(record.tobytes())
            os.fsync(file.fileno())

    return interleaved(block, plain, REPEATS)


def read_ratios(folder: Path, records: np.ndarray) -> tuple[Ratio, Ratio]:
    """Reading windows of consecutive frames at random (pages in memory): blocks, and zarr-python, over `np.memmap`."""
    np.save(folder / "records.npy", records)
    mapped = np.load(folder / "records.npy", mmap_mode="r")
    block = Block(folder / "block", RECORD, "float16", RECORDS)
    array = zarr.create_array(
        folder / "zarr",
        shape=records.shape,
        dtype="float16",
        chunks=(1, *RECORD),
        shards=records.shape,
        compressors=Crc32cCodec(),
        filters=None,
    )
    array[:] = records
    starts = np.random.default_rng(0).integers(0, RECORDS - WINDOW, 64)
    target = np.empty((WINDOW, *RECORD), np.float16)

    def windows(source) -> Callable[[], None]:
        def read() -> None:
            for start in starts:
                target[...] = source[start : start + WINDOW]

        return read

    limit = windows(mapped)
    return interleaved(windows(block), limit, REPEATS), interleaved(windows(array), limit, REPEATS)


def measure() -> dict[str, float]:
    """All figures."""
    records = np.random.default_rng(0).normal(size=(RECORDS, *RECORD)).astype(np.float16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write = write_ratio(folder, records)
        read, slow = read_ratios(folder, records)
    return {
        "write a block / plain file": round(write.ratio, 2),
        "read windows from blocks / np.memmap": round(read.ratio, 2),
        "read windows with zarr-python / np.memmap": round(slow.ratio, 1),
    }
