"""Duplicates: the same fire under two names, the same frame twice in a fire."""

from __future__ import annotations

from itertools import pairwise

import xarray as xr

from emberformer.checks.finding import Finding
from emberformer.data.leakage import equal_fires, frames_of

SHOWN = 3  # pairs that a message names


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
