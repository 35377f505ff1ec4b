"""From forecast stores to verification tables: every method on the same forecasts, scored a method at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from emberformer.atomic import replacing
from emberformer.data.fires import open_fires
from emberformer.errors import InputError
from emberformer.evaluate import rows
from emberformer.evaluate.bootstrap import fire_weights
from emberformer.evaluate.method_sums import MethodSums, method_sums
from emberformer.evaluate.observed import require_same_steps, scored_steps
from emberformer.evaluate.pooling import REGIONS
from emberformer.evaluate.protocol import protocol
from emberformer.evaluate.reference import against_reference, require_reference
from emberformer.evaluate.rows import POOLED, Group, MethodScores, Size, Stratum
from emberformer.evaluate.scored_part import ScoredPart
from emberformer.evaluate.seeds import by_seed_mean, mean_and_sd
from emberformer.evaluate.stored_sums import write_sums
from emberformer.evaluate.strata import EDGES, class_names, classes_of, conditions_of
from emberformer.evaluate.verification import ForecastSums, Selection
from emberformer.forecast_store import CREDITS, ScoreKind, open_forecasts
from emberformer.protocols import FollowedProtocol
from emberformer.settings import EvaluationSettings


def evaluate(
    methods: Mapping[str, Mapping[str, Path]],
    fires: Mapping[str, Path],
    folder: Path,
    settings: EvaluationSettings,
    processes: int = 1,
    followed: FollowedProtocol | None = None,
) -> dict[str, MethodScores]:
    """Score forecasts of several methods and write the tables, whole or not at all.

    Writes into `folder`
        scores.csv       a row for each method, data set ("all" = pooled), split, lead, history ("all", or frames seen;
                         5 = 5 or more), region (new fire, whole frame), threshold (empty = needs none, "0.5",
                         "validation") and metric, with its 95 % bootstrap interval. The seeds of a model are also
                         averaged, with their standard deviation
        strata.csv       new-fire scores of the test fires by class of wind, slope and size; see `strata`
        differences.csv  each phase of EmberFormer minus every other method, new fire, on the same resamples
        per_fire.csv     new-fire scores of each test fire
        reliability.csv  mean forecast and observed frequency in 15 bins of probability, test fires, by lead; of
                         networks also before calibration (calibration "as trained", beside "as forecast")
        thresholds.json  threshold of highest new-fire F1 on the validation fires, what each method fitted, the
                         calibration of a network's logits, and what each store says of itself
        sums/METHOD.nc   the sums by fire and lead of which its scores are ratios; see `stored_sums`
        protocol.json    how all of this was scored, and as "note" a paragraph to stand under a table

    The metrics `brier_as_trained`, `nll_as_trained`, `ece_as_trained` are of a network before calibration, at lead 1.

    What is not defined is left empty: a score that is no probability has no Brier score, one fire has no interval.

    Args:
        methods: method -> data set -> forecast store, named as `Layout.methods` does. Those that end in
            "-seed-<number>" are averaged.
        fires: data set -> fires store.
        folder: folder to write, `Layout.scores`; replaced if it exists.
        settings: number of bootstrap replicates and their seed, the tolerance of perimeters, the reference, and which
            pixels and steps are scored.
        processes: methods that are scored at a time.
        followed: the protocol of the configuration, to be named in protocol.json.

    Returns:
        Method -> its scores.

    Raises:
        InputError: a store is missing or incomplete, the methods did not forecast the same steps, or the reference is
            none of those with probabilities. Steps and reference are looked at before anything is scored.
    """
    if not methods or any(set(stores) != set(fires) for stores in methods.values()):
        found = str({method: sorted(stores) for method, stores in methods.items()})
        expected = f"forecasts by every method for {sorted(fires)}"
        raise InputError("evaluation", found, expected, "forecast what is missing")
    opened = {method: {name: open_forecasts(path) for name, path in of.items()} for method, of in methods.items()}
    observed = {name: open_fires(path) for name, path in fires.items()}
    _require_comparable(opened, observed, settings)
    first = next(iter(opened.values()))
    classes = {name: classes_of(conditions_of(first[name], of)) for name, of in observed.items()}
    with replacing(Path(folder)) as partial:
        (partial / "sums").mkdir()
        one_by_one = _scored(methods, fires, classes, settings, partial / "sums", min(processes, len(methods)))
        results = dict(tqdm(one_by_one, desc="evaluate", unit="method", total=len(methods)))
        results = against_reference(results, settings.reference)
        _write_tables(results, partial)
        how = protocol(results, observed, settings, followed)
        (partial / "protocol.json").write_text(json.dumps(how, indent=2, allow_nan=False) + "\n")
    return results


def _write_tables(results: Mapping[str, MethodScores], folder: Path) -> None:
    averaged = {**results, **seed_means(results)}
    rows.write(rows.score_rows(averaged), folder / "scores.csv")
    rows.write(rows.score_rows(averaged, Stratum), folder / "strata.csv")
    rows.write(rows.difference_rows(averaged), folder / "differences.csv")
    rows.write(pd.concat([result.per_fire for result in results.values()]), folder / "per_fire.csv")
    rows.write(pd.concat([result.reliability for result in results.values()]), folder / "reliability.csv")
    thresholds = {method: result.threshold for method, result in results.items()}
    (folder / "thresholds.json").write_text(json.dumps(thresholds, indent=2) + "\n")


def _scored(
    methods: Mapping[str, Mapping[str, Path]],
    fires: Mapping[str, Path],
    classes: Mapping[str, pd.DataFrame],
    settings: EvaluationSettings,
    folder: Path,
    processes: int,
) -> Iterator[tuple[str, MethodScores]]:
    """Every method and its scores, in order."""
    if processes == 1:
        for method, stores in methods.items():
            yield method, score_method(method, stores, fires, classes, settings, folder)
        return
    # Spawned, because a fork would share the threads with which zarr reads.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        same = (repeat(of) for of in (fires, classes, settings, folder))
        scores = pool.map(score_method, methods, methods.values(), *same)
        yield from zip(methods, scores, strict=True)


def score_method(
    method: str,
    stores: Mapping[str, Path],
    fires: Mapping[str, Path],
    classes: Mapping[str, pd.DataFrame],
    settings: EvaluationSettings,
    folder: Path,
) -> MethodScores:
    """All scores of one method: `stores`, `fires` and `classes` of steps by data set; its sums go into the folder."""
    opened = {dataset: open_forecasts(path) for dataset, path in stores.items()}
    kind = _kind_of(method, opened)
    observed = {name: open_fires(path) for name, path in fires.items()}
    part = ScoredPart(settings.crop, settings.first_step)
    sums = method_sums(opened, observed, classes, kind, settings.boundary_tolerance, part)
    write_sums(method, sums, folder / f"{method}.nc")
    scores, sizes = {}, {}
    for group, members, weights in _groups(sums.pixels, settings):
        alone = group._replace(dataset=next(iter(stores)))  # one data set is all data sets
        same = scores.get(alone) if len(stores) == 1 else None
        selection, regions = _selection(group)
        scores[group] = same or sums.scores(members, selection, weights, regions)
        sizes[group] = _size(sums, members, selection)
    return MethodScores(
        scores,
        sizes,
        per_fire=rows.per_fire_rows(method, sums.pixels, sums.threshold_bin),
        reliability=rows.reliability_rows(method, sums.pixels),
        threshold={
            "threshold": sums.threshold,
            "score_kind": kind,
            "fitted": {name: of.attrs.get("provenance", {}).get("fitted") for name, of in opened.items()},
            "calibration": {name: of.calibration and of.calibration._asdict() for name, of in sums.pixels.items()},
            "store": {name: _about(path, opened[name].attrs) for name, path in stores.items()},
        },
    )


def _kind_of(method: str, forecasts: Mapping[str, xr.Dataset]) -> ScoreKind:
    """Kind of a method's scores."""
    kinds = {of.attrs["score_kind"] for of in forecasts.values()}
    if len(kinds) != 1:
        found = f"score kinds {sorted(kinds)}"
        raise InputError(f"forecasts by {method}", found, "one kind", "forecast all data sets alike")
    return kinds.pop()


