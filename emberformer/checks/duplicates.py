"""Duplicates: the same fire under two names, the same frame twice in a fire."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations, pairwise

import xarray as xr

from emberformer.checks.finding import Finding

Fire = tuple[str, str]  # data set, fire_id
SHOWN = 3  # pairs that a message names
CROWD = 50  # fires that share one frame; more of them share an ignition that says nothing


def frames_of(fires: xr.Dataset) -> dict[str, list[str]]:
    """Digests of the frames of each fire, in the order of time."""
    digests, starts = fires["frame_digest"].values, fires["row_start"].values
    return {
        str(name): [str(d) for d in digests[start : start + size]]
        for name, start, size in zip(fires["fire_id"].values, starts, fires["row_size"].values, strict=True)
    }


def equal_fires(frames: Mapping[Fire, list[str]]) -> list[tuple[Fire, Fire]]:
    """Pairs of fires of which the shorter has more than half of its different frames in the other.

    Args:
        frames: digests of the frames of every fire.

    >>> equal_fires({("a", "1"): ["p", "q", "r"], ("a", "2"): ["p", "q", "s", "t"], ("a", "3"): ["p", "u"]})
    [(('a', '1'), ('a', '2'))]
    """
    having: dict[str, list[Fire]] = defaultdict(list)
    for fire, digests in frames.items():
        for digest in dict.fromkeys(digests):
            having[digest].append(fire)
    shared = Counter(pair for of in having.values() if len(of) <= CROWD for pair in combinations(of, 2))
    return [
        (one, other)
        for (one, other), number in shared.items()
        if 2 * number > min(len(set(frames[one])), len(set(frames[other])))
    ]


def check_duplicates(fires: xr.Dataset) -> list[Finding]:
    """Equal fires, and frames that repeat within a fire."""
    frames = frames_of(fires)
    pairs = equal_fires({("", name): digests for name, digests in frames.items()})
    names = ", ".join(f"{one[1]} = {other[1]}" for one, other in pairs[:SHOWN])
    repeated = sum(a == b for of in frames.values() for a, b in pairwise(of))
    steps = sum(len(of) - 1 for of in frames.values())
    returned = steps - repeated - sum(len(set(of)) - 1 for of in frames.values())
    return [
        Finding(
            "WARNING" if pairs else "OK",
            "equal fires",
            f"{len(pairs)} pairs share most of their frames ({names})" if pairs else "none",
            "remove one of each; at least keep them in one split" if pairs else "",
            {"pairs": len(pairs), "first": [[one[1], other[1]] for one, other in pairs[:20]]},
        ),
        Finding(
            "WARNING" if returned or repeated > 0.3 * steps else "OK",
            "equal frames in a fire",
            f"{repeated} of {steps} steps repeat the frame before; {returned} frames come back later",
            "a frame that comes back is in the wrong place, or its fire shrinks" if returned else "",
            {"repeated": repeated, "returned": returned},
        ),
    ]
