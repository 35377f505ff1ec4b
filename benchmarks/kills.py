"""Jobs that are killed: at a random instant, or right before one of their operations on the file system."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.small_store import (
    SHARDS,
    SmallStore,
    TrainingRead,
    contents,
    files_of_blocks,
    finished_blocks,
    is_block,
    rows_left,
)
from emberformer.errors import InputError
from emberformer.features.plan import PLAN, plan_folder, read_plan
from emberformer.features.shape import block_path
from emberformer.features.store import shard_manifests

Work = Literal["make", "index", "fix"] | int  # a number: one shard of two that run at once
OPERATIONS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
SHARES = {"make": 0.55, "both": 0.2, "index": 0.15, "fix": 0.1}


@dataclass(frozen=True)
class Instant:
    """When a job dies.

    Args:
        seconds: after it began; None: at an operation.
        operation: number of the operation on the store's files before which it dies, from 1.
    """

    seconds: float | None = None
    operation: int | None = None


def work_on(small: SmallStore, work: Work) -> None:
    """What a job does."""
    if isinstance(work, int):
        small.extract(work)
    else:
        {"make": small.make, "index": small.index, "fix": small.fix}[work]()


def job(small: SmallStore, work: Work, operation: int | None, told: Connection) -> None:
    """Body of a process: say that it begins, do the work, and say how many operations that took.

    Right before the operation that is asked for, the process kills itself.
    """
    operations = 0

    torch.set_num_threads(1)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (lives as long as the process)
    root = str(small.store)

    def watch(event: str, arguments: tuple) -> None:
        nonlocal operations
        # `shutil.rmtree` names files relative to an opened folder, so that removals carry no path of the store.
        ours = event in ("os.remove", "os.rmdir") or any(str(word).startswith(root) for word in arguments[:2])
        if event in OPERATIONS and ours:
            operations += 1
            if operations == operation:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    told.send(0)
    work_on(small, work)
    with suppress(BrokenPipeError):  # who wants no number has closed the pipe
        told.send(operations)


class Jobs:
    """Starts jobs in processes that are there within a fraction of a second: a server that has imported all forks."""

    def __init__(self):
        self.context = multiprocessing.get_context("forkserver")
        # What a job would import only when it needs it goes in too: a kill should hit its work.
        self.context.set_forkserver_preload(["benchmarks.kills", "transformers.models.dinov2.modeling_dinov2"])

    def start(
        self, small: SmallStore, work: Work, operation: int | None = None
    ) -> tuple[ForkServerProcess, Connection]:
        """A process that has begun its work, and where it tells the number of its operations."""
        told, teller = self.context.Pipe(duplex=False)
        process = self.context.Process(target=job, args=(small, work, operation, teller))
        process.start()
        teller.close()
        told.recv()
        return process, told

    def measure(self, small: SmallStore, work: Work) -> tuple[float, int]:
        """Seconds and operations of a job that nobody kills."""
        process, told = self.start(small, work)
        begin = time.perf_counter()
        process.join()
        assert process.exitcode == 0, f"{work} failed"
        return time.perf_counter() - begin, told.recv()

    def kill(self, small: SmallStore, instants: dict[Work, Instant]) -> int:
        """Jobs at once, each killed at its instant; gives how many were still at work then."""
        begun = [(self.start(small, work, instant.operation)[0], instant) for work, instant in instants.items()]
        start = time.perf_counter()
        for process, instant in sorted(begun, key=lambda pair: pair[1].seconds or 0):
            if instant.seconds is not None:
                process.join(max(0.0, instant.seconds - (time.perf_counter() - start)))
                process.kill()
        for process, _ in begun:
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL), "a job ended with an error of its own"
        return sum(process.exitcode != 0 for process, _ in begun)


@dataclass
class Outcome:
    """What kills did; all but the first should be 0.

    Args:
        kills: jobs that were killed at work.
        wrong_blocks: files of blocks that stood under their final name and were not the reference's.
        recomputed: files of finished blocks that were written again.
        encoded_again: frames that were encoded although their block was finished.
        damaged_reads: stores that opened after a kill and gave something else than the reference.
        not_identical: resumed stores that differ from the reference.
    """

    kills: int = 0
    wrong_blocks: int = 0
    recomputed: int = 0
    encoded_again: int = 0
    damaged_reads: int = 0
    not_identical: int = 0


class Kills:
    """Trials: kill, look, perhaps kill again, resume, compare.

    Args:
        reference: a whole store.
        folder: for the stores that are broken.
        seed: of all chance.
    """

    def __init__(self, reference: SmallStore, folder: Path, seed: int = 0):
        self.reference, self.folder, self.rng = reference, folder, np.random.default_rng(seed)
        self.whole = contents(reference.store)
        self.read = TrainingRead(reference)
        self.right = self.read.digest(reference.store)
        self.jobs, self.outcome = Jobs(), Outcome()
        self.plan = read_plan(plan_folder(reference.store) / PLAN)
        self.limits = {work: self._limits(work) for work in ("make", 0, "index", "fix")}

    def run(self, kills: int) -> Outcome:
        """Trials until that many jobs were killed."""
        while self.outcome.kills < kills:
            self.trial(str(self.rng.choice(list(SHARES), p=list(SHARES.values()))))
        return self.outcome

    def trial(self, kind: str) -> None:
        """One store."""
        small = self._begin(kind)
        works: tuple[Work, ...] = tuple(range(SHARDS)) if kind == "both" else (kind,)  # type: ignore[assignment]
        self._kill(small, {work: self._instant(work) for work in works}, kind == "fix")
        while kind != "fix" and self.rng.random() < 0.3:
            self._kill(small, {"make": self._instant("make")})
        if kind == "fix":
            self._fix(small)
        left = rows_left(small.store) if (plan_folder(small.store) / PLAN).exists() else len(self.plan.frame.digests)
        before = self._finished(small)
        small.make()
        self.outcome.encoded_again += max(0, sum(m["encoded_frame"] for m in shard_manifests(small.store)) - left)
        self._compare_finished(small, before)
        self.outcome.not_identical += contents(small.store) != self.whole

    def _begin(self, kind: str) -> SmallStore:
        """A store as a kind of trial finds it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        small = self.reference.at(self.folder)
        if kind in ("index", "fix"):
            shutil.copytree(self.reference.store, small.store)
        if kind == "both":
            small.plan()
        if kind == "fix":
            path = block_path(small.store, "frame_patches", 0)
            data = bytearray(path.read_bytes())
            data[len(data) // 3] ^= 1
            path.write_bytes(data)
        return small

    def _limits(self, work: Work) -> tuple[float, int]:
        kinds: dict[Work, str] = {0: "both"}
        return self.jobs.measure(self._begin(kinds.get(work, str(work))), work)

    def _instant(self, work: Work) -> Instant:
        seconds, operations = self.limits[0 if isinstance(work, int) else work]
        if self.rng.random() < 0.5:
            return Instant(seconds=self.rng.uniform(0, 1.05 * seconds))
        return Instant(operation=int(self.rng.integers(1, operations + 1)))

    def _kill(self, small: SmallStore, instants: dict[Work, Instant], damaged: bool = False) -> None:
        before = {} if damaged else self._finished(small)
        self.outcome.kills += self.jobs.kill(small, instants)
        self._compare_finished(small, before)
        for name, data in contents(small.store).items():
            if is_block(name) and not damaged:
                self.outcome.wrong_blocks += data != self.whole[name]
        with suppress(InputError):
            self.outcome.damaged_reads += self.read.digest(small.store) != self.right

    def _fix(self, small: SmallStore) -> None:
        """`verify --fix` again, unless all that it could do is done."""
        try:
            small.fix()
        except InputError:
            assert not shard_manifests(small.store)

    def _finished(self, small: SmallStore) -> dict[str, tuple[int, int]]:
        return files_of_blocks(small.store, set(finished_blocks(small.store, self.plan)))

    def _compare_finished(self, small: SmallStore, before: dict[str, tuple[int, int]]) -> None:
        after = self._finished(small)
        self.outcome.recomputed += sum(after.get(name) != state for name, state in before.items())
