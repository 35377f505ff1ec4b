"""Duplicates: the same fire under two names, the same frame twice in a fire."""

from __future__ import annotations

from itertools import pairwise

import xarray as xr

from emberformer.checks.finding import Finding
from emberformer.data.fires import stays_burned
from emberformer.data.leakage import alike, frames_of

SHOWN = 3  # pairs that a message names


def check_duplicates(fires: xr.Dataset) -> list[Finding]:
    """Equal fires, and frames that repeat within a fire; those of fires that go out may come back."""
    frames = frames_of(fires)
    pairs = alike({"": fires})
    names = ", ".join(f"{one[1]} = {other[1]}" for one, other in pairs[:SHOWN])
    repeated = sum(a == b for of in frames.values() for a, b in pairwise(of))
    steps = sum(len(of) - 1 for of in frames.values())
    returned = steps - repeated - sum(len(set(of)) - 1 for of in frames.values())
    wrong = returned > 0 and stays_burned(fires)
    return [
        Finding(
            "WARNING" if pairs else "OK",
            "equal fires",
            f"{len(pairs)} pairs share most of their frames ({names})" if pairs else "none",
            "remove one of each; at least keep them in one split" if pairs else "",
            {"pairs": len(pairs), "first": [[one[1], other[1]] for one, other in pairs[:20]]},
        ),
        Finding(
            "WARNING" if wrong or repeated > 0.3 * steps else "OK",
            "equal frames in a fire",
            f"{repeated} of {steps} steps repeat the frame before; {returned} frames come back later",
            "a frame that comes back is in the wrong place, or its fire shrinks" if wrong else "",
            {"repeated": repeated, "returned": returned},
        ),
    ]
