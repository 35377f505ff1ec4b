"""Objects of a fire from its burned masks: clusters of newly burned ground, as fronts and spot fires.

Like the active clusters of FEDS (Chen et al. 2022, doi:10.1038/s41597-022-01343-0), on the raster of the masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import find_objects, label

from emberformer.geometry import distance_to, surroundings

KINDS = ("front", "spot")
FRONT, SPOT = range(len(KINDS))


@dataclass(frozen=True)
class ClusterRule:
    """What makes newly burned pixels one object.

    Args:
        connectivity: neighbours of a pixel, 4 or 8.
        reach: pixels by which newly burned ground is grown before its pieces are joined, so that pieces of one kind
            with up to `2 reach` pixels between them are one object; 0 joins only what touches.
        spot_distance: r; a piece is a spot where no pixel within r pixels of it was burned, or unknown, in the frame
            before. Pieces that touch the fire lie at 1 or, across a corner, at 1.41 pixels.
        least_front: pixels of the smallest front.
        least_spot: pixels of the smallest spot.
    """

    connectivity: int = 8
    reach: int = 2
    spot_distance: float = 3.0
    least_front: int = 4
    least_spot: int = 1

    @property
    def least(self) -> tuple[int, int]:
        """Pixels of the smallest front and the smallest spot."""
        return self.least_front, self.least_spot

    @property
    def structure(self) -> Bool[np.ndarray, "3 3"]:
        """Pixels that touch the one in the middle."""
        away = np.abs(np.indices((3, 3)) - 1).sum(0)
        return away <= (1 if self.connectivity == 4 else 2)


class Boxes(NamedTuple):
    """Objects as boxes on a raster.

    Args:
        boxes: x0 y0 x1 y1 in pixels, half open.
        labels: place in `KINDS`.
        pixels: newly burned pixels of each.
    """

    boxes: Float[np.ndarray, "n 4"]
    labels: Int[np.ndarray, " n"]
    pixels: Int[np.ndarray, " n"]


@dataclass(frozen=True)
class FireObjects:
    """Objects of one step, pixel by pixel, so that any window of them has exact boxes.

    Args:
        clusters: 1 + number of the object, 0 = none.
        labels: of each object, place in `KINDS`.
    """

    clusters: Int[np.ndarray, "y x"]
    labels: Int[np.ndarray, " n"]

    def boxes(self, rule: ClusterRule) -> Boxes:
        """Boxes of the objects, of those that have the rule's least number of pixels here."""
        count = np.bincount(self.clusters.ravel(), minlength=len(self.labels) + 1)[1:]
        kept = np.flatnonzero((count > 0) & (count >= np.array(rule.least)[self.labels]))
        found = find_objects(self.clusters, len(self.labels))
        corners = [(x.start, y.start, x.stop, y.stop) for y, x in (found[number] for number in kept)]
        return Boxes(np.array(corners, float).reshape(-1, 4), self.labels[kept], count[kept])


def newly_burned(after: UInt8[np.ndarray, "y x"], before: UInt8[np.ndarray, "y x"] | None) -> Bool[np.ndarray, "y x"]:
    """Pixels that burn and did not in the frame before; what was unknown there is not new.

    >>> newly_burned(np.array([[1, 1, 1, 0]], np.uint8), np.array([[1, 0, 255, 0]], np.uint8)).astype(int).tolist()
    [[0, 1, 0, 0]]
    """
    return (after == 1) if before is None else (after == 1) & (before == 0)


def fire_objects(
    after: UInt8[np.ndarray, "y x"], before: UInt8[np.ndarray, "y x"] | None, rule: ClusterRule
) -> FireObjects:
    """Fronts and spots that came between two frames.

    Pieces (connected newly burned pixels) are told apart first, then pieces of one kind that are near are joined.

    Args:
        after: burned mask, 1 burned, 0 not, 255 unknown.
        before: the same one frame before; None: `after` is the fire's first frame, and everything that burns in it is
            an ignition, a spot.
        rule: what makes an object.
    """
    new = newly_burned(after, before)
    clusters, labels = np.zeros(new.shape, np.int32), []
    y, x = surroundings(new, int(np.ceil(rule.spot_distance)) + rule.reach + 1)
    near = new[y, x]
    if not near.any():
        return FireObjects(clusters, np.zeros(0, np.int64))
    pieces, count = _labelled(near, rule)
    distance = np.full(near.shape, np.inf) if before is None else distance_to(before[y, x] != 0)
    within = np.bincount(pieces[distance <= rule.spot_distance], minlength=count + 1)  # pixels of each piece
    is_spot = near & (within == 0)[pieces]
    for kind, region in ((FRONT, near & ~is_spot), (SPOT, is_spot)):
        if region.any():
            joined, number = _labelled(distance_to(region) <= rule.reach, rule)
            clusters[y, x] += np.where(region, joined + len(labels), 0).astype(np.int32)
            labels += [kind] * number
    return FireObjects(clusters, np.array(labels, np.int64))


def _labelled(region: Bool[np.ndarray, "y x"], rule: ClusterRule) -> tuple[np.ndarray, int]:
    pieces, count = label(region, rule.structure)  # pyright: ignore[reportGeneralTypeIssues]
    return pieces, int(count)


def objects_new_in(fires: xr.Dataset, row: int, rule: ClusterRule) -> FireObjects:
    """Objects that are new in a frame of a fires store, on its whole raster.

    Args:
        fires: an opened fires store.
        row: of the frame; in the first frame of a fire everything that burns is an ignition.
        rule: what makes an object.
    """
    first = int(fires["step"][row]) == 0
    return fire_objects(fires["burned"][row].values, None if first else fires["burned"][row - 1].values, rule)
