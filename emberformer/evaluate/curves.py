"""What the course of a training says: how soon a score is reached, and how far validation lies from training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from emberformer.errors import InputError

SCORE = "val/new_ap"


def read_curve(folder: Path) -> pd.DataFrame:
    """A model's `metrics.csv` with one row an epoch, in order.

    Raises:
        InputError: the file is missing, or lacks the epoch or the validation score.
    """
    path = folder / "metrics.csv"
    try:
        table = pd.read_csv(path)
        # The logger writes the numbers of one epoch in several rows.
        curve = table.groupby("epoch").last()
        return curve.dropna(subset=[SCORE])
    except (OSError, ValueError, KeyError) as error:
        expected = f"a table with the columns epoch and {SCORE}"
        raise InputError(path, f"{type(error).__name__}: {error}", expected, "train the model again") from error


def best_score(curve: pd.DataFrame) -> float:
    """Highest validation new-fire AP of a training."""
    return float(curve[SCORE].to_numpy().max())


def epochs_to_target(curve: pd.DataFrame, target: float) -> int:
    """Number of epochs until the validation new-fire AP first reaches a target.

    A training that never does counts one epoch more than it ran: at least so many.

    Args:
        curve: as `read_curve` gives it.
        target: average precision to reach.

    >>> epochs_to_target(pd.DataFrame({"val/new_ap": [0.2, 0.5, 0.4]}), 0.45)
    2
    """
    reached = np.flatnonzero(curve[SCORE].to_numpy() >= target)
    return int(reached[0]) + 1 if reached.size else len(curve) + 1


def train_validation_gap(curve: pd.DataFrame) -> float:
    """Loss on validation minus loss in training, at the epoch of the best validation new-fire AP.

    The loss in training is of crops, with dropout; the gap compares trainings, and is no measure by itself.

    >>> train_validation_gap(pd.DataFrame({"val/new_ap": [0.2, 0.5], "val/loss": [1, 0.75], "train/loss": [1, 0.5]}))
    0.25
    """
    best = int(curve[SCORE].to_numpy().argmax())
    return float((curve["val/loss"] - curve["train/loss"]).to_numpy()[best])
