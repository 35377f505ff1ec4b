"""The verification tables as the report reads them: found, checked, and asked for one score at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from emberformer.errors import InputError
from emberformer.evaluate.rows import MODEL_PREFIX, POOLED

REMEDY = "run `emberformer evaluate` with the same configuration"
COLUMNS = {
    "scores.csv": "method dataset split lead history region threshold metric value low high n_fires n_steps prevalence "
    "seed_sd",
    "differences.csv": "method baseline dataset lead region threshold metric value low high n_fires n_steps",
    "per_fire.csv": "method dataset fire_id lead n_steps average_precision",
    "reliability.csv": "method dataset region lower upper mean_forecast observed_frequency n_pixels",
}
TEXT = {"method": str, "baseline": str, "dataset": str, "history": str, "region": str, "threshold": str, "fire_id": str}


class Estimate(NamedTuple):
    """A score of a sample of fires with its 95 % interval; NaN = not defined."""

    value: float
    low: float
    high: float
    seed_sd: float = float("nan")

    @property
    def verdict(self) -> str:
        """Of a difference: "better", "worse" or "tied" (the interval holds zero); "unknown" without an interval."""
        if not np.isfinite([self.low, self.high]).all():
            return "unknown"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "tied"


UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class Scoreboard:
    """All verification tables of one configuration.

    Args:
        scores, differences, per_fire, reliability: the tables of `emberformer.evaluate`.
        thresholds: method -> threshold chosen on validation, kind of score, and what was fitted on which data set.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame
    per_fire: pd.DataFrame
    reliability: pd.DataFrame
    thresholds: dict[str, dict]

    @property
    def methods(self) -> list[str]:
        """The mean over seeds first, then each seed, then the baselines."""
        names = list(dict.fromkeys(self.scores.method))
        return sorted(names, key=lambda name: (not is_model(name), is_seed(name)))

    @property
    def models(self) -> list[str]:
        return [name for name in self.methods if is_model(name)]

    @property
    def headline(self) -> str:
        """What the verdict is about: the mean over seeds, or the only seed."""
        return (self.models or self.methods)[0]

    @property
    def first_seed(self) -> str:
        """The one model whose forecasts are drawn."""
        return next((name for name in self.models if is_seed(name)), self.headline)

    @property
    def baselines(self) -> list[str]:
        return [name for name in self.methods if not is_model(name)]

    @property
    def lead(self) -> int:
        """Shortest lead time; all tables of the page are about it."""
        return int(self.scores.lead.min())

    def rows(self, dataset: str = POOLED, history: str = POOLED) -> pd.DataFrame:
        """Scores of the test fires at the shortest lead time."""
        return select(self.scores, {"split": "test", "lead": self.lead, "dataset": dataset, "history": history})

    def estimate(
        self, method: str, region: str, metric: str, threshold: str, dataset: str = POOLED, history: str = POOLED
    ) -> Estimate:
        """One score on the test fires; undefined where the table has none."""
        wanted = {"method": method, "region": region, "metric": metric, "threshold": threshold}
        return _estimate(select(self.rows(dataset, history), wanted))

    def difference(self, method: str, baseline: str, metric: str, dataset: str = POOLED) -> Estimate:
        """A model's new-fire score minus a baseline's, on the same resamples of the test fires."""
        wanted = {"method": method, "baseline": baseline, "metric": metric, "region": "new"}
        return _estimate(select(self.differences, {**wanted, "dataset": dataset, "lead": self.lead}))

    def size(self, dataset: str = POOLED) -> tuple[int, int, float]:
        """Number of test fires, number of forecasts, and share of burned pixels among those open to new fire."""
        rows = select(self.rows(dataset), {"region": "new"})
        if rows.empty:
            return 0, 0, float("nan")
        first = rows.iloc[0]
        return int(first.n_fires), int(first.n_steps), float(first.prevalence)


def select(table: pd.DataFrame, wanted: Mapping[str, object]) -> pd.DataFrame:
    """Rows whose columns have the wanted values."""
    keep = np.logical_and.reduce([table[name].to_numpy() == value for name, value in wanted.items()])
    return table.loc[keep]


def is_model(method: str) -> bool:
    """Whether a method is EmberFormer, one seed or the mean of several."""
    return method.startswith(MODEL_PREFIX)


def is_seed(method: str) -> bool:
    """Whether a method is one trained EmberFormer."""
    return method.startswith(f"{MODEL_PREFIX}-seed-")


def method_label(method: str) -> str:
    """A method's name for people: 'emberformer-seed-0' is 'EmberFormer, seed 0'.

    >>> method_label("emberformer (mean of 3 seeds)")
    'EmberFormer (mean of 3 seeds)'
    """
    if not is_model(method):
        return method.replace("_", " ").capitalize()
    return "EmberFormer" + method.removeprefix(MODEL_PREFIX).replace("-seed-", ", seed ")


def read_scoreboard(folder: Path) -> Scoreboard:
    """Read the verification tables.

    Args:
        folder: `Layout.scores`.

    Raises:
        InputError: a table is missing, or lacks a column or all rows.
    """
    scores, differences, per_fire, reliability = (
        _read_table(folder / name, columns.split()) for name, columns in COLUMNS.items()
    )
    if scores.empty:
        raise InputError(folder / "scores.csv", "no rows", "scores of at least one method", REMEDY)
    try:
        thresholds = json.loads((folder / "thresholds.json").read_text())
    except (OSError, ValueError) as error:
        where, expected = folder / "thresholds.json", "a JSON object of method -> threshold"
        raise InputError(where, str(error), expected, REMEDY) from error
    return Scoreboard(scores, differences, per_fire, reliability, thresholds)


def _read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={name: TEXT[name] for name in columns if name in TEXT})
    except (OSError, ValueError) as error:
        raise InputError(path, str(error), f"a table with the columns {', '.join(columns)}", REMEDY) from error
    if missing := [name for name in columns if name not in table]:
        raise InputError(path, f"no column {', '.join(missing)}", f"the columns {', '.join(columns)}", REMEDY)
    if "threshold" in columns:
        table["threshold"] = table.threshold.fillna("")
    return table


def _estimate(rows: pd.DataFrame) -> Estimate:
    if rows.empty:
        return UNDEFINED
    first = rows.iloc[0]
    return Estimate(float(first.value), float(first.low), float(first.high), float(first.get("seed_sd", np.nan)))
