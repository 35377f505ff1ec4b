"""Brier skill against another method: how much lower a Brier score is than that of the reference on the same pixels."""

from __future__ import annotations

from collections.abc import Mapping

from emberformer.errors import InputError
from emberformer.evaluate.pooling import Score
from emberformer.evaluate.rows import MethodScores
from emberformer.evaluate.scores import ratio
from emberformer.forecast_store import ScoreKind

KEYS = ["dataset", "fire_id", "lead"]


def against_reference(results: Mapping[str, MethodScores], reference: str | None) -> dict[str, MethodScores]:
    """Results in which `brier_skill` is 1 - Brier score / Brier score of the reference, resample by resample.

    Args:
        results: method -> its scores.
        reference: name of a method that `require_reference` lets pass; None: the share of pixels that burned, which is
            what the results hold already.
    """
    if reference is None:
        return dict(results)
    return {
        method: _skilled(result, results[reference]) if result.threshold["score_kind"] == "probability" else result
        for method, result in results.items()
    }


def require_reference(reference: str | None, kinds: Mapping[str, ScoreKind]) -> None:
    """Refuse a reference before anything is scored.

    Args:
        reference: as in `against_reference`.
        kinds: method -> kind of its score.

    Raises:
        InputError: no such method, or it forecasts no probabilities.
    """
    able = [method for method, kind in kinds.items() if kind == "probability"]
    if reference not in (None, *able):
        raise InputError(
            "settings `evaluation.reference`", repr(reference), f"a method with probabilities: {', '.join(able)}",
            "name one of these, or null for the share of pixels that burned",
        )  # fmt: skip


def _skilled(result: MethodScores, reference: MethodScores) -> MethodScores:
    scores = {}
    for group, of_group in result.scores.items():
        known = reference.scores[group]
        skill = {
            score._replace(metric="brier_skill"): 1 - ratio(values, known[score])
            for score, values in of_group.items()
            if score == Score(score.region, "", "brier")
        }
        scores[group] = of_group | skill
    brier = result.per_fire[KEYS].merge(reference.per_fire[[*KEYS, "brier"]], how="left", on=KEYS).brier.to_numpy()
    per_fire = result.per_fire.assign(brier_skill=1 - ratio(result.per_fire.brier.to_numpy(), brier))
    return result._replace(scores=scores, per_fire=per_fire)
