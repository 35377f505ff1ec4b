"""What fires do from frame to frame: how much burns, how much is new, where it runs, whether it shrinks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from emberformer.checks.finding import Finding
from emberformer.data.fires import UNKNOWN, stays_burned

RARE = 1e-4  # share of new fire among unburned pixels under which a loss hardly sees it


@dataclass(frozen=True)
class Growth:
    """Pixel counts of frames [frame], and of steps [step] from a frame to the next; all fires one after another.

    Args:
        burned: burned pixels of each frame.
        unknown: unknown pixels of each frame.
        edge: burned pixels of each frame on the edge of the window.
        pixels: of a window.
        row: of each step, position of its first frame on the `frame` axis.
        open: pixels that are not burned at the beginning of the step and known at its end.
        new: of these, how many burn.
        gone: burned pixels that are unburned at the end.
        drift: mean position of new fire less that of the fire before, pixels towards east and north; NaN = none.
        stays_burned: whether frames show what has burned by then, see `emberformer.data.fires.stays_burned`.
    """

    burned: Int[np.ndarray, " frame"]
    unknown: Int[np.ndarray, " frame"]
    edge: Int[np.ndarray, " frame"]
    pixels: int
    row: Int[np.ndarray, " step"]
    open: Int[np.ndarray, " step"]
    new: Int[np.ndarray, " step"]
    gone: Int[np.ndarray, " step"]
    drift: Float[np.ndarray, "step 2"]
    stays_burned: bool


def measure_growth(fires: xr.Dataset, chosen: Iterable[int]) -> Growth:
    """Counts over some fires, read one fire at a time.

    Args:
        fires: an open fires store.
        chosen: positions on the `fire` axis.
    """
    frames: list[np.ndarray] = [np.zeros((0, 3), np.int64)]
    steps: list[tuple[int, ...]] = []
    drift = []
    for fire in chosen:
        start = int(fires["row_start"].values[fire])
        values = fires["burned"][start : start + int(fires["row_size"].values[fire])].values
        burned, known = values == 1, values != UNKNOWN
        edge = burned[:, [0, -1]].sum((1, 2)) + burned[:, 1:-1, [0, -1]].sum((1, 2))
        frames.append(np.stack([burned.sum((1, 2)), (~known).sum((1, 2)), edge], 1))
        for n in range(len(values) - 1):
            new = ~burned[n] & burned[n + 1]
            areas = (~burned[n] & known[n + 1], new, burned[n] & (values[n + 1] == 0))
            steps.append((start + n, *(int(area.sum()) for area in areas)))
            drift.append(_centre(new) - _centre(burned[n]))
    burned, unknown, edge = np.concatenate(frames).T
    row, is_open, new, gone = np.array(steps, np.int64).reshape(-1, 4).T
    pixels = fires.sizes["y"] * fires.sizes["x"]
    moved = np.array(drift, float).reshape(-1, 2)
    return Growth(burned, unknown, edge, pixels, row, is_open, new, gone, moved, stays_burned(fires))


def _centre(area: np.ndarray) -> np.ndarray:
    """Mean position of an area's pixels towards east and north, NaN where there are none; rows go south."""
    rows, columns = np.nonzero(area)
    return np.array([columns.mean(), -rows.mean()]) if rows.size else np.full(2, np.nan)


def check_growth(growth: Growth) -> list[Finding]:
    """Class balance, fires that shrink or stand still, fires that leave their window, frames without fire."""
    burned = growth.burned.sum() / max(len(growth.burned) * growth.pixels, 1)
    new = growth.new.sum() / max(int(growth.open.sum()), 1)
    still = float((growth.new == 0).mean()) if len(growth.new) else 1.0
    findings = [
        Finding(
            "WARNING" if new < RARE else "OK",
            "class balance",
            f"{100 * new:.3f} % of the pixels open at a step burn in it; {100 * burned:.2f} % of all pixels are burned",
            "raise training.loss.pos_weight, or train on crops (training.crop)" if new < RARE else "",
            {"new_fire_prevalence": float(new), "burned_share": float(burned)},
        )
    ]
    findings.append(
        Finding(
            "ERROR" if still == 1 else "WARNING" if still > 0.3 else "OK",
            "growth",
            f"in {100 * still:.1f} % of the steps nothing new burns",
            "check that frames differ and stand in the order of time" if still > 0.3 else "",
            {"steps_without_growth": still},
        )
    )
    return [*findings, _shrinking(growth), _edge(growth), _empty(growth)]


def _shrinking(growth: Growth) -> Finding:
    share = float((growth.gone > 0).mean()) if len(growth.gone) else 0.0
    lost = int(growth.gone.sum())
    wrong = lost > 0 and growth.stays_burned
    return Finding(
        "WARNING" if wrong else "OK",
        "shrinking fires",
        f"burned pixels go out in {100 * share:.2f} % of the steps ({lost} pixels)" if lost else "burned stays burned",
        "check the order of the frames and what they show: a burned area only grows" if wrong else "",
        {"steps": share, "pixels": lost},
    )


def _edge(growth: Growth) -> Finding:
    share = float((growth.edge > 0).mean()) if len(growth.edge) else 0.0
    return Finding(
        "WARNING" if share > 0.05 else "OK",
        "window's edge",
        f"fire stands at the edge of its window in {100 * share:.1f} % of the frames",
        "what burns beyond is never seen: take larger windows, or end these fires earlier" if share > 0.05 else "",
        {"frames": share},
    )


def _empty(growth: Growth) -> Finding:
    empty, unknown = int((growth.burned == 0).sum()), growth.unknown.sum() / max(len(growth.unknown) * growth.pixels, 1)
    nothing = empty == len(growth.burned)
    wrong = nothing or (empty > 0 and growth.stays_burned)  # fires that go out have days without
    return Finding(
        "ERROR" if nothing else "WARNING" if wrong or unknown > 0.2 else "OK",
        "frames",
        f"{empty} frames without fire; {100 * unknown:.2f} % of all pixels unknown",
        "check what says burned in the source, such as `encoding`: its channel and value" if wrong else "",
        {"without_fire": empty, "unknown_share": float(unknown)},
    )
