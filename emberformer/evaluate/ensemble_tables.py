"""From member stores to tables of ensembles: all methods on the same test forecasts and the same resamples of fires."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emberformer.atomic import replacing
from emberformer.data.fires import open_fires
from emberformer.errors import InputError
from emberformer.evaluate.bootstrap import fire_weights
from emberformer.evaluate.ensemble_scores import central_interval, rank_histogram
from emberformer.evaluate.ensemble_sums import REACH_PX, EnsembleSums, ensemble_scores_of, ensemble_sums_of
from emberformer.evaluate.names import parse_method, representatives
from emberformer.evaluate.observed import require_same_steps
from emberformer.evaluate.rows import POOLED, Size, estimated, write
from emberformer.evaluate.scored_part import ScoredPart
from emberformer.evaluate.scores import ratio
from emberformer.evaluate.seeds import by_seed_mean, mean_and_sd
from emberformer.evaluate.verification import RELIABILITY_BINS
from emberformer.member_store import open_members
from emberformer.settings import EvaluationSettings

COMPARED = ("area_crps_ha", "area_fair_crps_ha", "energy_score_ha", "brier", "fair_brier", "ece")
OF_FIRES = (*COMPARED, "area_observed_ha", "area_mean_ha", "area_spread_ha", "area_rmse_ha")


class EnsembleGroup(NamedTuple):
    """Test forecasts that are scored together; the names are columns of the tables."""

    dataset: str
    lead: int


class EnsembleResult(NamedTuple):
    """All results of one ensemble, or of the mean over its seeds: then `sums` are those of all of them."""

    members: int
    sums: list[dict[str, EnsembleSums]]  # of each seed: data set -> sums
    scores: dict[EnsembleGroup, dict[str, np.ndarray]]  # [1 + replicates] each: the sample, then its resamples
    sizes: dict[EnsembleGroup, Size]
    seed_sd: Mapping[EnsembleGroup, Mapping[str, float]] = {}


def evaluate_ensembles(
    members: Mapping[str, Mapping[str, Path]],
    fires: Mapping[str, Path],
    folder: Path,
    settings: EvaluationSettings,
    *,
    subject: str,
    reach_px: float = REACH_PX,
) -> dict[str, EnsembleResult]:
    """Score ensembles on the test fires and write the tables, whole or not at all.

    Writes into `folder`
        ensemble_scores.csv       a row for each method, data set ("all" = pooled), lead and metric, with its 95 %
                                  bootstrap interval over fires. Metrics: see `ensemble_scores_of`; the seeds of an
                                  ensemble are also averaged, with their standard deviation
        ensemble_differences.csv  the subject minus every other method, on the same resamples
        rank_histogram.csv        number of forecasts by how many members lie below the observed area; of the mean over
                                  seeds the forecasts of all
        reliability.csv           burn probability and observed frequency in 15 bins, on the pixels within reach
        per_fire.csv              scores of each fire
        ensembles.json            number of members, interval that is meant by coverage, reach, resamples

    Args:
        members: method -> data set -> member store. Those that end in "-seed-<number>" are averaged.
        fires: data set -> fires store.
        folder: folder to write; replaced if it exists.
        settings: bootstrap replicates and their seed, and which pixels and steps are scored.
        subject: the ensemble that others are compared with, by its name without seed.
        reach_px: pixels a lead from the fire at the initial time within which burn probabilities are scored.

    Returns:
        Method -> its results, means over seeds among them.

    Raises:
        InputError: a store is missing or does not fit, the methods did not forecast the same steps, or there is no
            such subject.
    """
    _require_all(members, fires, subject)
    part = ScoredPart(settings.crop, settings.first_step)
    opened = {name: open_fires(path) for name, path in fires.items()}
    results: dict[str, EnsembleResult] = {}
    for method, stores in members.items():
        sums = {
            name: ensemble_sums_of(
                open_members(path), opened[name], seed=settings.seed, reach_px=reach_px, part=part
            )
            for name, path in stores.items()
        }  # fmt: skip
        results[method] = _scored(sums, settings)
        first = next(iter(members))
        require_same_steps(_steps(results[method]), _steps(results[first]), f"members of {method}", f"those of {first}")
    averaged = results | seed_mean_results(results)
    with replacing(Path(folder)) as partial:
        write(score_rows(averaged), partial / "ensemble_scores.csv")
        write(difference_rows(averaged, subject), partial / "ensemble_differences.csv")
        write(rank_rows(averaged), partial / "rank_histogram.csv")
        write(reliability_rows(averaged), partial / "reliability.csv")
        write(per_fire_rows(results), partial / "per_fire.csv")
        (partial / "ensembles.json").write_text(
            json.dumps(_about(averaged, settings, subject, reach_px), indent=2) + "\n"
        )
    return averaged


def score_rows(results: Mapping[str, EnsembleResult]) -> pd.DataFrame:
    """ensemble_scores.csv."""
    rows = []
    for method, result in results.items():
        for group, scores in result.scores.items():
            size = result.sizes[group]
            for metric, values in scores.items():
                row = {"method": method, **group._asdict(), "metric": metric, **estimated(values, size)}
                row |= size._asdict() | {"members": result.members}
                rows.append(row | {"seed_sd": result.seed_sd[group][metric] if result.seed_sd else np.nan})
    columns = ["method", *EnsembleGroup._fields, "metric", "value", "low", "high", *Size._fields, "members", "seed_sd"]
    return pd.DataFrame(rows, columns=columns)


def difference_rows(results: Mapping[str, EnsembleResult], subject: str) -> pd.DataFrame:
    """ensemble_differences.csv: what stands for the subject minus what stands for each other method."""
    standing = representatives(results)
    chosen = next(method for method in standing if parse_method(method).trained == subject)
    rows = []
    for other in standing:
        for group, scores in results[chosen].scores.items() if other != chosen else ():
            size = results[chosen].sizes[group]
            for metric in COMPARED:
                what = {"method": chosen, "rival": other, **group._asdict(), "metric": metric}
                difference = scores[metric] - results[other].scores[group][metric]
                rows.append(what | estimated(difference, size) | size._asdict())
    columns = ["method", "rival", *EnsembleGroup._fields, "metric", "value", "low", "high", *Size._fields]
    return pd.DataFrame(rows, columns=columns)


def rank_rows(results: Mapping[str, EnsembleResult]) -> pd.DataFrame:
    """rank_histogram.csv: forecasts of each rank, 0 = the observed area is below all members, beside a flat share."""
    rows = []
    for method, result in results.items():
        for group in result.scores:
            ranks = np.concatenate([of.ranks[of.about.lead.to_numpy() == group.lead] for of in _sums(result, group)])
            histogram = rank_histogram(ranks, result.members)
            flat = len(ranks) / (result.members + 1)
            rows += [(method, *group, rank, int(n), flat) for rank, n in enumerate(histogram)]
    columns = ["method", *EnsembleGroup._fields, "rank", "n_forecasts", "n_if_flat"]
    return pd.DataFrame(rows, columns=columns)


def reliability_rows(results: Mapping[str, EnsembleResult]) -> pd.DataFrame:
    """reliability.csv: as that of other forecasts, of the burn probability within reach."""
    edges, frames = np.linspace(0, 1, RELIABILITY_BINS + 1), []
    for method, result in results.items():
        for group in result.scores:
            chosen = [of.reliability[of.about.lead.to_numpy() == group.lead].sum(0) for of in _sums(result, group)]
            n, forecast, observed = np.sum(chosen, axis=0).reshape(3, RELIABILITY_BINS)
            frame = {"method": method, **group._asdict(), "lower": edges[:-1], "upper": edges[1:]}
            frame |= {"mean_forecast": ratio(forecast, n), "observed_frequency": ratio(observed, n)}
            frames.append(pd.DataFrame(frame | {"n_pixels": n.astype(int)}))
    return pd.concat(frames)


def per_fire_rows(results: Mapping[str, EnsembleResult]) -> pd.DataFrame:
    """per_fire.csv: scores of each test fire, over all its steps."""
    frames = []
    for method, result in results.items():
        for dataset, of in result.sums[0].items():
            for lead in sorted(set(of.about.lead)):
                adding = of.by_fire(lead)
                scores = ensemble_scores_of(adding @ of.values, adding @ of.reliability, of.members)
                about = {"method": method, "dataset": dataset, "fire_id": of.fires, "lead": lead}
                about |= {"n_steps": np.asarray(adding.sum(1)).astype(int)}
                frames.append(pd.DataFrame(about | {name: scores[name] for name in OF_FIRES}))
    return pd.concat(frames)


def seed_mean_results(results: Mapping[str, EnsembleResult]) -> dict[str, EnsembleResult]:
    """The mean over the seeds of each ensemble that has several, resample by resample, with the standard deviation."""
    means = {}
    for name, of in by_seed_mean(results).items():
        if len({one.members for one in of}) > 1:
            found = f"{sorted(one.members for one in of)} members of its seeds"
            raise InputError(f"ensemble {name}", found, "one number of members", "sample all seeds alike")
        scores, spread = mean_and_sd([one.scores for one in of])
        sums = [one.sums[0] for one in of]
        means[name] = EnsembleResult(of[0].members, sums, scores, of[0].sizes, spread)
    return means


def _scored(sums: dict[str, EnsembleSums], settings: EvaluationSettings) -> EnsembleResult:
    """All scores of one method; the resamples of "all" are those of its data sets side by side."""
    sizes_found = {of.members for of in sums.values()}
    members = min(sizes_found)
    if len(sizes_found) != 1:
        found = f"{sorted(sizes_found)} members"
        where = f"members of {next(iter(sums.values())).method}"
        raise InputError(where, found, "one number on all data sets", "sample the ensemble again")
    weights = {
        name: fire_weights(len(of.fires), settings.replicates, (settings.seed, number))
        for number, (name, of) in enumerate(sums.items())
    }
    scores, sizes = {}, {}
    for dataset, names in ({name: [name] for name in sums} | {POOLED: list(sums)}).items():
        of_dataset = np.concatenate([weights[name] for name in names], axis=1)
        for lead in sorted({lead for name in names for lead in sums[name].about.lead.tolist()}):
            added = [(sums[name].by_fire(lead), sums[name]) for name in names]
            values, of_bins = (
                np.concatenate([adding @ getattr(of, field) for adding, of in added])
                for field in ("values", "reliability")
            )
            group = EnsembleGroup(dataset, lead)
            scores[group] = ensemble_scores_of(of_dataset @ values, of_dataset @ of_bins, members)
            sizes[group] = Size(int((values[:, 0] > 0).sum()), int(values[:, 0].sum()))
    return EnsembleResult(members, [sums], scores, sizes)


def _sums(result: EnsembleResult, group: EnsembleGroup) -> list[EnsembleSums]:
    return [of for seed in result.sums for name, of in seed.items() if group.dataset in (POOLED, name)]


def _about(
    results: Mapping[str, EnsembleResult], settings: EvaluationSettings, subject: str, reach_px: float
) -> dict[str, object]:
    return {
        "subject": subject,
        "members": {method: result.members for method, result in results.items()},
        "coverage": {method: central_interval(result.members)._asdict() for method, result in results.items()},
        "reach_px_per_lead": reach_px,
        "replicates": settings.replicates,
        "seed": settings.seed,
        "crop": settings.crop,
        "first_step": settings.first_step,
    }


def _require_all(members: Mapping[str, Mapping[str, Path]], fires: Mapping[str, Path], subject: str) -> None:
    if any(set(stores) != set(fires) for stores in members.values()):
        found = str({method: sorted(stores) for method, stores in members.items()})
        raise InputError("ensembles", found, f"members of every method for {sorted(fires)}", "sample what is missing")
    names = sorted({parse_method(method).trained for method in members})
    if subject not in names:
        raise InputError("subject of the comparison", repr(subject), f"one of {', '.join(names)}", "name one of these")


def _steps(result: EnsembleResult) -> list[tuple]:
    """Data set, fire, initial step and lead of what was scored."""
    return [(name, *row) for name, of in result.sums[0].items() for row in of.about.itertuples(index=False, name=None)]
