"""`python -m benchmarks`: how far the feature store and the extraction are from what the machine can do.

Each figure is a ratio of two times measured in one run, so that it holds on other machines too; the reference beside
this file says where it was measured. `--write` replaces the reference.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import zarr
from zarr.codecs import Crc32cCodec

from emberformer.features.backbone import load_backbone
from emberformer.features.block import Block, BlockWriter
from emberformer.features.rendering import dino_input, render_frame
from emberformer.settings import FeatureSettings

REFERENCE = Path(__file__).with_name("reference.json")
RECORD, RECORDS, WINDOW = (16, 16, 384), 256, 5
REPEATS = 5


def best_time(action: Callable[[], object]) -> float:
    """Seconds of the fastest of some repeats: the one that other processes disturbed least."""
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return min(times)


def write_ratio(folder: Path, records: np.ndarray) -> float:
    """Writing a block of float16 tokens with checksums, over writing the same bytes to a plain file."""

    def block() -> None:
        writer = BlockWriter(folder / "block", folder / "partial", RECORD, "float16", RECORDS)
        for record in records:
            writer.append(record)
        writer.finish()

    def plain() -> None:
        with open(folder / "plain", "wb", buffering=0) as file:
            for record in records:
                file.write(record.tobytes())
            os.fsync(file.fileno())

    return best_time(block) / best_time(plain)


def read_ratios(folder: Path, records: np.ndarray) -> tuple[float, float]:
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

    limit = best_time(windows(mapped))
    return best_time(windows(block)) / limit, best_time(windows(array)) / limit


def forward_share() -> float:
    """Share of rendering, encoding and casting a batch that is the forward pass (dinov2-small, 224 pixels)."""
    backbone = load_backbone(FeatureSettings(weights="random"))
    burned = (np.random.default_rng(0).random((4, 224, 224)) > 0.9).astype(np.uint8)
    image = dino_input(torch.from_numpy(render_frame(burned)), backbone.patch_size, 1.0)

    def whole() -> None:
        with torch.inference_mode():
            rendered = dino_input(torch.from_numpy(render_frame(burned)), backbone.patch_size, 1.0)
            backbone.encode(rendered)[1].numpy().astype(np.float16)

    def forward() -> None:
        with torch.inference_mode():
            backbone.model(image)

    return best_time(forward) / best_time(whole)


def measure() -> dict[str, float]:
    """All figures."""
    records = np.random.default_rng(0).normal(size=(RECORDS, *RECORD)).astype(np.float16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write = write_ratio(folder, records)
        read, slow = read_ratios(folder, records)
    return {
        "write a block / plain file": round(write, 2),
        "read windows from blocks / np.memmap": round(read, 2),
        "read windows with zarr-python / np.memmap": round(slow, 1),
        "forward pass / whole extraction of a batch": round(forward_share(), 3),
    }


def main() -> None:
    """Print the figures beside the reference."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the reference by what is measured now")
    write = parser.parse_args().write
    figures = measure()
    reference = json.loads(REFERENCE.read_text()) if REFERENCE.exists() else {"figures": {}, "machine": "none"}
    print(f"{'ratio':45s} {'here':>8s} {'reference':>10s}")
    for name, value in figures.items():
        print(f"{name:45s} {value:8} {reference['figures'].get(name, '-')!s:>10s}")
    print(f"reference: {reference['machine']}")
    if write:
        machine = f"{os.cpu_count()} CPU cores, {platform.machine()}, torch {torch.__version__}"
        REFERENCE.write_text(json.dumps({"machine": machine, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
