# What the rules share: the settings, the paths, and what makes a result stale.
#
# A rule reruns when the content of its inputs changes, or one of its `params`. Settings that stand in the name of a folder
# (see emberformer/layout.py) need no param: another setting is another folder. What only decides speed, and the path of the
# configuration, which two experiments may share results under, are `resources`: they make nothing stale.
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import get_args

import yaml

from emberformer.data.sources import DEEP_CROWN, source_digest
from emberformer.imports import PACKAGE, imported_files
from emberformer.layout import Layout
from emberformer.settings import BaselineName, parse_settings

# `--config experiments=fusion` or `--config experiments=[fusion,decoders]`; it chooses, and decides no number.
CHOSEN_EXPERIMENTS = config.get("experiments")
if isinstance(CHOSEN_EXPERIMENTS, str):
    CHOSEN_EXPERIMENTS = [CHOSEN_EXPERIMENTS]

# `--config folds=3` or `--config folds=[0,1]`, likewise; Snakemake gives the numbers of a list as text
CHOSEN_FOLDS = config.get("folds")
if CHOSEN_FOLDS is not None:
    CHOSEN_FOLDS = [int(number) for number in (CHOSEN_FOLDS if isinstance(CHOSEN_FOLDS, list) else [CHOSEN_FOLDS])]

settings = parse_settings({key: value for key, value in config.items() if key not in ("experiments", "folds")})
layout = Layout(settings)

DATASETS = list(settings.datasets)
BASELINES = get_args(BaselineName)  # an experiment may name others than the configuration
SIMULATED = {
    str(layout.raw(name)): name
    for name, source in settings.datasets.items()
    if source.source == "deep_crown" and source.simulation
}
CONFIG = str(layout.config)
LOGS = layout.experiment / "logs"
STORE = "zarr.json"  # the root of a Zarr store: written last, and it holds the digests of what is inside

ALL_FIRES = [layout.fires(dataset) / STORE for dataset in DATASETS]

# No results follow from these; feature stores and models carry the version of their code in their names.
FOUNDATIONS = [
    "atomic",
    "errors",
    "layout",
    "feature_key",
    "data_settings",
    "dataset_settings",
    "model_settings",
    "protocols",
    "provenance",
    "settings",
    "stage",
    "detection_settings",
    "ensemble_settings",
    "feature_settings",
    "foresight_settings",
    "training_settings",
    "ndws_settings",
    "sim2real_settings",
    "wsts_settings",
]
VERSIONED = [
    "dataset",
    "feature_loss",
    "features",
    "losses",
    "model",
    "network",
    "optimisation",
    "rivals",
    "run",
    "run_logs",
    "training",
]

# The `emberformer` command lies beside the Python that runs Snakemake, also where its environment is not activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def one_of(names):
    """Pattern of a wildcard that is one of these names (or of none at all)."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    dataset=one_of(DATASETS),
    key="[^/]+",
    method=one_of(BASELINES),
    root=one_of(SIMULATED),
    seed=r"\d+",
    shard=r"\d+",


def write_configuration(layout):
    """The whole configuration, defaults included, as the command line reads it.

    A rule would make it an input of every other rule, and two experiments of different names could then not share a store.
    """
    layout.config.parent.mkdir(parents=True, exist_ok=True)
    layout.config.write_text(yaml.safe_dump(layout.settings.model_dump(mode="json"), sort_keys=False))


def after(first, then):
    """One handler of Snakemake that calls two."""

    def both(log):
        first(log)
        then(log)

    return both


def write_configurations(log=None):
    """The configuration, and those of the folds and experiments that a target needs."""
    write_configuration(layout)
    for one in FOLD_LAYOUTS.values():
        write_configuration(one)
    for one in STUDIES.values():
        write_study(one)


def code(module):
    """Files of the package that a rule's result follows from: Snakemake does not see the code behind a shell command."""
    return [os.path.relpath(file) for file in imported_files(module, FOUNDATIONS + VERSIONED)]


def source_index(wildcards):
    """The file that says where the fires lie: of a simulated data set, the one that is written last.

    Where it is missing, nothing is built again from a folder that is gone: Snakemake keeps what there is, or says so.
    """
    root = layout.raw(wildcards.dataset)
    # A folder's time says nothing of its files: `sources` does.
    return root / "landscape" / "indices.json" if _of(wildcards) == "deep_crown" else ancient(root)


def _of(wildcards):
    return settings.datasets[wildcards.dataset].source


def reader_code(wildcards):
    """Files of the package that read a data set's source and write its fires store."""
    packages = {"wsts": "wsts.reader", "ndws": "ndws.source", "sim2real": "sim2real.source"}
    reader = packages.get(_of(wildcards), _of(wildcards))
    return [*code(f"data.{reader}"), *code("data.fires_writing")]


@cache
def sources_of(dataset):
    """Digest of all raw files of a data set; listed as inputs, they would cost Snakemake minutes."""
    if dataset in SIMULATED.values():
        return "simulated"  # in full when its index is there, so that a dry run before and after says the same
    folders = DEEP_CROWN if settings.datasets[dataset].source == "deep_crown" else ["."]
    return source_digest(layout.raw(dataset), layout.sources(dataset), folders)


def sources(wildcards):
    return sources_of(wildcards.dataset)


def dataset_settings(wildcards):
    """All settings that decide a fires store, as text that Snakemake compares."""
    return settings.datasets[wildcards.dataset].model_dump_json(exclude={"features"})
