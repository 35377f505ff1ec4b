"""Settings: one frozen model a stage, read from one YAML file; an unknown key is an error.

Settings decide numbers. What only decides speed (threads, batch size of the extraction, device) is given on
the command line, so that tuning it makes nothing stale.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from emberformer.data_settings import Name, SplitSettings
from emberformer.dataset_settings import DatasetSettings
from emberformer.detection_settings import DetectionSettings
from emberformer.ensemble_settings import EnsembleSettings
from emberformer.errors import InputError
from emberformer.feature_settings import FeatureSettings
from emberformer.foresight_settings import ForesightSettings
from emberformer.model_settings import ModelSettings
from emberformer.protocols import PROTOCOLS, FollowedProtocol, ProtocolName, with_protocol
from emberformer.stage import Stage, described, merged
from emberformer.training_settings import (
    DistillationSettings,
    FinetuningSettings,
    LoggingSettings,
    Phase3Settings,
    TrainingSettings,
)

Split = Literal["train", "validation", "test"]
BaselineName = Literal["persistence", "dilation", "distance", "logistic"]
Feedback = Literal["stochastic", "probability", "threshold"]
# Keys in which a variant may differ
VARIED = ("features", "model", "training", "phase2", "phase3", "distillation", "ensemble")
# Keys that a variant, or an experiment on a configuration, does not take over
NOT_INHERITED: frozenset[str] = frozenset(
    ("variants", "phase2", "phase3", "distillation", "ensemble", "foresight", "detection")
)


class ForecastSettings(Stage):
    """Forecasts of known fires, for verification."""

    leads: int = Field(default=1, ge=1, description="frames ahead that are forecast")
    every: int = Field(default=1, ge=1, description="a forecast from every n-th frame of a fire")
    method: Literal["direct", "rollout"] = Field(
        default="direct",
        description="direct: as far as the network was trained for (model.lead_times), and by rollout beyond",
    )
    feedback: Feedback = Field(
        default="stochastic",
        description="what a network's forecast becomes as the newest frame of the next: areas that burn by levels of "
        "their own (`members`), its probability, or what it puts at 50 % or more",
    )
    members: int = Field(default=5, ge=1, description="of a stochastic rollout")
    seed: int = Field(default=0, description="of a stochastic rollout")


class EvaluationSettings(Stage):
    """Verification: what is scored, and with which uncertainty."""

    baselines: tuple[BaselineName, ...] = Field(
        default=("persistence", "dilation", "distance", "logistic"),
        description="rivals that are no networks: nothing more burns (persistence), the burned area grows by a "
        "fitted radius (dilation), what is nearer burns sooner (distance), or a logistic regression",
    )
    replicates: int = Field(default=1000, ge=100, description="bootstrap resamples of fires")
    seed: int = Field(default=0, description="of the bootstrap, and of what a baseline is fitted on")
    reference: str | None = Field(
        default=None,
        description="method that Brier skill is told against, such as persistence; null: the share that burned",
    )
    boundary_tolerance: int = Field(default=2, ge=0, description="pixels within which two perimeters agree")
    crop: Literal["none", "multiple_of_32", "centre_128"] = Field(
        default="none", description="about the centre of each fire's own raster, without padding; only it is scored"
    )
    first_step: int = Field(default=0, ge=0, description="frame from which on forecasts of test fires are scored")


class Settings(Stage):
    """One configuration file."""

    name: Name = Field(description="of this configuration and of the folder of its tables; letters, digits, _ . -")
    results: Path = Field(default=Path("results"), description="folder of all that is made")
    protocol: ProtocolName | None = Field(
        default=None, description="sets the keys on which a published score depends (docs/protocols.md)"
    )
    datasets: dict[Name, DatasetSettings] = Field(default={}, description="of fires; camera images need none")
    split: SplitSettings = Field(default=SplitSettings(), description="fires to train on, to choose on and to test on")
    features: FeatureSettings = Field(default=FeatureSettings(), description="the backbone and how its tokens are kept")
    shards: int = Field(default=4, ge=1, description="extraction jobs a data set; changing it extracts nothing again")
    model: ModelSettings = Field(default=ModelSettings(), description="the network")
    training: TrainingSettings = Field(default=TrainingSettings(), description="phase 1, from cached features")
    phase2: FinetuningSettings | None = Field(default=None, description="null: there is no phase 2")
    phase3: Phase3Settings | None = Field(default=None, description="from the best of phase 2; null: none")
    distillation: DistillationSettings | None = Field(default=None, description="a small network for deployment")
    ensemble: EnsembleSettings | None = Field(
        default=None, description="an ensemble of futures beside the forecasts; null: none"
    )
    foresight: ForesightSettings | None = Field(
        default=None, description="a study of how far ahead features can be predicted; null: none"
    )
    detection: DetectionSettings | None = Field(default=None, description="a detector of objects as boxes; null: none")
    variants: dict[Name, dict[str, Any]] = Field(
        default={},
        description="further networks on the same data and split, scored beside this one: for each the keys of "
        + ", ".join(VARIED)
        + " in which it differs; phase2, phase3 and distillation are its own and not taken over",
    )
    forecast: ForecastSettings = Field(default=ForecastSettings(), description="forecasts that are verified")
    evaluation: EvaluationSettings = Field(default=EvaluationSettings(), description="what is scored, and how")
    logging: LoggingSettings = Field(default=LoggingSettings(), description="what is written about a training")

    @model_validator(mode="before")
    @classmethod
    def _protocol_sets_its_keys(cls, content: Any) -> Any:
        return with_protocol(content) if isinstance(content, dict) else content

    @model_validator(mode="after")
    def _there_are_data(self):
        if not self.datasets and (self.detection is None or self.detection.cameras is None):
            raise ValueError("datasets: name at least one; only a detector of camera images does without fires")
        if "all" in self.datasets:  # so the tables call all of them together
            raise ValueError("datasets.all: this name is taken; choose another")
        return self

    @model_validator(mode="after")
    def _protocol_is_of_these_data(self):
        source = PROTOCOLS[self.protocol].source if self.protocol else None
        for name, of in self.datasets.items():
            if source not in (None, of.source):
                raise ValueError(f"datasets.{name}.source: {of.source}; protocol {self.protocol} is of {source}")
        return self

    @model_validator(mode="after")
    def _fires_are_of_one_kind(self):
        kinds = {of.stays_burned for of in self.datasets.values()}
        if len(kinds) > 1:
            raise ValueError("datasets: some show what has burned and some what burns; train on those of one kind")
        if False in kinds and max(self.forecast.leads, self.model.lead_times) > 1:
            raise ValueError("forecast.leads, model.lead_times: only one frame ahead where fires go out, so 1")
        return self

    @model_validator(mode="after")
    def _phases_follow(self):
        if self.phase3 and not self.phase2:
            raise ValueError("phase3 starts from the best of phase 2: give phase2 too")
        if (self.phase2 or self.phase3) and (self.model.network, self.model.fire) != ("emberformer", "dino"):
            raise ValueError("phase2 and phase3 train the backbone: they need model.network emberformer, fire dino")
        phases = [phase for phase in (self.phase2, self.phase3) if phase]
        if self.model.terrain != "dino" and any("terrain" in phase.encoders for phase in phases):
            raise ValueError("encoders: terrain trains the terrain's tokens: it needs model.terrain dino")
        adapted = [phase.lora.adaptive for phase in phases if phase.method == "lora"]
        if any(adapted) and len(adapted) > 1:
            raise ValueError("lora.adaptive: only one of phase2 and phase3 can have adapters then; use method: full")
        earlier = self.phase2 if self.phase3 and self.phase3.path == "tail" else None
        if earlier and "fire" in earlier.encoders and earlier.blocks is None:
            raise ValueError("phase3.path: tail needs frozen blocks, and phase2 trains all: use path: pixels")
        return self

    @model_validator(mode="after")
    def _the_ensemble_fits(self):
        of = self.ensemble
        if of is None:
            return self
        if not all(of_data.stays_burned for of_data in self.datasets.values()):
            raise ValueError("ensemble: arrival times are of fires that stay burned; these go out")
        if of.leads != self.forecast.leads:
            raise ValueError(
                f"ensemble.leads: {of.leads}, and forecast.leads is {self.forecast.leads}; set both to the same, so "
                "that the tables compare forecasts of the same leads"
            )
        if of.prior and of.leads > self.model.lead_times:
            raise ValueError(
                f"ensemble.leads: {of.leads}, and the network it starts from forecasts {self.model.lead_times} ahead; "
                "set model.lead_times, or prior: false"
            )
        if "deep" in of.rivals and len(self.training.seeds) < 2:
            raise ValueError("ensemble.rivals: a deep ensemble needs two or more training.seeds")
        if "dropout" in of.rivals and not self.model.dropout:
            raise ValueError("ensemble.rivals: dropout needs model.dropout above 0")
        if unknown := set(of.text) - set(self.datasets):
            raise ValueError(f"ensemble.text: no data set {', '.join(sorted(unknown))}")
        if of.text and set(of.text) != set(self.datasets):
            raise ValueError("ensemble.text: name a store for every data set, or none")
        return self

    @model_validator(mode="after")
    def _future_features_are_told_by_tokens(self):
        seen = (self.model.network, self.model.fire) == ("emberformer", "dino")
        if self.training.loss.future_features and not seen:
            raise ValueError("training.loss.future_features needs model.network emberformer and fire dino")
        return self

    @model_validator(mode="after")
    def _the_pixels_reach_as_far(self):
        of = self.foresight
        if of is not None and of.pixel_rollout and of.gaps[-1] > self.forecast.leads:
            raise ValueError(
                f"foresight.pixel_rollout: gaps reach {of.gaps[-1]} frames and forecast.leads {self.forecast.leads}; "
                "set forecast.leads to the longest gap"
            )
        return self

    @model_validator(mode="after")
    def _variants_are_valid(self):
        for name, changes in self.variants.items():
            if name in (*get_args(BaselineName), "emberformer") or re.search(
                r"-(seed|phase2|phase3|student|ensemble|detection)\b", name
            ):
                raise ValueError(f"variants.{name}: this name is taken; choose another")
            if unknown := set(changes) - set(VARIED):
                raise ValueError(f"variants.{name}: {sorted(unknown)} cannot differ; only {', '.join(VARIED)} can")
            if "rivals" in (changes.get("ensemble") or {}):
                raise ValueError(f"variants.{name}.ensemble.rivals: rivals are of the configuration's own network")
            self.variant(name)
        return self

    @property
    def followed_protocol(self) -> FollowedProtocol | None:
        """The protocol and its fold; None: there is none."""
        return FollowedProtocol(self.protocol, self.split.fold) if self.protocol else None

    @property
    def tested(self) -> list[str]:
        """Data sets that have fires in the test: those held out, and the others where the split leaves them some."""
        split = self.split
        others = split.by in ("year", "published") or (split.by != "landscape" and split.test > 0)
        return [name for name in self.datasets if others or name in split.test_landscapes]

    @property
    def built_model(self) -> ModelSettings:
        """`model` as it is built: where fires go out, no rate is adjusted.

        In how many frames a pixel burns then does not say in which, so that there is no growth to adjust it by.
        """
        if self.model.adjusts_rates and not all(of.stays_burned for of in self.datasets.values()):
            return self.model.model_copy(update={"rate_adjustment": False})
        return self.model

    def of_student(self) -> Settings:
        """The configuration with the small network as its network; it sees what its teacher sees, or less.

        It has its teacher's lead times too, where such a network can.
        """
        assert self.distillation is not None, "there is a student where there is distillation"
        student, teacher = self.distillation.model, self.model
        known = {"history": teacher.history, "wind": student.wind and teacher.wind}
        known["lead_times"] = teacher.lead_times if student.network == "emberformer" else 1
        if teacher.terrain == "none":
            known["terrain"] = "none"
        return self.model_copy(update={"model": student.model_copy(update=known)})

    def variant(self, name: str) -> Settings:
        """The configuration of one variant, which has no variants of its own, and only the further phases it names.

        Raises:
            ValueError: its keys do not fit.
        """
        own = set(NOT_INHERITED) - ({"ensemble"} & set(self.variants[name]))
        content = merged(self.model_dump(mode="json", exclude=own), self.variants[name])
        return Settings.model_validate(content)


def load_settings(path: str | Path) -> Settings:
    """Read a configuration file.

    Raises:
        InputError: the file is missing, is no YAML mapping, or has an unknown or unfit key.
    """
    return parse_settings(read_yaml(path), path)


def read_yaml(path: str | Path) -> object:
    """Content of a YAML file.

    Raises:
        InputError: the file is missing, or no YAML.
    """
    try:
        return yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(path, str(error), "a readable YAML file", "check the path and the file") from error


def parse_settings(content: object, where: object = "configuration") -> Settings:
    """Validate a configuration that has been read already (Snakemake reads its own).

    Raises:
        InputError: an unknown or unfit key, with its full path.
    """
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        expected = "keys and values of config/config.schema.json"
        raise InputError(where, described(error), expected, "correct the named keys") from error


def digest(*parts: object) -> str:
    """Eight hex digits that change when any part does (JSON, keys sorted)."""
    text = json.dumps(parts, sort_keys=True, default=lambda part: part.model_dump(mode="json"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def expand(path: Path) -> Path:
    """A path with `~` and environment variables written out."""
    return Path(os.path.expandvars(path)).expanduser()
