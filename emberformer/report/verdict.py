"""What the tables say, in plain words: does the model beat every baseline on new fire, and how sure is that?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from emberformer.evaluate.names import parse_method
from emberformer.evaluate.verdict_pages import number
from emberformer.report.scoreboard import Estimate, Scoreboard, is_seed, method_label, name_in_text, network_label

METRICS = {"average_precision": ("AP", ""), "f1": ("F1", "validation")}


class Verdict(NamedTuple):
    """Outcome ("all" others are beaten, "some", "none", or "unknown"), a headline, and sentences."""

    outcome: str
    headline: str
    sentences: list[str]


def verdict(board: Scoreboard) -> Verdict:
    """Compare the headline model with every rival by the paired 95 % intervals of new-fire AP and F1.

    A rival is beaten on a score if the whole interval of the difference lies above zero.
    """
    model, subject = board.headline, network_label(board.headline)
    others = {name_in_text(name): name for name in board.others}
    baselines = list(others)
    outcomes = {
        metric: {text: board.difference(model, name, metric) for text, name in others.items()} for metric in METRICS
    }
    beaten = [name for name in baselines if all(of[name].verdict == "better" for of in outcomes.values())]
    kinds = {estimate.verdict for of in outcomes.values() for estimate in of.values()}
    if not kinds or kinds == {"unknown"}:
        outcome, headline = "unknown", "The tables hold no comparison with a rival that has an interval."
    elif len(beaten) == len(baselines):
        simple = set(others.values()) <= set(board.baselines)
        outcome, headline = "all", f"{subject} beats {_every(baselines, simple)} on new fire."
    elif beaten:
        outcome = "some"
        rest = [name for name in baselines if name not in beaten]
        headline = f"{subject} beats {listed(beaten)} on new fire, but not {listed(rest, 'or')}."
    else:
        outcome, headline = "none", f"{subject} does not beat {listed(baselines, 'or')} on new fire on both scores."
    return Verdict(
        outcome, headline, [_sample(board), *_comparisons(outcomes), *_closest(outcome, outcomes), *_remark(board)]
    )


def interval_text(estimate: Estimate, digits: int = 3, signed: bool = False) -> str:
    """A value with its interval in words.

    >>> interval_text(Estimate(0.0412, -0.011, 0.09), signed=True)
    '+0.041 (−0.011 to +0.090)'
    """
    value, low, high = (number(part, digits, signed) for part in estimate[:3])
    return value if low == "–" else f"{value} ({low} to {high})"


def _sample(board: Scoreboard) -> str:
    fires, steps, prevalence = board.size()
    scores = [
        f"an {name} of {interval_text(board.estimate(board.headline, 'new', metric, threshold))}"
        for metric, (name, threshold) in METRICS.items()
    ]
    sample = f"{steps} forecasts; {number(100 * prevalence, 2)} % of the pixels open to new fire burned in the step"
    brackets = ", with 95 % intervals in brackets" if any("(" in score for score in scores) else ""
    return (
        f"On {fires} test fire{'s' * (fires != 1)} ({sample}), {method_label(board.headline)} scores "
        f"{' and '.join(scores)}{brackets}."
    )


def _comparisons(outcomes: dict[str, dict[str, Estimate]]) -> list[str]:
    """One sentence a metric, or a joint one where both say the same of every baseline."""
    if all({estimate.verdict for estimate in of.values()} == {"better"} for of in outcomes.values()):
        both = listed([name for name, _ in METRICS.values()])
        return [f"Every paired 95 % interval of the difference lies above zero, for {both}."]
    sentences = []
    for metric, (name, _) in METRICS.items():
        groups: dict[str, list[str]] = {}
        for baseline, estimate in outcomes[metric].items():
            groups.setdefault(estimate.verdict, []).append(f"{baseline}{_margin(estimate)}")
        said = [f"{VERBS[kind]} {listed(groups[kind])}" for kind in VERBS if kind in groups]
        if said:
            sentences.append(f"On {name} it {'; it '.join(said)}.")
    return sentences


VERBS = {
    "better": "beats",
    "tied": "cannot be told apart (the paired interval of the difference includes zero) from",
    "worse": "is worse than",
    "unknown": "has no interval against",
}


def _margin(estimate: Estimate) -> str:
    return "" if estimate.verdict in ("better", "unknown") else f" [{interval_text(estimate, signed=True)}]"


def _closest(outcome: str, outcomes: dict[str, dict[str, Estimate]]) -> list[str]:
    if outcome != "all":
        return []
    closest = {metric: min(of, key=lambda name: of[name].value) for metric, of in outcomes.items()}
    parts = [
        f"{rival} on {METRICS[metric][0]}, {interval_text(outcomes[metric][rival], signed=True)}"
        for metric, rival in closest.items()
    ]
    return [f"The closest: {'; '.join(parts)}."]


def _remark(board: Scoreboard) -> list[str]:
    fires, _, _ = board.size()
    trained = parse_method(board.headline).trained
    seeds = sum(is_seed(name) and parse_method(name).trained == trained for name in board.models)
    remarks = []
    if fires < 10:
        remarks.append("So few fires make wide and rough intervals.")
    if seeds == 1:
        remarks.append("This is one trained model: how much another seed would score is not in the intervals.")
    return [" ".join(remarks)] if remarks else []


def _every(names: Sequence[str], simple: bool) -> str:
    kind = "baselines" if simple else "rivals"
    return names[0] if len(names) == 1 else f"all {len(names)} {kind} ({listed(names)})"


def listed(names: Sequence[str], conjunction: str = "and") -> str:
    """Names in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return f" {conjunction} ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""
