"""Protocols of published scores: which keys of a configuration each one sets, and what it says in words.

A protocol is a number's conditions. Under `protocol: NAME` the keys below have the given values, whether or not they
stand in the configuration; one that says something else is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel

ProtocolName = Literal["wsts-full", "wsts-128", "ndws", "deep-crown", "by-landscape"]


class Protocol(NamedTuple):
    """One protocol.

    Args:
        source: of all its data sets; None: any.
        fixes: keys that it sets, as paths; `datasets.*` are all data sets.
        preset: keys that have this value unless the configuration gives another.
        words: what is fixed, by what it is about, for a reader of the scores.
        reference: where it is published; "" = it is the project's own.
    """

    source: str | None
    fixes: Mapping[str, Any]
    preset: Mapping[str, Any]
    words: Mapping[str, str]
    reference: str


class FollowedProtocol(NamedTuple):
    """The protocol of a configuration, and the fold that it runs, where it has folds."""

    name: ProtocolName
    fold: int | None = None


ONE_FRAME = {"forecast.leads": 1, "forecast.every": 1}
POOLED = "scores are ratios of sums over all scored pixels of all test forecasts"
AT_HALF = "0.5, a forecast of 0.5 itself counting as fire; the threshold chosen on validation fires is told beside it"
YEARS = {
    "split": "years: two train, one validates, one tests; 12 folds, of which this is split.fold",
    "statistics": "of the fires of the training years",
    "ignored_pixels": "padding beyond a fire's own raster; no day that has no file",
    "samples": "test forecasts from the fifth day of a fire on, whatever the history",
    "threshold": AT_HALF,
    "pooling": f"{POOLED} of a fold; then mean and standard deviation (n - 1) over the folds",
}
WSTS = {
    "split.by": "year",
    "split.leakage": "report",
    "datasets.*.missing_days": "skip",
    "evaluation.first_step": 4,
    **ONE_FRAME,
}
PROTOCOLS: dict[ProtocolName, Protocol] = {
    "wsts-full": Protocol(
        "wsts",
        {**WSTS, "evaluation.crop": "multiple_of_32"},
        {"split.fold": 0},
        {"crop": "centre of a fire's raster, sides cut to multiples of 32 pixels", **YEARS},
        "Gerard et al. (2023), https://openreview.net/forum?id=RgdGkPRQ03, and https://github.com/SebastianGer/WildfireSpreadTS",
    ),
    "wsts-128": Protocol(
        "wsts",
        {**WSTS, "evaluation.crop": "centre_128"},
        {"split.fold": 0},
        {"crop": "128 x 128 pixels at the centre of a fire's raster", **YEARS},
        "WSTS+, on the folds of Gerard et al. (2023), https://openreview.net/forum?id=RgdGkPRQ03",
    ),
    "ndws": Protocol(
        "ndws",
        {"split.by": "published", "split.leakage": "report", "evaluation.crop": "none", "evaluation.first_step": 0,
         **ONE_FRAME},
        {},
        {
            "split": "as published: the files train, eval and test; tiles of one place in two of them are listed",
            "statistics": "of the training tiles",
            "crop": "none: the whole tile of 64 x 64 pixels",
            "ignored_pixels": "those whose fire of the second day is unknown (-1)",
            "threshold": AT_HALF,
            "pooling": POOLED,
        },
        "Huot et al. (2022), https://doi.org/10.1109/TGRS.2022.3192974",
    ),
    "deep-crown": Protocol(
        "deep_crown",
        {"split.by": "sequence", "split.train": 0.8, "split.validation": 0.1, "split.test": 0.1, "split.seed": 42,
         "split.leakage": "report", "evaluation.crop": "none", "evaluation.first_step": 0, **ONE_FRAME},
        {},
        {
            "split": "by fire, 80 / 10 / 10 %, numbers of the sequences shuffled by random.Random(42); one ground",
            "statistics": "of the training fires",
            "crop": "none: whole frames",
            "ignored_pixels": "none of those that are known",
            "threshold": AT_HALF,
            "pooling": POOLED,
        },
        "https://github.com/tampueroc/thesis_experiments",
    ),
    "by-landscape": Protocol(
        None,
        {"split.by": "landscape", "split.leakage": "stop", "evaluation.crop": "none", "evaluation.first_step": 0,
         "forecast.every": 1},
        {},
        {
            "split": "the data sets split.test_landscapes are the test; no other fire is",
            "statistics": "of the training fires, none of them on the ground of the test",
            "crop": "none: whole frames",
            "ignored_pixels": "those unknown at the initial or the valid time",
            "threshold": "of highest new-fire F1 on validation fires; 0.5 is told beside it",
            "pooling": POOLED,
        },
        "",
    ),
}  # fmt: skip


def with_protocol(content: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with what its protocol sets put in.

    Args:
        content: as it stands in the file; without a key `protocol` it comes back as it is.

    Raises:
        ValueError: a key says something else than the protocol.
    """
    result = dict(content)
    name = content.get("protocol")
    if name is None or name not in get_args(ProtocolName):  # an unknown name is refused by the type of the key
        return result
    for path, value in PROTOCOLS[name].fixes.items():
        _put(result, path.split("."), value, f"protocol {name} sets {path}: {value!r}; leave the key out")
    for path, value in PROTOCOLS[name].preset.items():
        _put(result, path.split("."), value)
    return result


def _put(content: dict[str, Any], path: list[str], value: Any, refusal: str | None = None) -> None:
    """Set a value at a path; one that is there already stays, and is refused if it is another and may not be."""
    key, *rest = path
    for name in list(content) if key == "*" else [key]:
        if rest:
            inner = content.get(name, {})
            inner = inner.model_dump(mode="json", exclude_unset=True) if isinstance(inner, BaseModel) else inner
            if isinstance(inner, Mapping):  # what is none is refused by the type of the key
                content[name] = dict(inner)
                _put(content[name], rest, value, refusal)
        elif content.setdefault(name, value) != value and refusal:
            raise ValueError(f"{refusal} (got {content[name]!r})")