def _about(path: Path, attributes: Mapping[str, Any]) -> dict[str, object]:
    """Where a store lies, by its last two names, and what it says of itself."""
    told: dict[str, object] = {"path": "/".join(Path(path).parts[-2:])}
    told |= {name: str(attributes[name]) for name in CREDITS if name in attributes}
    if "sees_target_wind" in attributes:
        told["sees_target_wind"] = bool(attributes["sees_target_wind"])
    return told


def seed_means(results: Mapping[str, MethodScores]) -> dict[str, MethodScores]:
    """The mean over the seeds of each model that has several, resample by resample.

    Returns:
        "<model> (mean of <n> seeds)" -> its scores, with the standard deviation over seeds (n - 1).
    """
    means = {}
    for name, seeds in by_seed_mean(results).items():
        scores, spread = mean_and_sd([of.scores for of in seeds])
        means[name] = seeds[0]._replace(scores=scores, seed_sd=spread)
    return means


def _size(sums: MethodSums, datasets: list[str], selection: Selection) -> Size:
    steps = np.concatenate([sums.pixels[name].by_fire(selection).sum(1) for name in datasets])
    return Size(int((steps > 0).sum()), int(steps.sum()))


def _selection(group: Group | Stratum) -> tuple[Selection, tuple[str, ...]]:
    """The forecasts of a group, and the regions of which it is scored."""
    if isinstance(group, Stratum):
        return Selection(group.split, group.lead, (group.stratum, group.class_name)), ("new",)
    stratum = None if group.history == POOLED else ("history", int(group.history))
    return Selection(group.split, group.lead, stratum), REGIONS


