"""Protocols: what published numbers of a data set were measured with, so that one of ours can stand beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from emberformer.stage import merged

ProtocolName = Literal["wsts-full", "wsts-128", "ndws", "deep-crown", "by-landscape"]
Fixed = Mapping[str, Mapping[str, Any]]

OF_YEARS = {"by": "year"}
# The first forecast that is scored is made from the fifth day, whatever history a network sees.
WSTS = {"split": OF_YEARS, "evaluation": {"first_step": 4}, "forecast": {"every": 1}}
FIXED: dict[ProtocolName, Fixed] = {
    "wsts-full": merged(dict(WSTS), {"evaluation": {"crop": "multiple_of_32"}}),
    "wsts-128": merged(dict(WSTS), {"evaluation": {"crop": "centre_128"}}),
    "ndws": {"split": {"by": "published", "leakage": "report"}, "evaluation": {"crop": "none", "first_step": 0}},
    "deep-crown": {"split": {"by": "shuffled", "train": 0.8, "validation": 0.1, "test": 0.1, "seed": 42}},
    "by-landscape": {"split": {"by": "landscape"}},
}
# What the data sets must be, and have set.
OF_DATASETS: dict[ProtocolName, dict[str, Any]] = {
    "wsts-full": {"source": "wsts", "missing_days": "skip"},
    "wsts-128": {"source": "wsts", "missing_days": "skip"},
    "ndws": {"source": "ndws"},
    "deep-crown": {"source": "deep_crown"},
}


def follow(content: dict[str, Any], name: ProtocolName) -> dict[str, Any]:
    """A configuration with all that a protocol fixes.

    Args:
        content: a configuration as it was read, not validated yet.
        name: the protocol.

    Raises:
        ValueError: it sets something else; the key is named.
    """
    fixed: dict[str, Any] = {section: dict(keys) for section, keys in FIXED[name].items()}
    fixed["evaluation"] = {**fixed.get("evaluation", {}), "protocol": name}
    told = OF_DATASETS.get(name, {})
    fixed["datasets"] = {dataset: dict(told) for dataset in _section(content, "datasets")} if told else {}
    for section, keys in fixed.items():
        _refuse_other(section, _section(content, section), keys, name)
    return merged(content, fixed)


def _refuse_other(place: str, content: Mapping[str, Any], fixed: Mapping[str, Any], name: str) -> None:
    for key, value in fixed.items():
        if isinstance(value, dict):
            _refuse_other(f"{place}.{key}", _section(content, key), value, name)
        elif key in content and content[key] != value and not (place == "evaluation" and content[key] is None):
            raise ValueError(f"{place}.{key}: {content[key]!r}, but protocol {name} fixes {value!r}; leave the key out")


def _section(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name)
    return found if isinstance(found, Mapping) else {}
