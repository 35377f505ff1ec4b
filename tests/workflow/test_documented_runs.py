"""Every command of pages and help texts runs: verbs on a tiny world, in the order of the data; Snakemake plans jobs.

The world has the shipped configurations with small fires and small networks in them. What the jobs of a plan call are
those verbs; whole runs of Snakemake are in the other tests of this folder.
"""

import re
import shutil
import traceback
from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from emberformer.cli import app
from emberformer.data.fires import fire_on_map, open_fires
from emberformer.layout import Layout
from emberformer.settings import load_settings
from tests.documented_commands import COMMANDS, ROOT, Command
from tests.tiny import write_tiny_dataset
from tests.workflow.running import printed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_commands")]

SOURCES = ("portillo", "dogrib", "my_landscape")
SMALL: dict[str, dict[str, Any]] = {
    "features": {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32", "scale": 1.0},
    "model": {"d_model": 16, "layers": 1, "heads": 2, "feedforward": 16, "history": 2, "decoder_channels": 8}
    | {"refinement_channels": 4, "channels": 8},
    "training": {"epochs": 1, "crop": None, "batch_size": 2, "steps_per_fire": 1, "seeds": [0], "precision": "32-true"},
    "ensemble": {"side": 7, "d_model": 8, "depth": 1, "heads": 1, "refinement_channels": 4, "epochs": 1, "members": 2}
    | {"steps": 2, "rivals": ["correlated"]},
    "foresight": {"gaps": [1, 2], "similarity_gaps": 2, "components": 8, "neighbour_components": 4, "d_model": 8}
    | {"layers": 1, "heads": 1, "steps": 2, "validations": 1, "crop": 3, "trained": ["mlp"], "without_wind": ["mlp"]}
    | {"grid_trunk": "mlp", "cells": 2},
    "detection": {"queries": 8, "layers": 1, "heads": 1, "d_model": 16, "groups": 1, "epochs": 1}
    | {"fires": {"crop": None, "steps_per_fire": 1, "validation_steps_per_fire": 1}},
    "evaluation": {"replicates": 100, "baselines": ["persistence", "dilation"]},
}
VERBS = (
    "init", "simulate", "ingest", "split", "features", "check", "sizes", "train", "finetune", "distil", "hindcast",
    "baseline", "ensemble", "foresight", "detection", "evaluate", "interpret", "report", "forecast", "sweep", "schema",
)  # fmt: skip
FEATURES = ("estimate", "fit-channels", "plan", "extract", "index", "info", "verify", "copy")
PARTS = ("images", "prior", "train", "hindcast", "detect", "rival", "evaluate")
ELSEWHERE = {  # what needs more than the world holds: the test that runs it
    "emberformer features copy": "features/test_object_storage.py",
    "emberformer features estimate --config config/mine.yaml": "features/test_estimate.py",
    "emberformer features estimate --fires": "features/test_estimate.py",
    "emberformer interpret": "workflow/test_workflow.py",
    "emberformer features verify s3:": "features/test_object_storage.py",
    "emberformer detection images": "workflow/test_further_systems.py",
    "emberformer detection convert": "detection/test_yolo.py",
    "emberformer judge": "workflow/test_workflow.py",
    "emberformer summarise": "workflow/test_workflow.py",
    "emberformer average": "workflow/test_fold_rules.py",
    "emberformer finetune": "test_finetuning.py",
    "emberformer distil": "test_distillation.py",
    "emberformer sizes --config config/two_landscapes.yaml": "checks/test_sizes.py",
    "snakemake folds": "workflow/test_fold_rules.py",
    "snakemake --workflow-profile": "workflow/test_scale_out.py",
    "snakemake --set-resources": "workflow/test_scale_out.py",
    "python -m benchmarks": "test_benchmarks.py",
}
WITH_NETWORK = ("config/demo.yaml", "config/portillo.yaml", "config/ensemble.yaml")  # whose pages go on from one
SCORED = ("config/demo.yaml", "config/portillo.yaml")
EXAMPLE_STORE = re.compile(r"-(1a2b3c4d|ab2d64f1)\.zarr$")


def text_of(command: Command) -> str:
    return " ".join((command.program, *command.arguments))


RUNS = {text_of(one): one for one in COMMANDS if one.whole and not text_of(one).startswith((*ELSEWHERE, "make "))}
# Plans of the same jobs once.
PLANS = sorted(
    {
        tuple(word for word in one.arguments if word not in ("-n", "--dry-run", "--cores", "all"))
        for one in RUNS.values()
        if one.program == "snakemake"
    }
)


def small(content: dict[str, Any], raw: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A shipped configuration with small fires and small networks."""
    changed = dict(content)
    for section, values in SMALL.items():
        if section in content or section in ("model", "evaluation"):
            changed[section] = {**content.get(section, {}), **values}
    if "layers" in content["features"]:
        changed["features"]["layers"] = [1]
    for dataset in content["datasets"].values():
        if "simulation" in dataset:
            dataset["simulation"] |= {"fires": 8, "frames": 4, "window": 42, "landscape": 84}
    changed["datasets"] = {name: raw.get(name, dataset) for name, dataset in content["datasets"].items()}
    return changed


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A working folder as after `git clone`, with raw fires that all configurations find."""
    folder = tmp_path_factory.mktemp("world")
    raw = {name: write_tiny_dataset(folder / "raw" / name, fires=8).model_dump(mode="json") for name in SOURCES}
    for name in ("Snakefile", "workflow", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copy(folder / "config" / "config.yaml", folder / "config" / "mine.yaml")
    (folder / "my").mkdir()
    shutil.copy(folder / "config" / "experiments" / "wind.yaml", folder / "my" / "own.yaml")
    for path in (folder / "config").glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        if raw.keys() | {"demo_valley"} >= content.get("datasets", {"other": None}).keys():
            path.write_text(yaml.safe_dump(small(content, raw)))
    return folder


@pytest.fixture
def inside(world, monkeypatch) -> Path:
    monkeypatch.chdir(world)
    return world


def place(command: Command) -> tuple[int, ...]:
    """Where a verb stands in the order of the data."""
    verb, part = (*command.arguments, "")[:2]
    below = {"features": FEATURES, "detection": PARTS, "ensemble": PARTS}.get(verb, (part,))
    return VERBS.index(verb), below.index(part) if part in below else 0


def run_verb(*arguments: str) -> str:
    """What a verb prints; it must succeed."""
    done = CliRunner().invoke(app, arguments)
    told = "".join(traceback.format_exception(done.exception)) if done.exception else ""
    assert done.exit_code == 0, f"emberformer {' '.join(arguments)}\n{done.output}\n{told}"[-6000:]
    return done.output


def filled_in(words: Iterable[str]) -> Iterator[str]:
    """Arguments with a reader's own values in place of examples, and one network where a sweep would train many."""
    words = [*words, *["--count", "1"] * ("--sweep" in words and "--count" not in words)]
    for option, word in zip(["", *words], words, strict=False):
        stores = glob(str(Path(word).parent / "*.zarr")) if EXAMPLE_STORE.search(word) else []
        word = {"$config": "config/mine.yaml", "$gpu": "0"}.get(word, *stores[:1] or [word])
        yield "1" if option == "--count" else word


def prepare(config: str) -> None:
    """What a configuration's verbs need and its pages do not make: stores, split, baselines; network and forecasts."""
    settings = load_settings(Path(config))
    layout = Layout(settings)
    for name, dataset in settings.datasets.items():
        of = ("--config", config, "--dataset", name)
        if getattr(dataset, "simulation", None):
            run_verb("simulate", *of)
        run_verb("ingest", *of)
    run_verb("split", "--config", config)
    for name in settings.datasets:
        of = ("--config", config, "--dataset", name)
        if not layout.features(name).exists():  # configurations may share one
            run_verb("features", "plan", *of)
            for shard in range(settings.shards):
                run_verb("features", "extract", *of, "--shard", str(shard))
            run_verb("features", "index", *of)
        baselines = ("logistic",) if settings.detection else settings.evaluation.baselines
        for method in baselines if config in SCORED or settings.detection else ():
            run_verb("baseline", *of, "--method", method)
    if config in WITH_NETWORK and not any(one.arguments[:3] == ("train", "--config", config) for one in RUNS.values()):
        run_verb("train", "--config", config)
        for name in settings.datasets:
            run_verb("hindcast", "--config", config, "--dataset", name)


def write_theirs(config: str) -> None:
    """Forecasts of others for the data sets of a configuration: those of a baseline."""
    layout = Layout(load_settings(Path(config)))
    for name in layout.settings.datasets:
        for folder in ("theirs", "other"):
            shutil.copytree(layout.forecasts("dilation", name), Path(folder, f"{name}.zarr"))


def write_new_fire(config: str) -> None:
    """A fire as its perimeters, and its ground, as files of an analyst."""
    (name,) = load_settings(Path(config)).datasets
    fires = open_fires(Layout(load_settings(Path(config))).fires(name))
    fire = fire_on_map(fires, str(fires.fire_id.values[0]))
    Path("fire").mkdir()
    for k in range(2):
        fire.burned[k].rio.to_raster(f"fire/frame_{k}.tif")
    for band, file in (("elevation", "dem.tif"), ("fuel_model", "fuel.tif")):
        fire.terrain.sel(band=band).rio.to_raster(file)


def test_the_verbs_of_pages_and_help_run_in_the_order_of_the_data(inside):
    commands = sorted((one for one in RUNS.values() if one.program == "emberformer"), key=place)
    for config in ("demo", "mine", "portillo", "ensemble", "foresight", "detection"):
        prepare(f"config/{config}.yaml")
    for config in ("demo", "portillo"):
        write_theirs(f"config/{config}.yaml")
    write_new_fire("config/demo.yaml")
    for command in commands:
        run_verb(*filled_in(command.arguments))


@pytest.mark.parametrize("start", ELSEWHERE)
def test_what_is_run_elsewhere_is_asked_for_and_has_its_test(start):
    assert any(text_of(one).startswith(start) for one in COMMANDS)
    verb = re.split(r" (?:-|s3:)", start.removeprefix("python -m "))[0].split()[-1]
    assert verb in (ROOT / "tests" / ELSEWHERE[start]).read_text()


@pytest.mark.parametrize("words", PLANS, ids=" ".join)
def test_snakemake_plans_what_pages_ask_of_it(words, inside):
    printed("snakemake", *filled_in(words), "--dry-run", "--quiet")
