"""Sums over patches, fire by fire, from which every score of the study follows, and their intervals over fires.

With predicted features p and target t of D dimensions, summed over the patches of a region:

    patches     number of patches
    squared     |p - t|^2 / D, standard features
    raw_squared |p - t|^2 / D, in the units of the store
    cosine      of raw features
    centred     cosine of standard features; without the mean of all features, which makes any two alike
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from emberformer.evaluate.bootstrap import fire_weights, percentile_interval
from emberformer.foresight.standard import Standard

SUMS = ("patches", "squared", "raw_squared", "cosine", "centred")


def feature_sums(
    predicted: Float[Tensor, "B N D"],
    target: Float[Tensor, "B N D"],
    counted: Bool[Tensor, "B N"],
    standard: Standard,
) -> dict[str, Float[np.ndarray, " B"]]:
    """Sums of every window.

    Args:
        predicted: standard features.
        target: standard features.
        counted: patches of the region.
        standard: the way back to the units of the store.
    """
    error, weight = predicted - target, counted.float()
    raw = standard.raw(predicted), standard.raw(target)
    values = {
        "patches": torch.ones_like(weight),
        "squared": error.square().mean(-1),
        "raw_squared": (error * standard.deviation).square().mean(-1),
        "cosine": functional.cosine_similarity(*raw, dim=-1),
        "centred": functional.cosine_similarity(predicted, target, dim=-1),
    }
    return {name: (value * weight).sum(1).double().numpy() for name, value in values.items()}


def regions(
    now: Float[Tensor, "B Gy Gx"], later: Float[Tensor, "B Gy Gx"], valid: Bool[Tensor, "#B Gy Gx"]
) -> dict[str, Bool[Tensor, "B N"]]:
    """Patches that count: all that hold a real pixel, and of these those whose burned share changed."""
    real = valid.flatten(1).expand(len(now), -1)
    return {"all": real, "changed": real & (now != later).flatten(1)}


class Pool:
    """Resamples of fires, the same for every score.

    Args:
        fires: names of the fires.
        replicates: number of resamples.
        seed: of the resamples.
    """

    def __init__(self, fires: Sequence[str], replicates: int, seed: int):
        self.fires = list(fires)
        self.weights = fire_weights(len(self.fires), replicates, seed)

    def totals(self, table: pd.DataFrame, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Total of each column over the sample, then over each resample [1 + replicates].

        Args:
            table: rows with a column `fire`; fires without a row have nothing to add.
            columns: sums to add up.
        """
        chosen = table.loc[:, ["fire", *columns]]
        of_fire = chosen.groupby("fire").sum().reindex(self.fires, fill_value=0.0)
        return {name: self.weights @ np.asarray(of_fire[name], float) for name in columns}


def ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mean of what was summed up; NaN where nothing was counted."""
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def with_interval(name: str, values: np.ndarray) -> dict[str, float]:
    """Columns of a score: of the sample, and the ends of its 95 % interval over fires."""
    low, high = percentile_interval(values)
    return {name: float(values[0]), f"{name}_low": low, f"{name}_high": high}


def better_by(loss: np.ndarray, than: np.ndarray) -> np.ndarray:
    """How much lower a loss is than another one, in percent of that."""
    return 100 * (1 - ratio(loss, than))


def rows_of(fires: Sequence[str], told: Mapping[str, object], sums: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """A table of sums, a row a window."""
    return pd.DataFrame({"fire": list(fires), **dict(told), **dict(sums)})
