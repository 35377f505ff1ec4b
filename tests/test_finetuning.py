"""Phases 2 and 3: they begin where the phase before ended, train what they name, and keep only what was trained."""

import pandas as pd
import pytest
import torch

from emberformer.checkpoint import load_model, model_inputs, open_landscapes
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.finetuned_checkpoint import backbone_hash, encodings_of, fine_tuned
from emberformer.finetuning import finetune
from emberformer.forecast import forecast
from emberformer.forecast_store import open_forecasts
from emberformer.layout import Layout
from emberformer.model.finetuned import FinetunedEmberFormer
from emberformer.settings import Settings
from emberformer.training import train
from emberformer.training_settings import Phase
from tests.stores import TRAINING, prepare, tiny_experiment

BACKBONE = {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32", "layers": (2, 3)}
ENDS = {"epochs": 1, "batch_size": 4, "steps_per_fire": 2}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Phase 1 on features of float32, with hidden states; cropped and turned."""
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("first"), features={**BACKBONE, "dtype": "float32"},
        training={**TRAINING, "epochs": 1, "crop": 2},
    )  # fmt: skip
    prepare(settings, layout)
    train(settings, layout, 0, "cpu")
    return settings, layout


def with_phases(settings: Settings, **phases) -> tuple[Settings, Layout]:
    content = settings.model_dump(mode="json")
    settings = Settings.model_validate({**content, **{name: {**ENDS, **one} for name, one in phases.items()}})
    return settings, Layout(settings)


def batch_of(landscapes, layout, network, history, crop=2):
    """Steps of several lengths of history in turned windows."""
    steps = list_steps(landscapes, read_split(layout.split), "train")[:6]
    items = FireSteps(landscapes, steps, history, crop, True, 5, inputs=network.inputs, block=network.block)
    return items.__getitems__(list(range(len(steps))))


def start_of(settings, layout, phase: Phase = "phase2"):
    """The network of a phase before its first step, its parent, and the data sets."""
    parent, sizes, _, _ = load_model(layout.model(0, layout.parent_phase(phase)) / "model.ckpt")
    landscapes = open_landscapes(layout, sizes)
    encodings, weights = encodings_of(landscapes), backbone_hash(layout, landscapes)
    network = fine_tuned(parent, settings, phase, encodings, weights, layout.config)
    return network.eval(), parent.eval(), landscapes


PHASES = {
    "tail lora": {"path": "tail", "blocks": 2},
    "tail full": {"path": "tail", "blocks": 1, "method": "full"},
    "tail adaptive": {"path": "tail", "blocks": 2, "lora": {"adaptive": True, "rank": 2}},
    "pixels lora": {"path": "pixels", "blocks": 2, "lora": {"target_modules": ("query", "fc1")}},
    "pixels full": {"path": "pixels", "blocks": None, "method": "full"},
    "pixels both": {"path": "pixels", "blocks": 2, "encoders": ("fire", "terrain")},
    "pixels terrain": {"path": "pixels", "blocks": 2, "encoders": ("terrain",), "method": "full"},
}


@pytest.mark.parametrize("phase", PHASES.values(), ids=PHASES)
def test_phase_2_begins_with_the_forecast_of_phase_1(first, phase):
    settings, layout = with_phases(first[0], phase2=phase)
    network, parent, landscapes = start_of(settings, layout)
    history = settings.model.history
    with torch.no_grad():
        tuned = network(**model_inputs(network, batch_of(landscapes, layout, network, history)))
        cached = parent(**model_inputs(parent, batch_of(landscapes, layout, parent, history)))
    assert (tuned - cached).abs().max() < 1e-4


def test_phase_2_trains_adapters_and_keeps_the_better_of_parent_and_child(first):
    """Through the verb's function: curve from the parent's score on, small checkpoint, forecasts from it alone."""
    settings, layout = with_phases(first[0], phase2={"path": "tail", "blocks": 2, "epochs": 2, "learning_rate": 1e-3})
    path = finetune(settings, layout, 0, "phase2", "cpu")
    curve = pd.read_csv(path.with_name("metrics.csv"))
    scores = curve["val/new_ap"].dropna()
    assert len(scores) == 3
    assert len(curve["train/loss"].dropna()) == 2
    _, _, _, parent = load_model(layout.model(0) / "model.ckpt")
    network, _, kept, about = load_model(path)
    assert scores.iloc[0] == pytest.approx(parent["validation_new_ap"], abs=1e-6)
    assert about["validation_new_ap"] == pytest.approx(scores.max(), abs=1e-6)
    assert (about["phase"], kept) == ("phase2", settings)
    content = torch.load(path, weights_only=True)
    of_backbone = [name for name in content["state"] if name.startswith("backbone.")]
    assert of_backbone
    assert all("lora_" in name for name in of_backbone)
    assert isinstance(network, FinetunedEmberFormer)
    last = torch.load(path.with_name("last.ckpt"), weights_only=False)["state_dict"]
    assert {name.removeprefix("model.") for name in last} == set(content["state"])
    assert any(value.abs().max() > 0 for name, value in last.items() if "lora_B" in name)
    store = open_forecasts(forecast(settings, layout, 0, "tiny", "cpu", "phase2"))
    assert store.sizes["forecast"] == open_forecasts(forecast(settings, layout, 0, "tiny", "cpu")).sizes["forecast"]
