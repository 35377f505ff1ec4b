"""What was asked and what came out, for a reader who knows no scores: in hectares of a hundred."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from emberformer.report.scoreboard import Scoreboard, group_of, method_label, name_in_text, network_label
from emberformer.report.verdict import listed
from emberformer.settings import SplitSettings

PLAIN = {  # what simple rivals do, as an apposition
    "persistence": "the last map once more, and nothing else burns",
    "dilation": "the fire widens by the same distance on all sides",
    "distance": "the nearer to the fire, the likelier",
    "logistic": "a formula of distance, wind, slope and fuel",
}
KEPT_ASIDE = {  # how the split was made -> what the model knew of the ground of its test fires
    "fire": "The model learned from other fires on the same ground",
    "block": "The test fires began on other ground of the landscape that the model learned from",
    "landscape": "The model learned from no fire in the landscapes of the test",
    "year": "The model learned from fires of other years than the test's",
    "published": "The model learned from the tiles that the data set's authors give for training",
    "sequence": "The model learned from other fires on the same ground",
}


class Hundred(NamedTuple):
    """A method in hectares of a hundred: those found of what burned, and those right of what was marked; "–": none.

    `minor`: a method that is not the one the page is about.
    """

    label: str
    does: str
    found: str
    right: str
    minor: bool


class Answer(NamedTuple):
    """The question, the answer in sentences, and a row for each method."""

    asked: list[str]
    said: list[str]
    rows: list[Hundred]


def plain_answer(
    board: Scoreboard,
    ahead: Mapping[int, str],
    split: SplitSettings,
    sees_wind: bool | None,
    stays_burned: bool = True,
) -> Answer:
    """The question and the answer in words.

    Of 100 ha is recall, and precision, of new fire at the threshold chosen on validation.

    Args:
        board: the verification tables.
        ahead: lead -> how far it looks, in words.
        split: how the fires were split.
        sees_wind: whether the headline was given the wind of the step that it forecasts; None: not known.
        stays_burned: whether burned ground stays burned in all data sets.
    """
    fires, steps, _ = board.size()
    subject = network_label(board.headline)
    asked = [
        "Given where a fire has burned so far, the ground and the wind: which ground will have burned "
        f"{ahead[board.lead]} later?",
        f"Ground that {'was not burned on the last map and burns' if stays_burned else 'burns'} by then is called new "
        f"fire{'' if stays_burned else ', also where it burned on the last map, for these fires go out'}.",
        f"{subject} answered {steps:,} times for {fires} fire{'s' * (fires != 1)} kept aside "
        f"from its training. {kept_aside(split)}",
        "Each answer was compared with what then burned, and with rival methods.",
    ]
    if sees_wind:
        asked.append("It was told the wind of the time it forecasts, as if the weather forecast had been perfect.")
    rows = {method: _hundred(board, method) for method in [board.headline, *board.others]}
    said = [_about(board.headline, rows[board.headline], stays_burned), *_rivals(board, rows)]
    if (last := board.leads[-1]) > board.lead:
        later = _hundred(board, board.headline, last)
        said.append(f"Asked {ahead[last]} ahead, {subject} finds {later.found} of 100, and {later.right} are right.")
    return Answer(asked, said, list(rows.values()))


def kept_aside(split: SplitSettings) -> str:
    """What the model knew of the ground of its test fires, in a sentence.

    >>> kept_aside(SplitSettings(by="block"))
    'The test fires began on other ground of the landscape that the model learned from.'
    """
    if split.test_landscapes:
        return f"{KEPT_ASIDE[split.by]}, but it never saw {listed(split.test_landscapes)}."
    known = split.by in ("fire", "sequence")
    return f"{KEPT_ASIDE[split.by]}{', so this says nothing about ground never seen' * known}."


def _hundred(board: Scoreboard, method: str, lead: int | None = None) -> Hundred:
    shares = [board.estimate(method, "new", of, "validation", lead=lead).value for of in ("recall", "precision")]
    found, right = (f"{100 * share:.0f}" if np.isfinite(share) else "–" for share in shares)
    return Hundred(method_label(method), PLAIN.get(method, ""), found, right, method != board.headline)


def _about(method: str, row: Hundred, stays_burned: bool) -> str:
    found = f"Of every 100 hectares that burned{' anew' * stays_burned}, {network_label(method)} had marked {row.found}"
    return f"{found}; of every 100 hectares that it marked, {row.right} burned."


def _rivals(board: Scoreboard, rows: dict[str, Hundred]) -> list[str]:
    simple = [name for name in board.others if group_of(name) == "Simple rivals" and rows[name].right != "–"]
    said = []
    if "persistence" in simple:  # where fires go out
        row = rows["persistence"]
        said.append(
            f"The last map repeated (persistence) finds {row.found} of 100, and {row.right} of 100 that it marks "
            "are right."
        )
    elif "persistence" in rows:
        said.append("The last map repeated (persistence) marks no new fire at all.")
    if "dilation" in simple:
        row = rows["dilation"]
        said.append(
            f"Widening the fire evenly on all sides (dilation) finds {row.found} of 100, and {row.right} of 100 "
            "that it marks are right."
        )
    f1 = {name: board.estimate(name, "new", "f1", "validation").value for name in board.others}
    best = max((name for name in f1 if np.isfinite(f1[name])), key=lambda name: f1[name], default="")
    if best and best not in ("persistence", "dilation"):
        row = rows[best]
        said.append(f"The strongest rival, {name_in_text(best)}, finds {row.found}, and {row.right} are right.")
    return said
