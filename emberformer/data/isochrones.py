"""What a source's isochrones are: the burned area again, another cumulative area, or only the new ring.

The deep_crown layout does not say, so it is measured on every frame while the frames are read. The same counts tell
whether burned pixels ever go out.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass

import numpy as np

from emberformer.data.fires import FireKind, Frame, TargetKind

log = logging.getLogger(__name__)
RING, AREA = 0.05, 0.95  # a ring leaves out the current fire, a cumulative area holds it; in between is doubtful


@dataclass(frozen=True)
class FrameCounts:
    """Sums over frames k, and over steps from frame k - 1 to k of one fire. Counts of two sets of frames add up."""

    frames: int = 0  # that have an isochrone
    equal: int = 0  # isochrone k == burned k
    contains: int = 0  # isochrone k holds burned k
    steps: int = 0
    target_equal: int = 0  # isochrone k == burned k
    target_ring: int = 0  # isochrone k == burned k without burned k - 1
    steps_shrinking: int = 0  # something burned at k - 1 is unburned at k
    pixels: int = 0  # burned at k - 1 ...
    pixels_inside: int = 0  # ... and in isochrone k
    pixels_gone: int = 0  # ... but unburned at k

    def __add__(self, other: FrameCounts) -> FrameCounts:
        theirs = asdict(other)
        return FrameCounts(**{name: number + theirs[name] for name, number in asdict(self).items()})

    @property
    def target_kind(self) -> TargetKind:
        """`same_as_burned` if each step's isochrone is the burned area; else by how much of the current fire it has."""
        if self.frames == 0 or self.target_equal == self.steps:
            return "same_as_burned"
        return "cumulative" if self.pixels_inside > self.pixels / 2 else "increment"


def count_frame(previous: Frame | None, frame: Frame) -> FrameCounts:
    """Counts of one frame and of the step that leads to it; unknown pixels count as not burned.

    Args:
        previous: the frame before, None for the first of a fire.
        frame: the frame; a data set has an isochrone for all of its frames or for none.
    """
    burned = frame.burned == 1
    before = np.zeros_like(burned) if previous is None else previous.burned == 1
    gone = int((before & (frame.burned == 0)).sum())
    step = previous is not None
    counts = FrameCounts(steps=step, steps_shrinking=gone > 0, pixels=int(before.sum()), pixels_gone=gone)
    if frame.isochrone is None:
        return counts
    isochrone = frame.isochrone == 1
    equal, contains = bool((isochrone == burned).all()), bool(isochrone[burned].all())
    ring = bool((isochrone == (burned & ~before)).all())
    return counts + FrameCounts(
        frames=1,
        equal=equal,
        contains=contains,
        target_equal=step and equal,
        target_ring=step and ring,
        pixels_inside=int((before & isochrone).sum()),
    )


def isochrone_shares(counts: FrameCounts) -> dict[str, float]:
    """Shares, from 0 to 1, behind `target_kind`; empty without isochrones.

    Returns:
        equal, contains: of all frames, those where isochrone k is (holds) burned k.
        target_equal, target_ring: of all steps, those where isochrone k is burned k (is what burned since k - 1).
        current_fire_inside_target: of the pixels burned at k - 1, those in isochrone k.
    """
    if counts.frames == 0:
        return {}
    return {
        "equal": counts.equal / counts.frames,
        "contains": counts.contains / counts.frames,
        "target_equal": counts.target_equal / max(counts.steps, 1),
        "target_ring": counts.target_ring / max(counts.steps, 1),
        "current_fire_inside_target": counts.pixels_inside / max(counts.pixels, 1),
    }


def shrinkage_shares(counts: FrameCounts) -> dict[str, float]:
    """Share of steps in which a burned pixel goes out, and share of burned pixels that do."""
    return {
        "steps": counts.steps_shrinking / max(counts.steps, 1),
        "pixels": counts.pixels_gone / max(counts.pixels, 1),
    }


def warn_about(counts: FrameCounts, dataset: str, kind: FireKind) -> None:
    """Log what a user should know: burned areas that shrink, isochrones of doubtful meaning."""
    if counts.steps_shrinking and kind == "cumulative":
        log.warning(
            "%s: burned pixels go out in %.2f %% of the steps (%.3f %% of the burned pixels); the frames are kept so",
            dataset,
            *(100 * share for share in shrinkage_shares(counts).values()),
        )
    inside = counts.pixels_inside / max(counts.pixels, 1)
    if counts.target_kind != "same_as_burned" and RING < inside < AREA:
        log.warning(
            "%s: the isochrones hold %.0f %% of the current fire, neither an area nor a ring; taken as %r",
            dataset,
            100 * inside,
            counts.target_kind,
        )
