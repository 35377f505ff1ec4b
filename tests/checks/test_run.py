"""All checks on tiny stores, as the command line runs them, and the batch that passes the network."""

import json
from copy import deepcopy

import pytest
import torch
from typer.testing import CliRunner

from emberformer.checkpoint import Sizes, build_model, open_landscapes
from emberformer.checks.network import check_batch, check_network
from emberformer.cli import app
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.errors import InputError
from tests.stores import ingest_all, prepare, save_settings, tiny_experiment


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    settings, layout = tiny_experiment(tmp_path_factory.mktemp("checks"), {"tiny": (28, 42), "other": (50, 36)})
    prepare(settings, layout)
    return settings, layout


@pytest.fixture(scope="module")
def batch(experiment):
    settings, layout = experiment
    split = read_split(layout.split)
    sizes = Sizes.of(layout, split)
    landscapes = open_landscapes(layout, sizes)
    steps = list_steps(landscapes, split, "train")[:2]
    torch.manual_seed(0)
    return build_model(sizes, settings), FireSteps(landscapes, steps, settings.model.history).__getitems__([0, 1])


def test_the_verb_prints_and_writes_all_checks(experiment, tmp_path):
    settings, layout = experiment
    config = save_settings(settings, tmp_path / "config.yaml")
    done = CliRunner().invoke(app, ["check", "--config", str(config), "--device", "cpu"])
    content = json.loads((layout.experiment / "check.json").read_text())
    assert list(content) == ["tiny", "other", "split", "network"]
    levels = {level["level"] for of in content.values() for level in of}
    assert done.exit_code == ("ERROR" in levels), done.output
    subjects = {finding["subject"] for finding in content["tiny"]}
    assert {"class balance", "wind's direction", "band slope_deg", "time", "equal fires", "target"} <= subjects
    assert [f["subject"] for f in content["network"]] == ["batch", "loss of a batch", "gradients", "an epoch"]
    assert all(finding["message"] in done.output for of in content.values() for finding in of)
    one = CliRunner().invoke(app, ["check", "--config", str(config), "--dataset", "other", "--fires", "2"])
    assert "pixels of 2 fires were looked at" in one.output


def test_an_error_is_told_by_the_exit_code(experiment, tmp_path, monkeypatch):
    settings, _ = experiment
    monkeypatch.setattr("emberformer.checks.wind.STRONGEST", 0.1)
    done = CliRunner().invoke(app, ["check", "--config", str(save_settings(settings, tmp_path / "config.yaml"))])
    assert done.exit_code == 1
    assert "check weather.speed_unit" in done.output


def test_what_is_not_made_yet_is_said(tmp_path):
    settings, layout = tiny_experiment(tmp_path)
    command = ["check", "--config", str(save_settings(settings, tmp_path / "config.yaml"))]
    refused = CliRunner().invoke(app, command)
    assert isinstance(refused.exception, InputError)
    assert "emberformer ingest" in str(refused.exception)
    ingest_all(settings, layout)
    done = CliRunner().invoke(app, command)
    assert "run `emberformer split`" in done.output
    assert not (layout.features("tiny")).exists()


def test_one_batch_passes_the_network(experiment):
    settings, layout = experiment
    found = {f.subject: f for f in check_network(settings, layout, "cpu")}
    assert found["batch"].numbers["inputs"]["frame_patches"][:2] == [4, 3]  # batch, history
    assert found["gradients"].level == "OK"
    assert {"temporal.temporal", "decoder.refinement"} <= set(found["gradients"].numbers)
    assert found["an epoch"].numbers["seconds"] > 0


def test_a_part_that_does_not_learn_is_an_error(batch):
    model, items = batch
    model = deepcopy(model)
    for parameter in model.fusion.parameters():
        parameter.register_hook(torch.zeros_like)
    found = {f.subject: f for f in check_batch(model, items, 1.0, 0.1)}["gradients"]
    assert (found.level, found.message) == ("ERROR", "none in temporal.fusion")


def test_a_loss_that_is_not_finite_is_an_error(batch):
    model, items = batch
    broken = {**items, "terrain_pixels": items["terrain_pixels"] * torch.nan}
    found = {f.subject: f for f in check_batch(model, broken, 1.0, 0.1)}
    assert found["loss of a batch"].level == "ERROR"
    assert found["loss of a batch"].numbers["loss"] is None
