"""Rows of the verification tables, as tidy data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emberformer.atomic import replacing_file
from emberformer.evaluate.bootstrap import percentile_interval
from emberformer.evaluate.names import parse_method, representatives
from emberformer.evaluate.pooling import REGIONS, Score, fire_table, scores_of
from emberformer.evaluate.scores import ratio
from emberformer.evaluate.verification import RELIABILITY_BINS, ForecastSums, Selection

POOLED = "all"  # every data set together, or every history length
AS_FORECAST, AS_TRAINED = "as forecast", "as trained"  # calibrated where the method is, and before that
COMPARED = (
    Score("new", "", "average_precision"),
    Score("new", "validation", "f1"),
    Score("new", "validation", "boundary_f1"),
    Score("new", "validation", "hausdorff_95_m"),
)


class Group(NamedTuple):
    """Forecasts that are scored together; the names are columns of the tables."""

    dataset: str
    split: str
    lead: int
    history: str


class Stratum(NamedTuple):
    """Forecasts of one class of a stratum that are scored together; the names are columns of strata.csv."""

    dataset: str
    split: str
    lead: int
    stratum: str
    class_name: str


class Size(NamedTuple):
    """How much a group holds."""

    n_fires: int
    n_steps: int


class MethodScores(NamedTuple):
    """All results of one method."""

    scores: dict[Group | Stratum, dict[Score, np.ndarray]]  # [1 + replicates] each: the sample, then its resamples
    sizes: dict[Group | Stratum, Size]
    per_fire: pd.DataFrame
    reliability: pd.DataFrame
    threshold: dict[str, object]  # as in thresholds.json
    seed_sd: Mapping[Group | Stratum, Mapping[Score, float]] = {}


def score_rows(results: Mapping[str, MethodScores], of: type[Group] | type[Stratum] = Group) -> pd.DataFrame:
    """scores.csv, or strata.csv: every score with its interval.

    Args:
        results: method -> its scores.
        of: which of its groups.
    """
    rows = []
    for method, result in results.items():
        for group, scores in result.scores.items():
            if not isinstance(group, of):
                continue
            size = result.sizes[group]
            for score, values in scores.items():
                if score.metric == "prevalence":
                    continue
                row = {
                    "method": method,
                    **group._asdict(),
                    **score._asdict(),
                    **estimated(values, size),
                    **size._asdict(),
                }
                row["prevalence"] = scores[Score(score.region, "", "prevalence")][0]
                row["seed_sd"] = result.seed_sd[group][score] if result.seed_sd else np.nan
                rows.append(row)
    estimate = ["value", "low", "high", *Size._fields, "prevalence", "seed_sd"]
    columns = ["method", *of._fields, *Score._fields, *estimate]
    return pd.DataFrame(rows, columns=columns)


def difference_rows(results: Mapping[str, MethodScores]) -> pd.DataFrame:
    """differences.csv: each phase of EmberFormer minus every other method on the test fires, replicate by replicate."""
    rows = []
    for model, other in compared_methods(list(results)):
        for group, scores in results[model].scores.items():
            if not isinstance(group, Group) or (group.split, group.history) != ("test", POOLED):
                continue
            others, size = results[other].scores[group], results[model].sizes[group]
            for score in COMPARED:
                if score in scores and score in others:
                    what = {"method": model, "baseline": other, "dataset": group.dataset, "lead": group.lead}
                    difference = scores[score] - others[score]
                    rows.append(what | score._asdict() | estimated(difference, size) | size._asdict())
    columns = ["method", "baseline", "dataset", "lead", *Score._fields, "value", "low", "high", *Size._fields]
    return pd.DataFrame(rows, columns=columns)


def compared_methods(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs to subtract: what stands for a phase of EmberFormer minus what stands for every other trained network and
    phase, and minus each baseline; likewise each of its seeds minus the same seed of the others.

    >>> compared_methods(["emberformer-seed-0", "unet-seed-0", "distance"])
    [('emberformer-seed-0', 'unet-seed-0'), ('emberformer-seed-0', 'distance')]
    """
    standing = representatives(methods)
    pairs = [(model, other) for model in standing if parse_method(model).is_model for other in standing]
    for model in (method for method in methods if parse_method(method).is_model):
        seed = parse_method(model).seed
        alike = [method for method in methods if parse_method(method).seed == seed]
        pairs += [(model, other) for other in alike if seed is not None]
        pairs += [(model, other) for other in standing if parse_method(other).phase is None]
    return list(dict.fromkeys((a, b) for a, b in pairs if parse_method(a).trained != parse_method(b).trained))


def per_fire_rows(method: str, sums: Mapping[str, ForecastSums], threshold_bin: int | None) -> pd.DataFrame:
    """per_fire.csv: new-fire scores of each test fire, over all its steps.

    Args:
        method: name of the method.
        sums: data set -> verification sums of the method.
        threshold_bin: bin of the threshold chosen on validation.
    """
    frames = []
    for dataset, of_dataset in sums.items():
        for lead in sorted(of_dataset.about.lead.unique().tolist()):
            table = fire_table([of_dataset], Selection("test", lead))
            scores = scores_of(table, np.eye(len(table.steps)), of_dataset.score_kind, threshold_bin)
            fires = [fire_id for fire_id, split in of_dataset.fires.items() if split == "test"]
            frame = {"method": method, "dataset": dataset, "fire_id": fires}
            frame |= {"lead": lead, "n_steps": table.steps.astype(int)}
            frame |= {_column(score): values for score, values in scores.items() if score.region == "new"}
            frames.append(pd.DataFrame(frame))
    return pd.concat(frames)


def reliability_rows(method: str, sums: Mapping[str, ForecastSums]) -> pd.DataFrame:
    """reliability.csv: mean forecast and observed frequency in each bin of probability; no rows for a mere score.

    Rows have the `calibration` "as forecast"; of a method that names its calibration there are, at lead 1, as many "as
    trained".
    """
    columns = ["method", "dataset", "lead", "region", "calibration", "lower", "upper", "mean_forecast",
               "observed_frequency", "n_pixels"]  # fmt: skip
    edges = np.linspace(0, 1, RELIABILITY_BINS + 1)
    frames = [pd.DataFrame(columns=columns)]
    for dataset, members in ({name: [of] for name, of in sums.items()} | {POOLED: list(sums.values())}).items():
        if any(of.score_kind == "score" for of in members):
            continue
        for lead in sorted({lead for of in members for lead in of.about.lead.tolist()}):
            kinds = {AS_FORECAST: members}
            if lead == 1 and all(of.calibration for of in members):
                kinds[AS_TRAINED] = [of.as_trained for of in members]
            for (calibration, of_kind), region in product(kinds.items(), REGIONS):
                table = fire_table(of_kind, Selection("test", lead))
                n, forecast, observed = table.pooled(np.ones((1, len(table.steps)))).region(region).reliability[0]
                of_bins = edges[:-1], edges[1:], ratio(forecast, n), ratio(observed, n), n.astype(int)
                values = method, dataset, lead, region, calibration, *of_bins
                frames.append(pd.DataFrame(dict(zip(columns, values, strict=True))))
    return pd.concat(frames[1:] or frames)


def estimated(values: np.ndarray, size: Size) -> dict[str, float]:
    """The score of the sample and its interval; one fire alone has none."""
    low, high = percentile_interval(values) if size.n_fires > 1 else (np.nan, np.nan)
    return {"value": float(values[0]), "low": low, "high": high}


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, whole or not at all; undefined values are empty."""
    with replacing_file(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6g")


def _column(score: Score) -> str:
    return f"{score.metric}_{score.threshold}" if score.threshold else score.metric
