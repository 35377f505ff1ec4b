"""All checks on tiny stores, as the command line runs them, and the batch that passes the network."""

import json
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from emberformer.checks.first_batch import first_batch
from emberformer.checks.network import check_batch, check_network
from emberformer.checks.run import write_findings
from emberformer.cli import app
from emberformer.errors import InputError
from emberformer.layout import Layout
from emberformer.overrides import changed
from emberformer.training import SpreadTraining, train
from tests.stores import ingest_all, prepare, save_settings, tiny_experiment

LOSS = {"cross_entropy": 0.5, "pos_weight": None, "focal": 1.0, "boundary": 3.0, "wind_direction": 20.0}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("checks"), {"tiny": (28, 42), "other": (50, 36)}, features={"layers": (2,)},
        phase2={"path": "tail"}, phase3={"path": "pixels", "encoders": ("fire", "terrain")},
        distillation={"model": {"network": "unet", "channels": 8}}, ensemble={},
    )  # fmt: skip
    prepare(settings, layout)
    return settings, layout


@pytest.fixture(scope="module")
def first(experiment):
    settings, layout = experiment
    return first_batch(settings, layout, "cpu")


def test_the_verb_prints_and_writes_all_checks(experiment, tmp_path):
    settings, layout = experiment
    config = save_settings(settings, tmp_path / "config.yaml")
    done = CliRunner().invoke(app, ["check", "--config", str(config), "--device", "cpu"])
    content = json.loads((layout.experiment / "check.json").read_text())
    networks = ["network", "network, phase2", "network, phase3", "network, student"]
    assert list(content) == ["tiny", "other", "split", *networks]
    levels = {level["level"] for of in content.values() for level in of}
    assert done.exit_code == ("ERROR" in levels), done.output
    subjects = {finding["subject"] for finding in content["tiny"]}
    assert {"class balance", "wind's direction", "band slope_deg", "time", "equal fires", "target"} <= subjects
    for name in networks:
        assert [f["subject"] for f in content[name]] == ["batch", "loss of a batch", "gradients", "an epoch"]
        learn = {f["subject"]: f["numbers"] for f in content[name]}["gradients"]
        assert ("backbone.backbone" in learn) == (name[-6:] in ("phase2", "phase3"))
        assert all(norm > 0 for norm in learn.values())
    assert all(finding["message"] in done.output for of in content.values() for finding in of)
    one = CliRunner().invoke(app, ["check", "--config", str(config), "--dataset", "other", "--fires", "2"])
    assert "pixels of 2 fires were looked at" in one.output


def test_an_error_is_told_by_the_exit_code(experiment, tmp_path, monkeypatch):
    settings, _ = experiment
    settings = settings.model_copy(update={"phase2": None, "phase3": None, "distillation": None})
    monkeypatch.setattr("emberformer.checks.wind.STRONGEST", 0.1)
    config = save_settings(settings, tmp_path / "config.yaml")
    done = CliRunner().invoke(app, ["check", "--config", str(config), "--dataset", "tiny", "--fires", "2"])
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


def test_a_part_that_does_not_learn_is_an_error(first):
    first = deepcopy(first)
    for parameter in first.model.fusion.parameters():
        parameter.register_hook(torch.zeros_like)
    found = {f.subject: f for f in check_batch(first)}["gradients"]
    assert (found.level, found.message) == ("ERROR", "none in temporal.fusion")


def test_a_gradient_that_is_not_finite_is_written_as_none(first, experiment):
    _, layout = experiment
    first = deepcopy(first)
    for parameter in first.model.fusion.parameters():
        parameter.register_hook(lambda gradient: gradient * torch.nan)
    found = check_batch(first)
    assert [f.message for f in found if f.subject == "gradients"] == ["not finite in temporal.fusion"]
    write_findings(layout, {"network": found})
    norms = json.loads((layout.experiment / "check.json").read_text(), parse_constant=pytest.fail)
    assert norms["network"][-1]["numbers"]["temporal.fusion"] is None


def test_a_loss_that_is_not_finite_is_an_error(first):
    broken = {**first.batch, "terrain_pixels": first.batch["terrain_pixels"] * torch.nan}
    found = {f.subject: f for f in check_batch(replace(first, batch=broken))}
    assert found["loss of a batch"].level == "ERROR"
    assert found["loss of a batch"].numbers["loss"] is None


def test_the_loss_is_the_one_that_training_lowers(experiment):
    """All terms of `training.loss`, and what they take of a batch, on the batch that begins the training."""
    settings, _ = experiment
    settings = changed(settings, {"training": {"loss": LOSS, "epochs": 1}})
    layout, steps = Layout(settings), []
    step = SpreadTraining.training_step

    def noted(self, batch, batch_idx):
        loss = step(self, batch, batch_idx)
        steps.append((batch["index"].tolist(), loss.item()))
        return loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SpreadTraining, "training_step", noted)
        patch.setattr(torch.optim.AdamW, "step", lambda self, closure: closure())  # every step as if it were the first
        train(settings, layout, 0, "cpu")
    first = first_batch(settings, layout, "cpu")
    found = {f.subject: f for f in check_batch(first)}["loss of a batch"].numbers["loss"]
    assert found == pytest.approx({tuple(index): loss for index, loss in steps}[tuple(first.batch["index"].tolist())])
    assert found == pytest.approx(first.loss().item())
    plain = changed(settings, {"training": {"loss": {**LOSS, "boundary": 0.0, "wind_direction": 0.0}}})
    assert first_batch(plain, layout, "cpu").loss().item() != pytest.approx(found, abs=1e-3)
