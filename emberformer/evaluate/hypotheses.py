"""Verdicts on hypotheses: supported, refuted or undecided by the interval of a paired difference, never by a value.

Scores are compared on the same resamples of the test fires, as the mean over seeds, resample by resample (see
`emberformer.evaluate.bootstrap`). What follows from the course of a training has no fires to resample: it is compared
seed by seed, with Student's interval over seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from emberformer.evaluate.bootstrap import LEVEL, percentile_interval
from emberformer.evaluate.curves import best_score, epochs_to_target, train_validation_gap
from emberformer.evaluate.pooling import Score
from emberformer.evaluate.rows import POOLED, Group, MethodScores
from emberformer.experiments import OF_CURVES, Hypothesis

NO_THRESHOLD = ("average_precision", "brier", "ece")


class Values(NamedTuple):
    """A metric of both methods of a hypothesis: [seed, 1 + replicates], a baseline as one seed; NaN = not defined."""

    better: np.ndarray
    than: np.ndarray
    fires: int  # in the sample; 0 where a sample is of seeds


class Verdict(NamedTuple):
    """A verdict and what it stands on; the names are columns of `verdicts.csv`.

    `difference` is how much better `better` is than `than`, in the metric's own unit; `low` and `high` are the ends of
    its 95 % interval, `margin` is how much was claimed. `seed_sd` is the standard deviation over seeds of what lies
    beyond the margin, `seeds_above` says in how many of them that is above zero.
    """

    verdict: str
    better_value: float
    than_value: float
    difference: float
    low: float
    high: float
    margin: float
    seed_sd: float
    seeds_above: int
    seeds: int
    fires: int


def judge(hypothesis: Hypothesis, values: Values) -> Verdict:
    """Judge a hypothesis.

    Supported: the whole interval of the difference lies above the margin; refuted: below it; undecided: neither, or
    there is no interval. Where the margin is a share of the other method's value, it is another one in every resample.

    Args:
        hypothesis: what is claimed.
        values: the metric of both methods.
    """
    better, than = values.better.mean(0), values.than.mean(0)
    sign = -1.0 if hypothesis.lower_is_better else 1.0
    difference, margin = sign * (better - than), _margin(hypothesis, than)
    of_seeds = sign * (values.better - values.than)[:, 0] - _margin(hypothesis, values.than)[:, 0]
    if values.fires:
        low, high = _over_fires(difference, values.fires)
        beyond = _over_fires(difference - margin, values.fires)
    else:
        low, high = student_interval(sign * (values.better - values.than)[:, 0])
        beyond = student_interval(of_seeds)
    return Verdict(
        "supported" if beyond[0] > 0 else "refuted" if beyond[1] < 0 else "undecided",
        float(better[0]), float(than[0]), float(difference[0]), low, high, float(margin[0]),
        float(of_seeds.std(ddof=1)) if len(of_seeds) > 1 else float("nan"),
        int((of_seeds > 0).sum()), len(of_seeds), values.fires,
    )  # fmt: skip


def student_interval(differences: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Student's interval of the mean of paired differences [seed]; NaN for one seed alone.

    mean +- t((1 + level) / 2, n - 1) sd / sqrt(n)
    """
    n = len(differences)
    if n < 2:
        return float("nan"), float("nan")
    reach = stats.t.ppf((1 + level) / 2, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    return float(differences.mean() - reach), float(differences.mean() + reach)


def score_values(
    hypothesis: Hypothesis, better: Sequence[MethodScores], than: Sequence[MethodScores], lead: int = 1
) -> Values:
    """A score of both methods from their results, one a seed.

    The scores of a group without forecasts, and those that a method does not have, are not defined.
    """
    group = Group(hypothesis.dataset, "test", lead, hypothesis.history)
    size = better[0].sizes.get(group)

    def stacked(results: Sequence[MethodScores]) -> np.ndarray:
        return np.stack([_score(hypothesis, result, group) for result in results])

    return Values(stacked(better), stacked(than), size.n_fires if size else 0)


def curve_values(hypothesis: Hypothesis, better: Sequence[pd.DataFrame], than: Sequence[pd.DataFrame]) -> Values:
    """What the training curves of both methods say, of the same seeds in the same order."""
    if hypothesis.metric == "train_validation_gap":
        columns = [[train_validation_gap(curve) for curve in curves] for curves in (better, than)]
    else:
        targets = [hypothesis.target * best_score(curve) for curve in than]
        columns = [
            [epochs_to_target(curve, target) for curve, target in zip(curves, targets, strict=True)]
            for curves in (better, than)
        ]
    first, second = (np.array(column, dtype=float)[:, None] for column in columns)
    return Values(first, second, 0)


def of_curves(hypothesis: Hypothesis) -> bool:
    """Whether the metric follows from training curves, and not from forecasts."""
    return hypothesis.metric in OF_CURVES


def _score(hypothesis: Hypothesis, result: MethodScores, group: Group) -> np.ndarray:
    """One method's metric [1 + replicates]."""
    undefined = np.full(1, np.nan)
    if hypothesis.metric == "held_out_gap":
        score = Score(hypothesis.region, "", "average_precision")
        validation = result.scores.get(group._replace(split="validation", history=POOLED), {}).get(score, undefined)
        return validation - result.scores.get(group, {}).get(score, undefined)
    threshold = "" if hypothesis.metric in NO_THRESHOLD else "validation"
    scores: Mapping[Score, np.ndarray] = result.scores.get(group, {})
    return scores.get(Score(hypothesis.region, threshold, hypothesis.metric), undefined)


def _margin(hypothesis: Hypothesis, than: np.ndarray) -> np.ndarray:
    """How much is claimed, in the metric's own unit."""
    of = {"absolute": np.ones_like(than), "of_error": 1 - than, "of_value": than}[hypothesis.unit]
    return hypothesis.by * of


def _over_fires(values: np.ndarray, fires: int) -> tuple[float, float]:
    """The bootstrap interval; one fire alone has none."""
    return percentile_interval(values) if fires > 1 and len(values) > 1 else (float("nan"), float("nan"))
