"""Sweep files in the form of Weights & Biases: which keys vary, over what, and which score decides.

A file can be given to `wandb sweep`, or be run without an account by `emberformer sweep`. Its keys are those of the
configuration, joined with dots, and are checked before anything runs.

References:
    https://docs.wandb.ai/guides/sweeps/sweep-config-keys
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from emberformer.errors import InputError
from emberformer.overrides import changed
from emberformer.settings import Settings, read_yaml
from emberformer.stage import Stage, described


class Parameter(Stage):
    """Values of one key: one, some, or a range."""

    value: Any = None
    values: tuple[Any, ...] | None = Field(default=None, min_length=1)
    min: int | float | None = None
    max: int | float | None = None
    distribution: Literal["categorical", "constant", "uniform", "int_uniform", "log_uniform_values"] | None = None

    @property
    def choices(self) -> tuple[Any, ...] | None:
        """All values; None for a range."""
        if self.values is not None:
            return self.values
        return None if self.min is not None else (self.value,)

    @property
    def whole(self) -> bool:
        """Whether a range is of whole numbers; as in W&B, also where both ends are written as such."""
        ends = (self.min, self.max)
        return self.distribution == "int_uniform" or (
            self.distribution is None and all(isinstance(e, int) for e in ends)
        )

    @property
    def logarithmic(self) -> bool:
        return self.distribution == "log_uniform_values"

    @property
    def examples(self) -> tuple[Any, ...]:
        """Values to check a key with: all choices, or both ends."""
        return self.choices if self.choices is not None else (self.min, self.max)

    @model_validator(mode="after")
    def _one_form(self):
        ranged = self.min is not None and self.max is not None
        given = ["value" in self.model_fields_set, self.values is not None, ranged]
        if sum(given) != 1 or (self.min is None) != (self.max is None):
            raise ValueError("give one of `value`, `values`, or `min` and `max`")
        if ranged and not (0 if self.logarithmic else -math.inf) < self.min < self.max:  # type: ignore[operator]
            raise ValueError("min must be below max, and above 0 for log_uniform_values")
        if not ranged and self.distribution in ("uniform", "int_uniform", "log_uniform_values"):
            raise ValueError(f"distribution {self.distribution} needs `min` and `max`")
        return self


class SweepMetric(Stage):
    """The score that decides, at its best epoch."""

    name: Literal["val/new_f1", "val/new_ap", "val/loss"] = Field(description="a column of metrics.csv")
    goal: Literal["maximize", "minimize"]


class Sweep(Stage):
    """A sweep file."""

    name: str | None = None
    description: str | None = None
    project: str | None = None
    entity: str | None = None
    program: str = "emberformer"
    command: tuple[str, ...] = ()
    method: Literal["bayes", "grid", "random"]
    metric: SweepMetric
    parameters: dict[str, Parameter] = Field(min_length=1)
    run_cap: int | None = Field(default=None, ge=1, description="number of runs; null: until it is stopped")
    early_terminate: dict[str, Any] | None = Field(
        default=None, description="on W&B only; offline `patience` stops runs"
    )

    @model_validator(mode="after")
    def _grids_have_values(self):
        ranges = [key for key, parameter in self.parameters.items() if parameter.choices is None]
        if self.method == "grid" and ranges:
            raise ValueError(f"a grid needs `values`; {', '.join(ranges)} has a range")
        return self


def load_sweep(path: Path, settings: Settings) -> Sweep:
    """Read a sweep file, and try every value of every key on a configuration.

    Raises:
        InputError: the file is missing or no sweep, or a key or value does not fit the configuration.
    """
    try:
        sweep = Sweep.model_validate(read_yaml(path))
    except ValidationError as error:
        expected, remedy = "a sweep of Weights & Biases", "correct the named keys; config/sweep.yaml is an example"
        raise InputError(path, described(error), expected, remedy) from error
    for key, parameter in sweep.parameters.items():
        for value in parameter.examples:
            changed(settings, {key: value}, f"{path}: parameters.{key}")
    return sweep