def _groups(
    sums: Mapping[str, ForecastSums], settings: EvaluationSettings
) -> Iterator[tuple[Group | Stratum, list[str], np.ndarray]]:
    """Every group that holds a forecast, with its data sets and resamples.

    The resamples of "all" are those of its data sets side by side, so each data set keeps its number of fires.
    """
    datasets = {name: [name] for name in sums} | {POOLED: list(sums)}
    for split in ("validation", "test"):
        weights = {}
        for number, (name, of) in enumerate(sums.items()):
            n_fires = list(of.fires.values()).count(split)
            # Fires of the two splits have nothing to do with each other: other draws, also where they are as many.
            seed = (settings.seed, number) if split == "test" else (settings.seed, number, 1)
            weights[name] = fire_weights(n_fires, settings.replicates, seed)
        for dataset, members in datasets.items():
            of_dataset = np.concatenate([weights[name] for name in members], axis=1)
            about = pd.concat([sums[name].about for name in members])
            for lead, at_lead in about.loc[about.split == split].groupby("lead"):
                for group in _groups_at(at_lead, dataset, split, int(str(lead))):
                    yield group, members, of_dataset


def _groups_at(about: pd.DataFrame, dataset: str, split: str, lead: int) -> Iterator[Group | Stratum]:
    yield Group(dataset, split, lead, POOLED)
    if split == "test":
        yield from (Group(dataset, split, lead, str(history)) for history in sorted(set(about.history)))
        for stratum in EDGES:
            present = set(about[stratum])
            yield from (
                Stratum(dataset, split, lead, stratum, name) for name in class_names(stratum) if name in present
            )


def _require_comparable(
    methods: Mapping[str, Mapping[str, xr.Dataset]], fires: Mapping[str, xr.Dataset], settings: EvaluationSettings
) -> None:
    """Refuse what does not fit together, by attributes and coordinates alone."""
    require_reference(settings.reference, {method: _kind_of(method, of) for method, of in methods.items()})
    part = ScoredPart(settings.crop, settings.first_step)
    steps = {
        method: [(name, *one) for name, of in fires.items() for one in scored_steps(stores[name], of, part)]
        for method, stores in methods.items()
    }
    first = next(iter(steps))
    for method, own in steps.items():
        require_same_steps(own, steps[first], f"forecasts by {method}", f"those by {first}")
