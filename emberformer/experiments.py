"""Experiments: a question, the networks that answer it, and hypotheses that a run supports, refutes or leaves open.

An experiment is a small YAML file. Its networks are variants of a configuration, so that it runs on that
configuration's data, split, seeds and feature cache; only what differs is trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from emberformer.errors import InputError
from emberformer.layout import Layout, one_drawing
from emberformer.settings import NOT_INHERITED, BaselineName, Name, Settings, parse_settings, read_yaml
from emberformer.stage import Stage, described, merged

Metric = Literal[
    "average_precision", "f1", "iou", "precision", "recall", "boundary_f1", "hausdorff_95_m", "brier", "ece",
    "held_out_gap", "train_validation_gap", "epochs_to_target",
]  # fmt: skip
LOWER_IS_BETTER = (
    "hausdorff_95_m", "brier", "ece", "held_out_gap", "train_validation_gap", "epochs_to_target",
)  # fmt: skip
OF_CURVES = ("train_validation_gap", "epochs_to_target")  # follow from the course of the training, not from forecasts


class Hypothesis(Stage):
    """One method is better than another by a metric, and by at least so much."""

    claim: str = Field(description="the hypothesis in plain words")
    better: Name = Field(description="a method: emberformer, a variant, `<variant>-phase2`, a baseline ...")
    than: Name = Field(description="the method that it is compared with")
    metric: Metric = Field(
        default="average_precision",
        description="a score of the test fires, thresholds from validation; held_out_gap: AP on validation fires minus "
        "AP on test fires; train_validation_gap: loss on validation minus loss in training, at the best epoch; "
        "epochs_to_target: the first epoch whose validation AP reaches `target` of the best of `than`",
    )
    region: Literal["new", "whole"] = Field(default="new", description="pixels not burned before, or the whole frame")
    by: float = Field(default=0.0, description="by how much at least; below 0: no worse than by so much")
    unit: Literal["absolute", "of_error", "of_value"] = Field(
        default="absolute",
        description="of `by`: the metric's own; a share of what `than` lacks to 1; a share of the value of `than`",
    )
    dataset: Name = Field(default="all", description="a data set of the configuration, or all of them pooled")
    history: Literal["all", "1", "2", "3", "4", "5"] = Field(
        default="all", description="only forecasts that had seen so many frames; 5: or more"
    )
    target: float = Field(default=0.95, gt=0, le=1, description="of `epochs_to_target`")

    @property
    def lower_is_better(self) -> bool:
        return self.metric in LOWER_IS_BETTER

    @model_validator(mode="after")
    def _parts_fit(self):
        if self.unit == "of_error" and self.lower_is_better:
            raise ValueError(f"unit: of_error is for scores whose best value is 1, not for {self.metric}")
        if self.metric in (*OF_CURVES, "held_out_gap") and self.history != "all":
            raise ValueError(f"history cannot be chosen for {self.metric}")
        return self


class Experiment(Stage):
    """One file of experiments."""

    title: str
    rows: tuple[str, ...] = Field(default=(), description="rows of the project's requirements that it serves")
    question: str
    seeds: tuple[int, ...] | None = Field(default=None, min_length=1, description="null: the configuration's")
    epochs: int | None = Field(default=None, ge=1, description="null: the configuration's")
    variants: dict[Name, dict[str, Any]] = Field(
        default={}, description="networks beside the configuration's own, as its `variants`"
    )
    hypotheses: tuple[Hypothesis, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Study:
    """An experiment on a configuration.

    Args:
        name: of the experiment's file.
        experiment: what it asks.
        layout: paths of the configuration with the experiment's variants.
    """

    name: str
    experiment: Experiment
    layout: Layout

    @property
    def folder(self) -> Path:
        """Folder of its tables and verdicts."""
        return self.layout.experiments / self.name

    @property
    def config(self) -> Path:
        """The configuration under which its networks are trained."""
        return self.folder / "config.yaml"

    @property
    def scores(self) -> Path:
        """Folder of its verification tables."""
        return self.folder / "scores"

    @cached_property
    def methods(self) -> list[str]:
        """All methods that it scores, each seed by itself."""
        return self.layout.methods

    @property
    def verdicts(self) -> Path:
        """Folder of `verdicts.csv`, `verdicts.md` and `verdicts.html`."""
        return self.folder / "verdicts"

    def members(self, name: str) -> list[str]:
        """Methods that stand behind a name: every seed of a trained network, or a baseline."""
        trained = self.layout.trained.get(name)
        return [name] if trained is None else [f"{name}-seed-{seed}" for seed in trained.seeds]


def find_experiments(folder: Path, chosen: Iterable[str] | None = None) -> dict[str, Path]:
    """Experiment files by name.

    Args:
        folder: the folder of all experiments; what lies in its subfolders runs only when it is named.
        chosen: names of files in it, or paths of files elsewhere (ending in `.yaml`); None: all that lie in it itself.

    Raises:
        InputError: there is no such experiment.
    """
    if chosen is None:
        return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    known = {path.stem: path for path in sorted(folder.rglob("*.yaml"))}
    found = {}
    for name in chosen:
        path = Path(name) if name.endswith(".yaml") else known.get(name)
        if path is None or not path.exists():
            expected = f"a file, or one of {', '.join(known)}"
            raise InputError("experiments", name, expected, "correct the name, or give the path of a file (NAME.yaml)")
        found[path.stem] = path
    return found


def load_experiment(path: Path) -> Experiment:
    """Read an experiment file.

    Raises:
        InputError: the file is missing, is no YAML mapping, or has an unknown or unfit key.
    """
    try:
        return Experiment.model_validate(read_yaml(path))
    except ValidationError as error:
        remedy = "correct the named keys; docs/experiments.md shows an experiment"
        raise InputError(path, described(error), "an experiment", remedy) from error


def plan_study(settings: Settings, path: Path) -> Study:
    """The study of an experiment file on a configuration.

    The configuration's own variants, later phases, further systems and baselines are left out, but for those that the
    hypotheses name. A variant with an ensemble changes that of the configuration.

    Raises:
        InputError: the file is no experiment, a variant does not fit the configuration or draws its ensemble in another
            way, or a hypothesis names a method or data set that is not there.
    """
    experiment = load_experiment(path)
    named = {name for hypothesis in experiment.hypotheses for name in (hypothesis.better, hypothesis.than)}
    baselines = [name for name in get_args(BaselineName) if name in named]
    training = {"seeds": experiment.seeds, "epochs": experiment.epochs}
    changes: Mapping[str, Any] = {
        "training": {key: value for key, value in training.items() if value is not None},
        "evaluation": {"baselines": baselines, "reference": None},  # which may be no method of the study
        "variants": {name: _on_ensemble(settings, variant) for name, variant in experiment.variants.items()},
    }
    left_out = set(NOT_INHERITED) - ({"ensemble"} if "emberformer-ensemble" in named else set())
    kept = settings.model_dump(mode="json", exclude=left_out)
    layout = Layout(parse_settings(merged(kept, dict(changes)), path))
    one_drawing([*Layout(settings).trained.values(), *layout.trained.values()], path)
    for number, hypothesis in enumerate(experiment.hypotheses):
        for key, name, known in (
            ("better", hypothesis.better, [*layout.trained, *baselines]),
            ("than", hypothesis.than, [*layout.trained, *baselines]),
            ("dataset", hypothesis.dataset, ["all", *settings.datasets]),
        ):
            if name not in known:
                where = f"{path}: hypotheses.{number}.{key}"
                raise InputError(where, name, " or ".join(known), "correct the name, or add such a variant")
        seeds = {layout.trained[name].seeds for name in (hypothesis.better, hypothesis.than) if name in layout.trained}
        if len(seeds) > 1:
            where, found = f"{path}: hypotheses.{number}", f"seeds {' and '.join(map(str, sorted(seeds)))}"
            raise InputError(where, found, "the same seeds of both networks", "correct `training.seeds` of the variant")
        if hypothesis.metric in OF_CURVES and {hypothesis.better, hypothesis.than} & set(baselines):
            where, found = f"{path}: hypotheses.{number}.metric", f"{hypothesis.metric} of a baseline"
            raise InputError(where, found, "two trained networks", "choose a score, or other methods")
    return Study(path.stem, experiment, layout)


def _on_ensemble(settings: Settings, variant: Mapping[str, Any]) -> Mapping[str, Any]:
    """A variant whose ensemble is that of the configuration but for what it names."""
    if settings.ensemble is None or not variant.get("ensemble"):
        return variant
    own = settings.ensemble.model_dump(mode="json", exclude={"rivals"})
    return {**variant, "ensemble": merged(own, variant["ensemble"])}


def write_study(study: Study) -> None:
    """Write the configuration under which the networks of a study are trained."""
    study.folder.mkdir(parents=True, exist_ok=True)
    content = study.layout.settings.model_dump(mode="json")
    study.config.write_text(yaml.safe_dump(content, sort_keys=False))
