"""The protocol of an evaluation: how every number of its tables was scored, so that tables can be compared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from emberformer.data.fires import stays_burned
from emberformer.data.wsts.samples import FOLDS, Fold
from emberformer.evaluate import arrivals, bands, fractions, strata
from emberformer.evaluate.bootstrap import LEVEL
from emberformer.evaluate.observed import HISTORY_LENGTHS
from emberformer.evaluate.rows import Group, MethodScores
from emberformer.evaluate.scored_part import IN_WORDS
from emberformer.evaluate.scores import CLIP
from emberformer.evaluate.verification import BINS, RELIABILITY_BINS
from emberformer.protocols import PROTOCOLS, FollowedProtocol
from emberformer.settings import EvaluationSettings


def protocol(
    results: Mapping[str, MethodScores],
    fires: Mapping[str, xr.Dataset],
    settings: EvaluationSettings,
    followed: FollowedProtocol | None = None,
) -> dict[str, object]:
    """What protocol.json says: plain words for choices, numbers for numbers.

    Args:
        results: method -> its scores.
        fires: data set -> opened fires store.
        settings: of the evaluation.
        followed: the protocol of the configuration; None: it names none.
    """
    return {
        "note": protocol_note(results, fires, settings, followed),
        "protocol": None if followed is None else _followed(followed),
        "crop": IN_WORDS[settings.crop],
        "first_step_of_test_forecasts": settings.first_step,
        "ignored_pixels": "unknown (255) at the valid time, and unless fires go out at the initial time",
        "regions": {
            "new": "pixels not burned at the initial time; where fires go out (fire_kind active) all pixels",
            "whole": "all pixels; those burned at the initial time count as forecast and observed with probability 1, "
            "unless fires go out",
        },
        "thresholds": {
            "0.5": "probability 0.5",
            "validation": "of highest new-fire F1 on the validation fires of all data sets and leads, a method each",
        },
        "pooling": "sums over all pixels of all forecasts of a group, then one ratio; Hausdorff distance, areas and "
        "counts of parts are means over forecasts",
        "uncertainty": {
            "resampled": "whole fires, within each data set",
            "replicates": settings.replicates,
            "seed": settings.seed,
            "interval": f"percentile, {LEVEL:.0%}",
            "differences": "on the same resamples",
        },
        "bins": {
            "average_precision_and_thresholds": BINS,
            "spacing": "1/64 in logit of a probability, 9/1024 in asinh of a score",
            "calibration": RELIABILITY_BINS,
        },
        "as_trained": "a network before its logits were calibrated, at lead 1",
        "brier_skill_reference": settings.reference or "share of pixels that burned in the group that is scored",
        "negative_log_likelihood_clip": CLIP,
        "boundary_tolerance_px": settings.boundary_tolerance,
        "boundary_band_px": list(bands.WIDTHS),
        "fractions_windows_px": list(fractions.WINDOWS),
        "arrival_time_of_pixels_never_reached": arrivals.NEVER_REACHED,
        "history_groups": list(HISTORY_LENGTHS),
        "strata_edges": {name: list(edges) for name, edges in strata.EDGES.items()},
        "datasets": {name: _dataset(of) for name, of in fires.items()},
        "samples": _samples(results),
        "methods": {method: {"score_kind": of.threshold["score_kind"]} for method, of in results.items()},
    }


def protocol_note(
    results: Mapping[str, MethodScores],
    fires: Mapping[str, xr.Dataset],
    settings: EvaluationSettings,
    followed: FollowedProtocol | None = None,
) -> str:
    """The protocol in one paragraph, to stand under a table."""
    sizes = [
        f"{of['dataset']} {of['n_fires']} fires, {of['n_steps']} forecasts, {of['prevalence'] or 0:.2%} burned"
        for of in _samples(results)
        if (of["split"], of["region"]) == ("test", "new") and (of["dataset"] in fires) and of["lead"] == _first(results)
    ]
    grids = [f"{name} {of.sizes['y']} x {of.sizes['x']} px of {of.attrs['cell_m']:g} m" for name, of in fires.items()]
    crop = "Whole frames ({}), no crop" if settings.crop == "none" else f"Of frames ({{}}) {IN_WORDS[settings.crop]}"
    stay = [stays_burned(of) for of in fires.values()]
    ignored = "either time" if any(stay) else "the valid time"
    new = (
        "not burned at the initial time"
        if all(stay)
        else "not burned at the initial time; where fires go out all pixels"
    )
    early = f" from frame {settings.first_step} on" if settings.first_step else ""
    return (
        f"{protocol_in_words(followed)}{crop.format('; '.join(grids))}; pixels unknown at {ignored} ignored; new fire "
        f"= {new}. Test fires{early} at lead {_first(results)}: {'; '.join(sizes)}. Scores "
        "are ratios of sums over all forecasts; thresholds have the highest new-fire F1 on validation fires; "
        f"{LEVEL:.0%} intervals resample fires ({settings.replicates} times); {RELIABILITY_BINS} bins of calibration; "
        f"perimeters agree within {settings.boundary_tolerance} px."
    )


def _followed(followed: FollowedProtocol) -> dict[str, object]:
    """Name of a protocol, the fold with its years, the keys that it sets and what they mean."""
    of = PROTOCOLS[followed.name]
    return {
        "name": followed.name,
        "fold": None if followed.fold is None else {"number": followed.fold, **FOLDS[followed.fold]._asdict()},
        "sets": dict(of.fixes),
        **of.words,
        "reference": of.reference,
    }


def protocol_in_words(followed: FollowedProtocol | None) -> str:
    """What a protocol fixes, in a sentence with a blank behind it; nothing where there is none."""
    if followed is None:
        return ""
    fold = "" if followed.fold is None else f", fold {followed.fold} ({_years(FOLDS[followed.fold])})"
    words = "; ".join(f"{about.replace('_', ' ')}: {said}" for about, said in PROTOCOLS[followed.name].words.items())
    return f"Protocol {followed.name}{fold}: {words}. "


def _years(fold: Fold) -> str:
    """Such as "trained on 2018 and 2019, chosen on 2020, tested on 2021"."""
    return f"trained on {fold.train[0]} and {fold.train[1]}, chosen on {fold.validation}, tested on {fold.test}"


def _dataset(fires: xr.Dataset) -> dict[str, object]:
    return {
        "pixels": [fires.sizes["y"], fires.sizes["x"]],
        "pixel_m": float(fires.attrs["cell_m"]),
        "step_minutes": float(fires.attrs["seconds_per_frame"]) / 60,
        "fire_kind": fires.attrs["fire_kind"],
        "target_kind": fires.attrs["target_kind"],
        "fires_content_digest": fires.attrs["content_digest"],
    }


def _samples(results: Mapping[str, MethodScores]) -> list[dict]:
    """Size and prevalence of every data set, split, lead and region; the same for all methods."""
    first = next(iter(results.values()))
    return [
        {"dataset": group.dataset, "split": group.split, "lead": group.lead, "region": score.region}
        | first.sizes[group]._asdict()
        | {"prevalence": round(float(values[0]), 8) if np.isfinite(values[0]) else None}
        for group, scores in first.scores.items()
        if isinstance(group, Group) and group.history == "all"
        for score, values in scores.items()
        if score.metric == "prevalence"
    ]


def _first(results: Mapping[str, MethodScores]) -> int:
    """The shortest lead time."""
    return min(group.lead for group in next(iter(results.values())).scores)
