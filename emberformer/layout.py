"""Where every artefact lies: one place that the Snakefile and the command line both read.

Folders of features, splits, models and detectors have names that hold a hash of the settings that decide what is in
them, chained with the hash of what they were made from. A changed setting therefore makes a new folder beside the old
one, and going back costs nothing. What lies in a model's folder, and what bears a name alone (`fires.zarr` the data
set's, tables and reports the configuration's), is made anew in its place: a data set read in another way needs another
name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from emberformer.ensemble_settings import Rival, require_one_drawing
from emberformer.feature_key import content_or_place, features_key, weights_content
from emberformer.settings import Settings, digest, expand
from emberformer.training_settings import Phase

MODEL_SCHEMA = 8  # raise it when the code trains another model from the same settings

ENSEMBLE_SCHEMA = 4  # likewise, of the ensemble
DETECTOR_SCHEMA = 3  # likewise, of the detector


@dataclass(frozen=True)
class Layout:
    """Paths of all artefacts of one configuration."""

    settings: Settings

    @property
    def root(self) -> Path:
        return expand(self.settings.results)

    @property
    def experiment(self) -> Path:
        """Tables and report of this configuration."""
        return self.root / self.settings.name

    @property
    def experiments(self) -> Path:
        """Folder of the experiments on this configuration, one folder each, and of their summary."""
        return self.experiment / "experiments"

    @property
    def config(self) -> Path:
        """The configuration as every stage reads it."""
        return self.experiment / "config.yaml"

    def raw(self, dataset: str) -> Path:
        """Root folder of the source's own files."""
        return expand(self.settings.datasets[dataset].root)

    def fires(self, dataset: str) -> Path:
        return self.root / dataset / "fires.zarr"

    def sources(self, dataset: str) -> Path:
        """What is remembered of the source's files, so that unchanged ones are not read again."""
        return self.root / dataset / "sources.json"

    def features(self, dataset: str) -> Path:
        return self.root / dataset / "features" / f"{features_key(self.settings.features)}.zarr"

    def extracts(self, dataset: str) -> bool:
        """Whether the features of a data set are made here, and not read from a store that is named."""
        return self.settings.datasets[dataset].features is None

    def feature_store(self, dataset: str) -> Path | str:
        """Where the features of a data set are read: `features`, or the folder or URL that is named."""
        named = self.settings.datasets[dataset].features
        if named is None:
            return self.features(dataset)
        return named if "://" in named else expand(Path(named))

    @property
    def _split_key(self) -> str:
        of = self.settings.split.model_dump(mode="json", exclude={"leakage"})  # it decides no number
        return digest(of, sorted(self.settings.datasets))

    @property
    def split(self) -> Path:
        return self.root / "splits" / f"{self._split_key}.json"

    def model_key(self, phase: Phase = "phase1") -> str:
        """Name of the folder of one network in one phase, over its seeds: a word and a hash of what decides it.

        The hash goes on from that of the phase before, so that other settings of a phase leave the earlier ones alone.
        """
        settings = self.settings
        if phase == "phase1":
            training = settings.training.identity()
            order = list(settings.datasets)  # of the training's steps, before they are drawn
            features = features_key(settings.features)
            word = "frozen" if settings.model.network == "emberformer" else settings.model.network
            network = settings.built_model.model_dump(mode="json")
            weights = settings.model.decoder_weights
            if weights != "random" and (folder := expand(Path(weights))).is_dir():
                network["decoder_weights"] = weights_content("model.decoder_weights", folder)
            return f"{word}-{digest(MODEL_SCHEMA, network, training, features, self._split_key, order)}"
        of_phase = settings.distillation if phase == "student" else getattr(settings, phase)
        if phase == "ensemble" and settings.ensemble is not None:
            of = settings.ensemble.model_dump(mode="json", exclude=set(settings.ensemble.DRAWING))
            of["text"] = {name: content_or_place(store) for name, store in settings.ensemble.text.items()}
            if settings.ensemble.warm_start is not None:
                of["warm_start"] = content_or_place(settings.ensemble.warm_start)
            return f"ensemble-{digest(ENSEMBLE_SCHEMA, self.model_key(self.parent_phase(phase)), of)}"
        return f"{phase}-{digest(self.model_key(self.parent_phase(phase)), of_phase)}"

    def parent_phase(self, phase: Phase) -> Phase:
        """The phase whose best checkpoint a phase starts from: of the student its teacher, of an ensemble its prior."""
        done: list[Phase] = [known for known in self.phases if known not in ("student", "ensemble")]
        return done[done.index(phase) - 1] if phase in done else done[-1]

    @property
    def phases(self) -> list[Phase]:
        """Phases of this configuration, in their order."""
        settings = self.settings
        asked: dict[Phase, object] = {
            "phase1": settings.training,
            "phase2": settings.phase2,
            "phase3": settings.phase3,
            "student": settings.distillation,
            "ensemble": settings.ensemble,
        }
        return [phase for phase in asked if asked[phase] is not None]

    def model(self, seed: int | str, phase: Phase = "phase1") -> Path:
        """Folder of one trained model: `model.ckpt`, `last.ckpt`, `metrics.csv`, `config.yaml`.

        A data set, a method and a seed may also be a wildcard of the workflow, here `{seed}`.
        """
        return self.root / "models" / self.model_key(phase) / f"seed-{seed}"

    def variant(self, name: str | None) -> Layout:
        """Paths of a variant; None is this configuration itself."""
        return self if name is None else replace(self, settings=self.settings.variant(name))

    def fold(self, number: int) -> Layout:
        """Paths of one fold of a cross-validation, a configuration of its own on the same fires and features."""
        split = self.settings.split.model_copy(update={"fold": number})
        name = f"{self.settings.name}-fold-{number}"
        return replace(self, settings=self.settings.model_copy(update={"name": name, "split": split}))

    @cached_property
    def trained(self) -> dict[str, Trained]:
        """All trained networks by the name of their method, without the seed: `emberformer`, `emberformer-phase2`,
        `unet` (a variant) ...

        Raises:
            InputError: see `one_drawing`.
        """
        found = {}
        for variant in (None, *self.settings.variants):
            layout = self.variant(variant)
            for phase in layout.phases:
                if phase != "ensemble" and variant and set(self.settings.variants[variant]) == {"ensemble"}:
                    continue  # the network is the configuration's own
                name = variant or "emberformer"
                method = name if phase == "phase1" else f"{name}-{phase}"
                found[method] = Trained(method, variant, phase, layout)
        one_drawing(found.values(), self.config)
        return found

    def forecasts(self, method: str, dataset: str) -> Path:
        """Forecast store of a method: `emberformer-seed-0`, `unet-seed-1`, `persistence`, `dilation` ..."""
        name, seeded, seed = method.partition("-seed-")
        if seeded:
            one = self.trained[name]
            return one.layout.model_forecasts(seed, one.phase, dataset)
        return self.root / "baselines" / f"{method}-{self._split_key}" / f"{dataset}.zarr"

    def model_forecasts(self, seed: int | str, phase: Phase, dataset: str) -> Path:
        """Forecast store of one trained model."""
        return self.model(seed, phase) / "forecasts" / f"{dataset}.zarr"

    def learned_from(self, seed: int | str, phase: Phase, dataset: str) -> Path:
        """A trained model's forecasts of training and validation fires, which an ensemble learns from."""
        return self.model_forecasts(seed, phase, dataset).with_suffix(".learned-from.zarr")

    def members(self, method: str, dataset: str) -> Path:
        """Member store of an ensemble, beside its forecast store."""
        return self.forecasts(method, dataset).with_suffix(".members.zarr")

    def rival_members(self, rival: Rival, seed: int | str | None, dataset: str) -> Path:
        """Member store of a rival ensemble, beside the network whose forecasts it is made of; of all seeds: None."""
        network = self.model(seed or 0, self.parent_phase("ensemble"))
        return (network.parent if seed is None else network) / "ensembles" / rival / f"{dataset}.members.zarr"

    def ensembles(self, dataset: str) -> dict[str, Path]:
        """Member store of every ensemble that is compared, by the name of its method."""
        names = [f"{n}-seed-{s}" for n, one in self.trained.items() if one.phase == "ensemble" for s in one.seeds]
        found = {name: self.members(name, dataset) for name in names}
        of, seeds = self.settings.ensemble, self.settings.training.seeds
        for rival in of.rivals if of is not None else ():
            for seed in (None,) if rival == "deep" else seeds:
                name = rival if seed is None else f"{rival}-seed-{seed}"
                found[name] = self.rival_members(rival, seed, dataset)
        return found

    @property
    def ensemble_scores(self) -> Path:
        """Folder of the tables of ensembles."""
        return self.experiment / "ensembles"

    @property
    def foresight(self) -> Path:
        """Folder of the study of how far ahead features can be predicted."""
        return self.experiment / "foresight"

    def detector(self, seed: int | str) -> Path:
        """Folder of one trained detector: `model.ckpt`, `last.ckpt`, `metrics.csv`, `config.yaml`."""
        of = self.settings.detection
        told = of.model_dump(mode="json", exclude=set(of.ASKING)) if of is not None else None
        if told is not None and of is not None and of.distillation is not None:
            told["distillation"]["teacher"] = content_or_place(of.distillation.teacher)
        order, features = list(self.settings.datasets), features_key(self.settings.features)
        return (
            self.root / "detectors" / digest(DETECTOR_SCHEMA, told, features, self._split_key, order) / f"seed-{seed}"
        )

    @property
    def camera_images(self) -> Path:
        """Store of the features of camera images."""
        of = self.settings.detection
        told = of.cameras.model_dump(mode="json") if of is not None and of.cameras is not None else None
        key = features_key(self.settings.features)
        return self.root / "cameras" / f"{key}-{digest(told)}.zarr"

    def detections(self, seed: int | str, split: str) -> Path:
        """What a detector found in a split: a COCO results file; GeoPackages of the fires lie beside it."""
        return self.detector(seed) / "detections" / f"{split}.json"

    @property
    def detection_rival(self) -> str | None:
        """Method whose forecasts the detector is compared with; None: none."""
        of = self.settings.detection
        if of is None or of.cameras is not None or "next" not in of.fires.horizons:
            return None
        return self.interpreted.first if of.rival == "network" else of.rival

    @property
    def detection(self) -> Path:
        """Folder of the detectors' tables and detections."""
        return self.experiment / "detection"

    @property
    def methods(self) -> list[str]:
        """All methods that are scored: every trained network once a seed, then the baselines."""
        models = [f"{name}-seed-{seed}" for name, one in self.trained.items() for seed in one.seeds]
        return models + list(self.settings.evaluation.baselines)

    @property
    def scores(self) -> Path:
        """Folder of the verification tables."""
        return self.experiment / "scores"

    def interpretation(self, method: str, dataset: str) -> Path:
        """Folder of what a trained network looks at and where it fails, on one data set."""
        return self.experiment / "interpretation" / method / dataset

    @property
    def interpreted(self) -> Trained:
        """The network whose interpretation the report shows, by its first seed: the last phase, a student left out."""
        phase = self.parent_phase("student")
        return next(one for one in self.trained.values() if (one.variant, one.phase) == (None, phase))

    @property
    def report(self) -> Path:
        return self.experiment / "report.html"


@dataclass(frozen=True)
class Trained:
    """One network in one phase.

    Args:
        name: of its method, without the seed.
        variant: name of the variant, None for the configuration itself.
        phase: its phase.
        layout: paths of the variant.
    """

    name: str
    variant: str | None
    phase: Phase
    layout: Layout

    @cached_property
    def key(self) -> str:
        """Name of its folder over all seeds."""
        return self.layout.model_key(self.phase)

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.layout.settings.training.seeds

    @property
    def first(self) -> str:
        """The method of its first seed."""
        return f"{self.name}-seed-{self.seeds[0]}"

    def folder(self, seed: int | str) -> Path:
        """Its folder for one seed."""
        return self.layout.model(seed, self.phase)


def one_drawing(networks: Iterable[Trained], where: object) -> None:
    """Refuse networks of which two are one ensemble that is drawn in two ways, see `require_one_drawing`."""
    ensembles = ((one, one.layout.settings.ensemble) for one in networks if one.phase == "ensemble")
    require_one_drawing(((one.name, one.key, of) for one, of in ensembles if of), where)
