"""Distillation: the student nears its teacher, knows no more than it, and forecasts without it."""

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from emberformer.checkpoint import load_model
from emberformer.cli import app
from emberformer.distillation import distil, divergence, keep_from, taught_by
from emberformer.errors import InputError
from emberformer.forecast_store import open_forecasts
from emberformer.hindcast import hindcast
from emberformer.layout import Layout
from emberformer.network import SpreadNetwork
from emberformer.settings import Settings
from emberformer.training import train
from tests.stores import MODEL, prepare, save_settings, tiny_experiment

STUDENT = {"model": {"network": "unet", "channels": 8, "wind": False}, "epochs": 2, "learning_rate": 1e-2}


class Logits(SpreadNetwork):
    """Gives one of its inputs as logits."""

    inputs = ("wind",)

    def parts(self):
        return {}

    def forward(self, *, wind):
        return wind


def test_divergence_of_two_forecasts_by_hand():
    """KL(0.8 || 0.5) = 0.8 ln 1.6 + 0.2 ln 0.4; pixels that are not counted do not matter."""
    predicted, target = torch.zeros(1, 1, 2), torch.tensor([[[0.25, 4.0]]]).reciprocal().log()
    target[0, 0, 0] = torch.tensor(4.0).log()
    counted = torch.tensor([[[True, False]]])
    by_hand = 0.8 * torch.tensor(1.6).log() + 0.2 * torch.tensor(0.4).log()
    assert divergence(predicted, target, counted).item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_a_student_that_says_what_its_teacher_says_loses_nothing():
    logits, counted = torch.randn(2, 3, 3), torch.ones(2, 3, 3, dtype=torch.bool)
    penalty = taught_by(Logits(), 3.0, 0.7)
    assert penalty({"wind": logits}, logits, counted).abs() < 1e-6
    assert penalty({"wind": logits}, logits + 1, counted) > 1e-3
    logits.requires_grad_(True)
    (gradient,) = torch.autograd.grad(penalty({"wind": logits.detach() + 1}, logits, counted), logits)
    assert (gradient < 0).all()  # towards the teacher, who gives more


def test_what_a_student_is_not_to_know_is_zero():
    network = Logits()
    keep_from(network, {"wind"}, {})
    assert network(wind=torch.ones(1, 2, 2)).abs().max() == 0


def test_a_student_is_trained_and_forecasts(tmp_path):
    settings, layout = tiny_experiment(tmp_path, training={"epochs": 1, "crop": 2}, distillation=STUDENT)
    prepare(settings, layout)
    with pytest.raises(InputError, match="emberformer train"):
        distil(settings, layout, 0, "cpu")
    train(settings, layout, 0, "cpu")
    config = save_settings(settings, tmp_path / "config.yaml")
    done = CliRunner().invoke(app, ["distil", "--config", str(config), "--device", "cpu"])
    path = layout.model(0, "student") / "model.ckpt"
    assert done.stdout.strip().endswith(str(path))
    _, _, kept, about = load_model(path)
    assert (about["phase"], kept.model.network, kept.model.history) == ("student", "unet", MODEL["history"])
    assert len(pd.read_csv(path.with_name("metrics.csv"))["val/new_ap"].dropna()) == 2
    path.with_name("last.ckpt").unlink()
    store = open_forecasts(hindcast(settings, layout, 0, "tiny", "cpu", "student"))
    assert store.sizes["forecast"] > 0
    assert not store.attrs["sees_target_wind"]


def test_a_student_knows_no_more_than_its_teacher():
    content = {
        "name": "x",
        "datasets": {"a": {"root": "r", "minutes_per_frame": 30, "bands": {"1": {"kind": "binary"}}}},
    }
    teacher = {"history": 3, "wind": False, "terrain": "none"}
    settings = Settings.model_validate({**content, "model": teacher, "distillation": {}})
    student = settings.of_student().model
    assert (student.history, student.wind, student.terrain) == (3, False, "none")
    assert Layout(settings).parent_phase("student") == "phase1"
