"""Flipped bytes: one at a time, anywhere in a finished store, and what becomes of each."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.small_store import SmallStore, TrainingRead, contents
from emberformer.errors import InputError
from emberformer.features.shape import block_path
from emberformer.features.verify import verify


@dataclass
class Outcome:
    """What flipped bytes did.

    Args:
        flips: bytes flipped.
        found: `verify` named the file.
        harmless: not found, but training reads what it should, and a store made anew is right or refused.
        refused: training refused the store.
        wrong: training read something else without a word; should be empty.
        unclear: an exception that is no `InputError`; should be empty.
        unnamed: `verify` found something, but not that file; should be empty.
    """

    flips: int = 0
    found: int = 0
    harmless: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    harmless_in: Counter = field(default_factory=Counter)


class Flips:
    """Flips of a whole store; every file is as it was after each.

    Args:
        small: the store.
        folder: for stores that are made anew from a flipped one.
        seed: of all chance.
    """

    def __init__(self, small: SmallStore, folder: Path, seed: int = 0):
        self.small, self.again, self.rng = small, small.at(folder), np.random.default_rng(seed)
        self.whole = contents(small.store)
        self.read = TrainingRead(small)
        self.right = self.read.digest(small.store)
        self.files = [path for path in sorted(small.store.rglob("*")) if path.is_file() and path.stat().st_size]
        self.outcome = Outcome()

    def run(self, flips: int) -> Outcome:
        """Half of the flips by bytes, half by files, so that small files get their share."""
        sizes = np.array([path.stat().st_size for path in self.files], float)
        for number in range(flips):
            share = sizes / sizes.sum() if number % 2 else None
            path = self.files[int(self.rng.choice(len(self.files), p=share))]
            self.flip(path, int(self.rng.integers(path.stat().st_size)), int(self.rng.integers(1, 256)))
        return self.outcome

    def flip(self, path: Path, position: int, change: int) -> None:
        """Flip bits of one byte, look what happens, and put it back."""
        data = path.read_bytes()
        name = str(path.relative_to(self.small.store))
        where = f"{name}, byte {position} ^ {change}"
        self.outcome.flips += 1
        try:
            path.write_bytes(data[:position] + bytes([data[position] ^ change]) + data[position + 1 :])
            found = self._verify(name, where)
            refused = self._train(where)
            if not found or name.startswith(".plan/"):
                self._make_again(where)
            self.outcome.found += found
            self.outcome.refused += refused
            if not found and not refused:
                self.outcome.harmless += 1
                self.outcome.harmless_in[name] += 1
        except Exception as error:  # whatever is not meant for people is a fault of ours
            self.outcome.unclear.append(f"{where}: {type(error).__name__}: {error}")
        finally:
            path.write_bytes(data)

    def _verify(self, name: str, where: str) -> bool:
        try:
            damage = verify(self.small.store)
        except InputError as error:
            named = [str(Path(error.where).relative_to(self.small.store))]
        else:
            named = [found.file for found in damage]
        if named and name not in named:
            self.outcome.unnamed.append(f"{where}: {named}")
        return bool(named)

    def _train(self, where: str) -> bool:
        try:
            if self.read.digest(self.small.store) != self.right:
                self.outcome.wrong.append(where)
        except InputError:
            return True
        return False

    def _make_again(self, where: str) -> None:
        """Plan, extract and index over the flipped store, with nothing to encode and with something."""
        for missing in (False, True):
            shutil.rmtree(self.again.store, ignore_errors=True)
            shutil.copytree(self.small.store, self.again.store)
            if missing:
                block_path(self.again.store, "frame_patches", 0).unlink()
            try:
                self.again.make()
            except InputError:
                continue
            if contents(self.again.store) != self.whole:
                self.outcome.wrong.append(f"{where}, made again")
