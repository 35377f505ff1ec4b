"""The verification tables as the report reads them: found, checked, and asked for one score at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from emberformer.calibration import Calibration
from emberformer.errors import InputError
from emberformer.evaluate.names import parse_method, representatives
from emberformer.evaluate.rows import POOLED

REMEDY = "run `emberformer evaluate` with the same configuration"
COLUMNS = {
    "scores.csv": "method dataset split lead history region threshold metric value low high n_fires n_steps prevalence "
    "seed_sd",
    "differences.csv": "method baseline dataset lead region threshold metric value low high n_fires n_steps",
    "strata.csv": "method dataset split lead stratum class_name region threshold metric value low high n_fires",
    "per_fire.csv": "method dataset fire_id lead n_steps average_precision",
    "reliability.csv": "method dataset lead region calibration lower upper mean_forecast observed_frequency n_pixels",
}
TEXT_COLUMNS = "method baseline dataset history region threshold fire_id stratum class_name calibration"
TEXT = dict.fromkeys(TEXT_COLUMNS.split(), str)
GROUPS = ("EmberFormer", "Trained rivals", "Simple rivals")
LABELS = {
    "emberformer": "EmberFormer",
    "unet": "U-Net",
    "unet_grid": "U-Net on patches",
    "res18_unet": "ResNet-18 U-Net",
    "conv_head": "Convolutional head",
    "conv_lstm": "ConvLSTM",
    "tiny_3d": "Tiny 3-D network",
    "utae": "U-TAE",
    "no_dino": "No DINO",
}


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
        scores, differences, strata, per_fire, reliability: the tables of `emberformer.evaluate`.
        thresholds: method -> threshold chosen on validation, kind of score, and what was fitted on which data set, with
            the calibration of its logits.
        note: how the tables were scored, in a paragraph.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame
    strata: pd.DataFrame
    per_fire: pd.DataFrame
    reliability: pd.DataFrame
    thresholds: dict[str, dict]
    note: str = ""

    @property
    def methods(self) -> list[str]:
        """EmberFormer's phases, the trained rivals, then the baselines; the mean over seeds before its seeds."""
        names = list(dict.fromkeys(self.scores.method))
        trained = list(dict.fromkeys(parse_method(name).trained for name in names))

        def rank(method: str) -> tuple[int, int, bool]:
            name = parse_method(method)
            return GROUPS.index(group_of(method)), trained.index(name.trained), name.seed is not None

        return sorted(names, key=rank)

    @property
    def standing(self) -> list[str]:
        """What stands for each method: the mean over its seeds, or its only one."""
        return representatives(self.methods)

    @property
    def models(self) -> list[str]:
        """EmberFormer, in all phases and seeds."""
        return [name for name in self.methods if is_model(name)]

    @property
    def headline(self) -> str:
        """What the verdict is about: the phase of EmberFormer of highest new-fire AP on the validation fires.

        The first of them where several are as high, or none has such a score; a distilled network is none of them.
        """
        phases = [name for name in self.standing if is_model(name) and parse_method(name).phase != "student"]
        return max(phases, key=self._validation_score, default=self.standing[0])

    @property
    def first_seed(self) -> str:
        """The one model whose forecasts are drawn: the headline's first seed."""
        return self.first_seeds.get(parse_method(self.headline).trained, self.headline)

    @property
    def first_seeds(self) -> dict[str, str]:
        """Trained network -> its first seed."""
        seeds = [name for name in self.methods if is_seed(name)]
        return {parse_method(name).trained: name for name in reversed(seeds)}

    @property
    def others(self) -> list[str]:
        """What the headline is compared with in the verdict: trained rivals, then baselines."""
        return [name for name in self.standing if not is_model(name)]

    @property
    def baselines(self) -> list[str]:
        return [name for name in self.methods if parse_method(name).phase is None]

    def calibration(self, method: str) -> Calibration | None:
        """Of a network's logits, one for all data sets; None for a method that names none, and for means over seeds."""
        told = next(iter(self.thresholds.get(method, {}).get("calibration", {}).values()), None)
        return None if told is None else Calibration(**told)

    def compared(self, model: str) -> list[str]:
        """Methods that a model has a paired difference to, in their order."""
        named = set(self.differences.baseline[self.differences.method == model])
        return [name for name in self.methods if name in named]

    def _validation_score(self, method: str) -> float:
        rows = select(
            self.scores,
            {"split": "validation", "lead": self.lead, "dataset": POOLED, "history": POOLED, "method": method,
             "region": "new", "metric": "average_precision"},
        )  # fmt: skip
        return float(np.nan_to_num(_estimate(rows).value, nan=-1))

    @property
    def lead(self) -> int:
        """Shortest lead time; all of the page but one section is about it."""
        return int(self.scores.lead.min())

    @property
    def leads(self) -> list[int]:
        """All lead times, rising."""
        return sorted({int(lead) for lead in self.scores.lead})

    def rows(self, dataset: str = POOLED, history: str = POOLED, lead: int | None = None) -> pd.DataFrame:
        """Scores of the test fires, at the shortest lead time if none is given."""
        at = self.lead if lead is None else lead
        return select(self.scores, {"split": "test", "lead": at, "dataset": dataset, "history": history})

    def estimate(
        self,
        method: str,
        region: str,
        metric: str,
        threshold: str,
        dataset: str = POOLED,
        history: str = POOLED,
        lead: int | None = None,
    ) -> Estimate:
        """One score on the test fires; undefined where the table has none."""
        wanted = {"method": method, "region": region, "metric": metric, "threshold": threshold}
        return _estimate(select(self.rows(dataset, history, lead), wanted))

    def class_estimate(self, method: str, metric: str, threshold: str, stratum: str, class_name: str) -> Estimate:
        """One new-fire score on the test fires of a class of a stratum, at the shortest lead time."""
        wanted = {"method": method, "region": "new", "metric": metric, "threshold": threshold, "stratum": stratum}
        wanted |= {"class_name": class_name, "split": "test", "lead": self.lead, "dataset": POOLED}
        return _estimate(select(self.strata, wanted))

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
    """Whether a method is EmberFormer in any phase, one seed or the mean of several."""
    return parse_method(method).is_model


