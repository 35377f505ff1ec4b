"""From forecast stores to verification tables: every method on the same forecasts, scored a method at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from emberformer.atomic import replacing
from emberformer.data.fires import open_fires
from emberformer.errors import InputError
from emberformer.evaluate import rows
from emberformer.evaluate.bootstrap import fire_weights
from emberformer.evaluate.boundary_sums import boundary_scores_of, boundary_sums_of, fire_boundaries
from emberformer.evaluate.names import parse_method
from emberformer.evaluate.pooling import FireTable, Score, choose_threshold, fire_table, scores_of
from emberformer.evaluate.rows import POOLED, Group, MethodScores, Size
from emberformer.evaluate.verification import HISTORY_LENGTHS, bin_edges, sums_of
from emberformer.forecast_store import open_forecasts
from emberformer.settings import EvaluationSettings


def evaluate(
    methods: Mapping[str, Mapping[str, Path]],
    fires: Mapping[str, Path],
    folder: Path,
    settings: EvaluationSettings,
    processes: int = 1,
) -> dict[str, MethodScores]:
    """Score forecasts of several methods and write the tables, whole or not at all.

    Writes into `folder`
        scores.csv       a row for each method, data set ("all" = pooled), split, lead, history ("all", or frames seen;
                         5 = 5 or more), region (new fire, whole frame), threshold (empty = needs none, "0.5",
                         "validation") and metric, with its 95 % bootstrap interval. The seeds of a model are also
                         averaged, with their standard deviation
        differences.csv  each phase of EmberFormer minus every other method, new fire, on the same resamples
        per_fire.csv     new-fire scores of each test fire
        reliability.csv  mean forecast and observed frequency in 15 bins of probability, test fires
        thresholds.json  threshold of highest new-fire F1 on the validation fires, and what each method fitted

    What is not defined is left empty: a score that is no probability has no Brier score, one fire has no interval.

    Args:
        methods: method -> data set -> forecast store, named as `Layout.methods` does. Those that end in
            "-seed-<number>" are averaged.
        fires: data set -> fires store.
        folder: folder to write, `Layout.scores`; replaced if it exists.
        settings: number of bootstrap replicates and their seed, and the tolerance of perimeters.
        processes: methods that are scored at a time.

    Returns:
        Method -> its scores.

    Raises:
        InputError: a store is missing or incomplete, or the methods did not forecast the same steps.
    """
    if not methods or any(set(stores) != set(fires) for stores in methods.values()):
        found = str({method: sorted(stores) for method, stores in methods.items()})
        expected = f"forecasts by every method for {sorted(fires)}"
        raise InputError("evaluation", found, expected, "forecast what is missing")
    results: dict[str, MethodScores] = {}
    one_by_one = _scored(methods, fires, settings, min(processes, len(methods)))
    for method, scores in tqdm(one_by_one, desc="evaluate", unit="method", total=len(methods)):
        results[method] = scores
        _require_same_forecasts(results, method)
    averaged = results | seed_means(results)
    with replacing(Path(folder)) as partial:
        rows.write(rows.score_rows(averaged), partial / "scores.csv")
        rows.write(rows.difference_rows(averaged), partial / "differences.csv")
        rows.write(pd.concat([result.per_fire for result in results.values()]), partial / "per_fire.csv")
        rows.write(pd.concat([result.reliability for result in results.values()]), partial / "reliability.csv")
        thresholds = {method: result.threshold for method, result in results.items()}
        (partial / "thresholds.json").write_text(json.dumps(thresholds, indent=2) + "\n")
    return results


def _scored(
    methods: Mapping[str, Mapping[str, Path]], fires: Mapping[str, Path], settings: EvaluationSettings, processes: int
) -> Iterator[tuple[str, MethodScores]]:
    """Every method and its scores, in order."""
    if processes == 1:
        for method, stores in methods.items():
            yield method, score_method(method, stores, fires, settings)
        return
    # Spawned, because a fork would share the threads with which zarr reads.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        scores = pool.map(score_method, methods, methods.values(), repeat(fires), repeat(settings))
        yield from zip(methods, scores, strict=True)


def score_method(
    method: str, stores: Mapping[str, Path], fires: Mapping[str, Path], settings: EvaluationSettings
) -> MethodScores:
    """All scores of one method: `stores` and `fires` by data set."""
    opened = {dataset: open_forecasts(path) for dataset, path in stores.items()}
    kinds = {forecasts.attrs["score_kind"] for forecasts in opened.values()}
    if len(kinds) != 1:
        found = f"score kinds {sorted(kinds)}"
        raise InputError(f"forecasts by {method}", found, "one kind", "forecast all data sets alike")
    kind = kinds.pop()
    sums = {name: sums_of(of, open_fires(fires[name])).sortby("fire_id") for name, of in opened.items()}
    validation = fire_table(list(sums.values()), "validation")
    threshold_bin = choose_threshold(validation.pooled(np.ones((1, len(validation.steps)))).count[0])
    threshold = None if threshold_bin is None else float(bin_edges(kind)[threshold_bin])
    perimeters = {
        name: boundary_sums_of(of, open_fires(fires[name]), threshold, settings.boundary_tolerance).sortby("fire_id")
        for name, of in opened.items()
        if threshold is not None
    }
    scores, sizes = {}, {}
    for group, table, weights in _groups(sums, settings):
        alone = group._replace(dataset=next(iter(sums)))  # one data set is all data sets
        same = scores.get(alone) if len(sums) == 1 else None
        scores[group] = same or (
            scores_of(table, weights, kind, threshold_bin) | _boundary_scores(perimeters, group, weights)
        )
        sizes[group] = Size(int((table.steps > 0).sum()), int(table.steps.sum()))
    return MethodScores(
        scores,
        sizes,
        per_fire=rows.per_fire_rows(method, sums, threshold_bin),
        reliability=rows.reliability_rows(method, sums),
        threshold={
            "threshold": threshold,
            "score_kind": kind,
            "fitted": {name: of.attrs["provenance"].get("fitted") for name, of in opened.items()},
        },
        scored=[
            (name, fire_id, steps)
            for name, of in sums.items()
            for fire_id, steps in zip(of.fire_id.values.tolist(), of.steps.values.tolist(), strict=True)
        ],
    )


def seed_means(results: Mapping[str, MethodScores]) -> dict[str, MethodScores]:
    """The mean over the seeds of each model that has several, resample by resample.

    Returns:
        "<model> (mean of <n> seeds)" -> its scores, with the standard deviation over seeds (n - 1).
    """
    seeds: dict[str, list[MethodScores]] = {}
    for method, result in results.items():
        name = parse_method(method)
        if name.seed is not None:
            seeds.setdefault(name.trained, []).append(result)
    means = {}
    for model, members in seeds.items():
        if len(members) < 2:
            continue
        scores, spread = {}, {}
        for group, of_group in members[0].scores.items():
            stacked = {score: np.stack([member.scores[group][score] for member in members]) for score in of_group}
            scores[group] = {score: values.mean(0) for score, values in stacked.items()}
            spread[group] = {score: float(values[:, 0].std(ddof=1)) for score, values in stacked.items()}
        means[f"{model} (mean of {len(members)} seeds)"] = members[0]._replace(scores=scores, seed_sd=spread)
    return means


def _boundary_scores(
    perimeters: Mapping[str, xr.DataArray], group: Group, weights: np.ndarray
) -> dict[Score, np.ndarray]:
    """Scores of the perimeters of a group; none where no threshold could be chosen."""
    if not perimeters:
        return {}
    members = list(perimeters.values()) if group.dataset == POOLED else [perimeters[group.dataset]]
    history = None if group.history == POOLED else int(group.history)
    return boundary_scores_of(fire_boundaries(members, group.split, group.lead, history), weights)


def _groups(
    sums: Mapping[str, xr.Dataset], settings: EvaluationSettings
) -> Iterator[tuple[Group, FireTable, np.ndarray]]:
    """Every group that holds a forecast, with its sums and resamples.

    The resamples of "all" are those of its data sets side by side, so each data set keeps its number of fires.
    """
    datasets = {name: [name] for name in sums} | {POOLED: list(sums)}
    leads = next(iter(sums.values())).lead.values.tolist()
    for split in ("validation", "test"):
        histories = (None, *HISTORY_LENGTHS) if split == "test" else (None,)
        weights = {}
        for number, (name, of) in enumerate(sums.items()):
            n_fires = int((of.split.values == split).sum())
            weights[name] = fire_weights(n_fires, settings.replicates, (settings.seed, number))
        for dataset, members in datasets.items():
            of_dataset = np.concatenate([weights[name] for name in members], axis=1)
            for lead in leads:
                for history in histories:
                    table = fire_table([sums[name] for name in members], split, lead, history)
                    if table.steps.any():
                        group = Group(dataset, split, lead, POOLED if history is None else str(history))
                        yield group, table, of_dataset


def _require_same_forecasts(results: Mapping[str, MethodScores], method: str) -> None:
    first = next(iter(results))
    if results[first].scored != results[method].scored:
        theirs = results[first].scored
        different = [
            row[:2] for row in theirs + results[method].scored if (row in theirs) != (row in results[method].scored)
        ]
        found = f"other steps than those by {first}, at first for (data set, fire) {different[:1]}"
        raise InputError(f"forecasts by {method}", found, "the same steps of the same fires by all", "forecast again")
