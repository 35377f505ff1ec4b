"""The mean over the seeds of a model that has several."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from emberformer.evaluate.names import parse_method, seed_mean_name

Result = TypeVar("Result")
Group = TypeVar("Group", bound=Hashable)
Score = TypeVar("Score", bound=Hashable)


def by_seed_mean(results: Mapping[str, Result]) -> dict[str, list[Result]]:
    """Name of the mean over seeds of each model that has several -> the results of its seeds."""
    seeds: dict[str, list[Result]] = {}
    for method, result in results.items():
        name = parse_method(method)
        if name.seed is not None:
            seeds.setdefault(name.trained, []).append(result)
    return {seed_mean_name(model, len(of)): of for model, of in seeds.items() if len(of) > 1}


def mean_and_sd(
    seeds: Sequence[Mapping[Group, Mapping[Score, np.ndarray]]],
) -> tuple[dict[Group, dict[Score, np.ndarray]], dict[Group, dict[Score, float]]]:
    """Mean over seeds, resample by resample, and standard deviation (n - 1) of the sample's scores.

    Args:
        seeds: of each seed the scores [1 + replicates] of each group; what not all of them have is left out.
    """
    mean, sd = {}, {}
    for group, of_first in seeds[0].items():
        shared = [score for score in of_first if all(score in one[group] for one in seeds)]
        stacked = {score: np.stack([one[group][score] for one in seeds]) for score in shared}
        mean[group] = {score: values.mean(0) for score, values in stacked.items()}
        sd[group] = {score: float(values[:, 0].std(ddof=1)) for score, values in stacked.items()}
    return mean, sd
