"""`python -m benchmarks.faults`: jobs killed at any instant and bytes flipped anywhere, and what is lost or read wrong.

Half of the kills come after a random time, half right before a random operation on the store's files; so do kills of
two jobs at once, of the index alone and of `verify --fix`. The store is made by a tiny untrained backbone from
simulated fires; it has two blocks or more of each array, of 8-bit tokens and of hidden layers.
"""

from __future__ import annotations

import argparse
import io
import logging
import tempfile
from contextlib import redirect_stderr
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.flips import Flips
from benchmarks.kills import Kills
from benchmarks.small_store import make_small_store

KILLS, FLIPS = 200, 1000


def measure(kills: int = KILLS, flips: int = FLIPS, seed: int = 0) -> dict[str, float]:
    """Counts of what should never happen, and of where flipped bytes ended."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, redirect_stderr(io.StringIO()):  # thousands of bars of progress
        folder = Path(name)
        small = make_small_store(folder / "made")
        killed = Kills(small, folder / "killed", seed).run(kills)
        flipped = Flips(small, folder / "again", seed).run(flips)
    logging.info("kills: %s", asdict(killed))
    logging.info("flips: %s", asdict(flipped))
    return {
        f"finished blocks computed again after {kills} kills": killed.recomputed + killed.encoded_again,
        f"damaged reads after {kills} kills": killed.damaged_reads + killed.wrong_blocks,
        f"stores not identical after {kills} kills": killed.not_identical,
        f"wrong features read after {flips} flipped bytes": len(flipped.wrong),
        f"errors without a remedy after {flips} flipped bytes": len(flipped.unclear) + len(flipped.unnamed),
        f"found by verify of {flips} flipped bytes": flipped.found,
        f"harmless of {flips} flipped bytes": flipped.harmless,
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--flips", type=int, default=FLIPS)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("emberformer").setLevel(logging.WARNING)
    for name, value in measure(asked.kills, asked.flips, asked.seed).items():
        print(f"{name:70s} {value:8}")


if __name__ == "__main__":
    main()
