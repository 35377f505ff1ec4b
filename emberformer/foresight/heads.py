"""The study's third part: does it matter how the wind enters, and is that a matter of what is predicted?

One trunk with every head, once with features and once with the burned share of patches as its target (D11): a weakness
of a head would show with both targets, a weakness of the target with every head.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from emberformer.foresight.clips import read_clips
from emberformer.foresight.similarity import tested
from emberformer.foresight.standard import fit_standard
from emberformer.foresight.study import foresight_settings, write_table
from emberformer.foresight.sums import Pool, better_by, rows_of, with_interval
from emberformer.foresight.training import Learned, LearnedShare, Target, train_predictor
from emberformer.foresight.windows import Windows
from emberformer.foresight_settings import ForesightSettings, Head
from emberformer.layout import Layout
from emberformer.settings import Settings

GLOBAL: Head = "film_global"  # what the other heads are compared with


def write_head_grid(settings: Settings, layout: Layout) -> Path:
    """Train every head with both targets and write `head_grid.csv`.

    Raises:
        InputError: no study in the configuration, a missing store, or no fire that is long enough.
    """
    of = foresight_settings(settings, layout.config)
    clips = read_clips(layout, of)
    shown = tested(clips, of.gaps[-1], layout.split)
    windows = Windows(clips, fit_standard(clips, of.components), of.history, of.gaps[-1])
    sums = pd.concat([head_sums(windows, of, target) for target in get_args(Target)], ignore_index=True)
    tables = [head_table(part.dataset, sums, settings) for part in shown]
    return write_table(pd.concat(tables), layout.foresight / "head_grid.csv")


def head_sums(windows: Windows, of: ForesightSettings, target: Target) -> pd.DataFrame:
    """Squared errors of every test window: target, head, gap, squared; the head `copy` is persistence."""
    heads = get_args(Head)
    networks = {
        head: train_predictor(windows, of, of.grid_trunk, wind=True, head=head, target=target, label=f"{target} {head}")
        for head in heads
    }
    found = []
    for batch in windows.in_order("test", of.windows_per_fire):
        for gap in of.gaps:
            if target == "mask":
                wanted, now = batch.share_later(gap), batch.share
                predicted = {head: LearnedShare(network)(batch, gap) for head, network in networks.items()}
            else:
                wanted, now = windows.standard.of(batch.later(gap)), windows.standard.of(batch.newest)
                predicted = {head: Learned(windows, network)(batch, gap) for head, network in networks.items()}
            for head, of_head in {"copy": now, **predicted}.items():
                error = (of_head - wanted).square()
                error = (error.mean(-1) if target == "feature" else error) * batch.valid
                told = {"target": target, "head": head, "gap": gap}
                found.append(rows_of(batch.fires, told, {"squared": error.sum((1, 2)).double().numpy()}))
    return pd.concat(found, ignore_index=True)


def head_table(dataset: str, sums: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Scores of one data set's test fires, with intervals over fires.

    Args:
        dataset: its name.
        sums: of `head_sums`.
        settings: the configuration.

    Returns:
        A row a target, head and gap: better_than_copy in percent of persistence's squared error, and
        better_than_global, the difference of that to the head film_global in percentage points, over the same
        resamples.
    """
    own = sums.loc[sums.fire.str.startswith(f"{dataset}/")]
    pool = Pool(sorted(own.fire.unique()), settings.evaluation.replicates, settings.evaluation.seed)
    rows = []
    for (target, gap), of in own.groupby(["target", "gap"], sort=False):
        squared = {head: pool.totals(part, ("squared",))["squared"] for head, part in of.groupby("head", sort=False)}
        better = {head: better_by(total, squared["copy"]) for head, total in squared.items() if head != "copy"}
        for head, percent in better.items():
            told = {"dataset": dataset, "target": target, "head": head, "gap": gap, "fires": len(pool.fires)}
            told |= with_interval("better_than_copy", percent)
            told |= with_interval("better_than_global", np.asarray(percent - better[GLOBAL]))
            rows.append(told)
    return pd.DataFrame(rows)
