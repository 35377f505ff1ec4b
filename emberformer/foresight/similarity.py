"""Similarity: how alike the features of a fire are after some frames, and where on the grid they change.

Every gap is told of the same first frames, and the CLS token apart from the patches (X61).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from tqdm import tqdm

from emberformer.errors import InputError
from emberformer.foresight.clips import Clips
from emberformer.foresight.standard import Standard
from emberformer.foresight.sums import SUMS, Pool, feature_sums, ratio, regions, rows_of, with_interval
from emberformer.sampling import evenly_spaced

AT_ONCE = 32  # windows


def similarity_sums(clips: Clips, standard: Standard, of_cls: Standard, gaps: Sequence[int]) -> pd.DataFrame:
    """Sums of every window of the test fires: gap, region (all, changed, cls) and `SUMS`.

    Args:
        clips: of a data set.
        standard: of the patches.
        of_cls: of the CLS tokens.
        gaps: frames ahead; 0 compares a frame with itself.
    """
    windows = clips.windows("test", max(gaps))
    found = []
    for at in tqdm(range(0, len(windows), AT_ONCE), desc=f"similarity {clips.dataset}", unit="batch", delay=1):
        rows = torch.from_numpy(windows[at : at + AT_ONCE])
        fires = [clips.fire_ids[fire] for fire in clips.fire_of[rows.numpy()]]
        now, cls = standard.of(clips.features[rows]).flatten(1, 2), of_cls.of(clips.cls[rows])[:, None]
        for gap in gaps:
            later = standard.of(clips.features[rows + gap]).flatten(1, 2)
            for name, counted in regions(clips.share[rows], clips.share[rows + gap], clips.valid[None]).items():
                sums = feature_sums(now, later, counted, standard)
                found.append(rows_of(fires, {"gap": gap, "region": name}, sums))
            ones = torch.ones(len(rows), 1, dtype=torch.bool)
            sums = feature_sums(cls, of_cls.of(clips.cls[rows + gap])[:, None], ones, of_cls)
            found.append(rows_of(fires, {"gap": gap, "region": "cls"}, sums))
    return pd.concat(found, ignore_index=True)


def similarity_table(sums: pd.DataFrame, dataset: str, seconds: float, replicates: int, seed: int) -> pd.DataFrame:
    """Cosine and mean squared error by gap and region, in raw and in standard units, with intervals over fires."""
    pool = Pool(sorted(sums.fire.unique()), replicates, seed)
    rows = []
    for (gap, region), of in sums.groupby(["gap", "region"], sort=False):  # type: ignore[misc]
        total = pool.totals(of, SUMS)
        told = {"dataset": dataset, "gap": gap, "seconds": gap * seconds, "region": region,
                "fires": of.fire.nunique(), "patches": int(total["patches"][0])}  # fmt: skip
        for name, column in (
            ("cosine", "cosine"), ("mse", "squared"), ("cosine_centred", "centred"), ("mse_raw", "raw_squared"),
        ):  # fmt: skip
            told |= with_interval(name, ratio(total[column], total["patches"]))
        rows.append(told)
    return pd.DataFrame(rows)


def change_maps(clips: Clips, standard: Standard, gaps: Sequence[int], number: int) -> xr.Dataset:
    """Where features change: of some test fires the mean squared error of copying, patch by patch, for every gap.

    The fires are evenly spaced among those of the test by how much they grow; the first frame is the one after which
    a fire grows most.

    Returns:
        `change` (fire, gap, patch_y, patch_x), standard units, NaN where a patch holds no real pixel, and
        `burned_share` (fire, frame, patch_y, patch_x) of the first frame, 0, and of that of every gap.
    """
    windows = clips.windows("test", max(gaps))
    growth = (clips.share[windows + max(gaps)] - clips.share[windows]).sum((1, 2)).numpy()
    of_fire = clips.fire_of[windows]
    best = {fire: np.flatnonzero(of_fire == fire)[growth[of_fire == fire].argmax()] for fire in np.unique(of_fire)}
    ranked = sorted(best.values(), key=lambda place: growth[place])
    chosen = windows[[ranked[place] for place in evenly_spaced(len(ranked), number)]]
    change = []
    for row in chosen:
        now = standard.of(clips.features[row])
        error = torch.stack([(standard.of(clips.features[row + gap]) - now).square().mean(-1) for gap in gaps])
        change.append(torch.where(clips.valid, error, torch.nan).numpy())
    share = np.stack([clips.share[row + np.array([0, *gaps])].numpy() for row in chosen])
    return xr.Dataset(
        {
            "change": (("fire", "gap", "patch_y", "patch_x"), np.stack(change)),
            "burned_share": (("fire", "frame", "patch_y", "patch_x"), share),
        },
        {
            "fire_id": ("fire", [clips.fire_ids[clips.fire_of[row]] for row in chosen]),
            "init_step": ("fire", chosen - clips.start[clips.fire_of[chosen]]),
            "gap": list(gaps),
            "frame": [0, *gaps],
        },
    )


def tested(clips: Sequence[Clips], ahead: int, where: Path) -> list[Clips]:
    """Data sets with test fires that have so many frames ahead.

    Raises:
        InputError: there is none.
    """
    found = [part for part in clips if len(part.windows("test", ahead))]
    if not found:
        raise InputError(
            where, f"no test fire with {ahead + 1} frames", "test fires that reach the longest gap",
            "lower foresight.gaps and foresight.similarity_gaps, or add fires",
        )  # fmt: skip
    return found