def is_seed(method: str) -> bool:
    """Whether a method is one trained network."""
    return parse_method(method).seed is not None


def group_of(method: str) -> str:
    """Which of `GROUPS` a method belongs to."""
    return GROUPS[0] if is_model(method) else GROUPS[1] if parse_method(method).phase else GROUPS[2]


def network_label(method: str) -> str:
    """A network and its phase for people, without its seeds.

    >>> network_label("emberformer-phase2-seed-0")
    'EmberFormer phase 2'
    """
    network, phase, _ = parse_method(method)
    label = LABELS.get(network, network.replace("_", " ").capitalize())
    return label + {"phase2": " phase 2", "phase3": " phase 3", "student": " distilled"}.get(phase or "", "")


def name_in_text(method: str) -> str:
    """A method's name within a sentence: simple rivals are common words."""
    return method.replace("_", " ") if group_of(method) == GROUPS[2] else method_label(method)


def method_label(method: str) -> str:
    """A method's name for people.

    >>> method_label("emberformer-phase2 (mean of 3 seeds)"), method_label("no_dino-seed-1")
    ('EmberFormer phase 2 (mean of 3 seeds)', 'No DINO, seed 1')
    """
    _, phase, seed = parse_method(method)
    mean = method[method.index(" (mean of") :] if phase and seed is None else ""
    return network_label(method) + (f", seed {seed}" if seed is not None else mean)


def read_scoreboard(folder: Path) -> Scoreboard:
    """Read the verification tables.

    Args:
        folder: `Layout.scores`.

    Raises:
        InputError: a table is missing, or lacks a column or all rows.
    """
    scores, differences, strata, per_fire, reliability = (
        _read_table(folder / name, columns.split()) for name, columns in COLUMNS.items()
    )
    if scores.empty:
        raise InputError(folder / "scores.csv", "no rows", "scores of at least one method", REMEDY)
    thresholds = _read_object(folder / "thresholds.json", "method -> threshold")
    note = _read_object(folder / "protocol.json", "how the tables were scored").get("note", "")
    return Scoreboard(scores, differences, strata, per_fire, reliability, thresholds, note)


def _read_object(path: Path, content: str) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(path, str(error), f"a JSON object of {content}", REMEDY) from error


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
