"""Work ahead: the next few jobs run in one background thread while the caller uses the last result."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def ahead(jobs: Iterable[Callable[[], Result]], depth: int = 2) -> Generator[Result, None, None]:
    """Results of jobs, in order; up to `depth` of them are computed before they are asked for.

    One thread, because the jobs read files or copy memory and leave the processor's cores to the model. An exception of
    a job is raised where its result would have come; jobs that were not begun then are dropped. A caller that stops
    early ends the thread by closing the generator.

    >>> list(ahead([lambda: 1, lambda: 2]))
    [1, 2]
    """
    waiting: deque = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        try:
            for job in jobs:
                waiting.append(pool.submit(job))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
