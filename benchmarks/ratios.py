"""Ratios of times: A and B run in turns, so that what else the machine does slows both, and medians are compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES, SEED = 2000, 0
COVERAGE = 0.95


@dataclass(frozen=True)
class Ratio:
    """How long A takes, over how long B takes.

    Args:
        median_a: seconds.
        median_b: seconds.
        ratio: median_a / median_b.
        low: lower end of the 95 % interval of the ratio.
        high: upper end.
    """

    median_a: float
    median_b: float
    ratio: float
    low: float
    high: float


def interleaved(
    a: Callable[[], object],
    b: Callable[[], object],
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
    before: Callable[[], object] = lambda: None,
) -> Ratio:
    """Time two actions in turns, A B, B A, A B ..., after one run of each that is not counted.

    Args:
        a: the action above the line.
        b: the action below the line.
        repeats: number of timed runs of each.
        clock: seconds; `time.perf_counter` for wall time, `time.process_time` for the CPU time of all threads of this
            process, which other processes disturb less but which sees neither waiting nor the GPU.
        before: run before each of them; not timed.
    """
    for action in (a, b):
        before()
        action()
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats):
        order = ((a, times[0]), (b, times[1]))
        for action, of_action in order if turn % 2 == 0 else order[::-1]:
            before()
            begin = clock()
            action()
            of_action.append(clock() - begin)
    return ratio_of(*times)


def ratio_of(times_a: ArrayLike, times_b: ArrayLike) -> Ratio:
    """Ratio of the medians of times measured in turns, with its percentile bootstrap interval over the turns.

    Turns are drawn whole: what slows a turn slows both of its times.

    References:
        Efron and Tibshirani (1993), An introduction to the bootstrap, chapter 13.
    """
    a, b = np.asarray(times_a, float), np.asarray(times_b, float)
    drawn = np.random.default_rng(SEED).integers(0, len(a), (RESAMPLES, len(a)))
    ratios = np.median(a[drawn], 1) / np.median(b[drawn], 1)
    low, high = np.quantile(ratios, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    middle_a, middle_b = float(np.median(a)), float(np.median(b))
    return Ratio(middle_a, middle_b, middle_a / middle_b, float(low), float(high))
