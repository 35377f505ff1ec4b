"""What the report reads beside the verification tables: training curves, backbones, and where all came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import xarray as xr
import yaml

from emberformer.data.split import SPLITS, read_split
from emberformer.layout import Layout
from emberformer.provenance import provenance
from emberformer.report.scoreboard import method_label
from emberformer.settings import Settings

# Attributes of a feature store that the page shows, and what it calls them.
BACKBONE = {
    "key": "key",
    "model": "model",
    "weights": "weights",
    "weights_sha256": "SHA-256 of the weights",
    "weights_licence": "licence",
    "rendering": "rendering",
    "scale": "scale",
    "precision": "computed in",
    "dtype": "stored as",
}
SHOWN_ELSEWHERE = ("fitted", "settings")  # parts of a store's provenance


class Fact(NamedTuple):
    """One row of the provenance table."""

    what: str
    value: str


def read_curves(layout: Layout) -> tuple[dict[str, dict[int, pd.DataFrame]], list[str]]:
    """Training metrics of each network and phase by seed, and a line for each run that cannot be shown."""
    curves: dict[str, dict[int, pd.DataFrame]] = {}
    missing = []
    for name, trained in layout.trained.items():
        for seed in trained.seeds:
            path = trained.folder(seed) / "metrics.csv"
            said = f"No training curves of {method_label(f'{name}-seed-{seed}')}: {_short(path, layout)}"
            try:
                table = pd.read_csv(path)
            except (OSError, ValueError):
                missing.append(f"{said} is missing or empty.")
                continue
            if "epoch" in table:
                curves.setdefault(name, {})[seed] = table
            else:
                missing.append(f"{said} has no column 'epoch'.")
    return curves, missing


def read_feature_attributes(layout: Layout) -> dict[str, dict]:
    """Root attributes of the feature store of each data set; {} where there is none. Arrays are not opened."""
    attributes = {}
    for dataset in layout.settings.datasets:
        try:
            attributes[dataset] = dict(json.loads((layout.features(dataset) / "zarr.json").read_text())["attributes"])
        except (OSError, ValueError, KeyError):
            attributes[dataset] = {}
    return attributes


def backbone_name(attributes: Mapping[str, dict], settings: Settings) -> str:
    """The backbone as a feature store names it, or else as the configuration does."""
    stored = next((str(of["model"]) for of in attributes.values() if "model" in of), "")
    return stored or (
        settings.features.architecture if settings.features.weights == "random" else settings.features.weights
    )


def has_random_weights(attributes: Mapping[str, dict], settings: Settings) -> bool:
    """Whether any feature came from an untrained backbone."""
    return "random" in {settings.features.weights, *(str(of.get("weights")) for of in attributes.values())}


def collect_provenance(
    settings: Settings,
    layout: Layout,
    fires: Mapping[str, xr.Dataset],
    features: Mapping[str, dict],
    forecasts: Mapping[str, dict],
) -> list[Fact]:
    """Rows of the provenance table.

    Args:
        settings: the configuration.
        layout: its paths.
        fires: data set -> opened fires store.
        features: data set -> root attributes of its feature store.
        forecasts: method -> root attributes of its forecast store (of the first data set).
    """
    facts = [Fact("configuration", settings.name)]
    for dataset, store in fires.items():
        sizes = f"{store.sizes['fire']} fires, {store.sizes['frame']} frames"
        pixels = f"{store.sizes['y']} × {store.sizes['x']} pixels of {store.attrs['cell_m']:g} m"
        skipped = f"{len(store.attrs.get('fires_skipped') or [])} fires skipped"
        text = f"{sizes} of {pixels}; {skipped}; content {store.attrs['content_digest']}"
        facts.append(Fact(f"data set {dataset}", text))
        facts += _flattened(f"data set {dataset}", store.attrs.get("provenance") or {})
        facts += _backbone_facts(dataset, features[dataset], layout)
    facts += _split_facts(settings, layout)
    for name, trained in layout.trained.items():
        facts.append(Fact(f"models of {name}", _short(trained.folder(trained.seeds[0]).parent, layout)))
    for method, attributes in forecasts.items():
        facts += _flattened(f"forecasts by {method}", attributes.get("provenance") or {})
    return _joined([*facts, *_flattened("this page", provenance())])


def settings_text(settings: Settings) -> str:
    """The whole configuration, defaults included."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _backbone_facts(dataset: str, attributes: dict, layout: Layout) -> list[Fact]:
    if not attributes:
        return [Fact(f"features of {dataset}", f"not found at {_short(layout.features(dataset), layout)}")]
    text = ", ".join(f"{label} {attributes[key]}" for key, label in BACKBONE.items() if key in attributes)
    return [
        Fact(f"features of {dataset}", text),
        *_flattened(f"features of {dataset}", attributes.get("provenance") or {}),
    ]


def _split_facts(settings: Settings, layout: Layout) -> list[Fact]:
    split = read_split(layout.split, "report")
    facts = [Fact("split", f"by {settings.split.by}, seed {settings.split.seed}, {_short(layout.split, layout)}")]
    for dataset, of_fire in split.items():
        counts = {name: list(of_fire.values()).count(name) for name in SPLITS}
        facts.append(Fact(f"split of {dataset}", ", ".join(f"{count} {name}" for name, count in counts.items())))
    return facts


def _flattened(what: str, content: Mapping[str, object]) -> list[Fact]:
    """Content as one row, 'name value, name value'; nested parts as rows of their own."""
    content = {
        key: value for key, value in content.items() if key not in SHOWN_ELSEWHERE and value not in ("", None, [])
    }
    plain = [f"{key} {value}" for key, value in content.items() if not isinstance(value, Mapping)]
    facts = [Fact(what, ", ".join(plain))] if plain else []
    for key, value in content.items():
        if isinstance(value, Mapping):
            facts += _flattened(f"{what}: {key}", value)
    return facts


def _joined(facts: list[Fact]) -> list[Fact]:
    """Rows that say the same become one row with both names."""
    names: dict[str, list[str]] = {}
    for fact in facts:
        names.setdefault(fact.value, []).append(fact.what)
    return [Fact("; ".join(dict.fromkeys(whats)), value) for value, whats in names.items()]


def _short(path: Path, layout: Layout) -> str:
    """A path inside the results folder, so that the page does not depend on where that lies."""
    return str(path.relative_to(layout.root)) if path.is_relative_to(layout.root) else path.name
