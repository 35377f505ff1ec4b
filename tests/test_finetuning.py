"""Phases 2 and 3: they begin where the phase before ended, train what they name, and keep only what was trained."""

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from emberformer.checkpoint import build_model, load_model, model_inputs, open_landscapes
from emberformer.cli import app
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, list_steps
from emberformer.errors import InputError
from emberformer.finetuned_checkpoint import backbone_hash, encodings_of, fine_tuned
from emberformer.finetuning import finetune, training_of
from emberformer.forecast_store import open_forecasts
from emberformer.hindcast import hindcast
from emberformer.layout import Layout
from emberformer.model.finetuned import FinetunedEmberFormer
from emberformer.network_sizes import Sizes
from emberformer.settings import Settings
from emberformer.training import SpreadTraining, train
from emberformer.training_settings import Phase
from tests.stores import TRAINING, prepare, save_settings, tiny_experiment

BACKBONE = {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32", "layers": (2, 3)}
ENDS = {"epochs": 1, "batch_size": 4, "steps_per_fire": 2}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Phase 1 on features of float32, with hidden states; cropped and turned."""
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("first"), features={**BACKBONE, "dtype": "float32"},
        training={**TRAINING, "epochs": 1, "crop": 2}, logging={"previews": 0},
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
    assert {name.removeprefix("model.") for name in last} == {*content["state"], "calibration"}
    assert any(value.abs().max() > 0 for name, value in last.items() if "lora_B" in name)
    store = open_forecasts(hindcast(settings, layout, 0, "tiny", "cpu", "phase2"))
    assert store.sizes["forecast"] == open_forecasts(hindcast(settings, layout, 0, "tiny", "cpu")).sizes["forecast"]


STORES = {
    "float16": {"dtype": "float16"},
    "bfloat16 arithmetic": {"dtype": "float16", "precision": "bfloat16"},
    "int8": {"dtype": "int8"},
    "components": {"components": 16},
}


@pytest.mark.parametrize(
    "kind", ["float16", "bfloat16 arithmetic", "int8", pytest.param("components", marks=pytest.mark.slow)]
)
def test_phase_2_begins_alike_from_every_kind_of_store(tmp_path, kind):
    """Two landscapes of different grids; hidden states of float16 are rounded once more on the way, by 2^-11."""
    settings, layout = tiny_experiment(
        tmp_path, {"tiny": (28, 42), "other": (50, 36)}, features={**BACKBONE, **STORES[kind]}
    )
    prepare(settings, layout)
    torch.manual_seed(1)
    sizes = Sizes.of(layout, read_split(layout.split))
    landscapes, model = open_landscapes(layout, sizes), build_model(sizes, settings).eval()
    encodings, weights = encodings_of(landscapes), backbone_hash(layout, landscapes)
    for path in ("tail", "pixels"):
        of_path, _ = with_phases(settings, phase2={"path": path})
        network = fine_tuned(model, of_path, "phase2", encodings, weights, layout.config).eval()
        for landscape in landscapes:
            with torch.no_grad():
                tuned, cached = (
                    one(**model_inputs(one, batch_of([landscape], layout, one, settings.model.history)))
                    for one in (network, model)
                )
            assert (tuned - cached).abs().max() < (2e-2 if kind == "bfloat16 arithmetic" else 2e-3) * cached.std()


def test_tokens_of_a_window_are_those_of_the_store(first):
    """The tail's tokens, cut and turned, equal the cached ones entry by entry, padding included."""
    settings, layout = with_phases(first[0], phase2={"path": "tail"})
    network, parent, landscapes = start_of(settings, layout)
    given, cached = (batch_of(landscapes, layout, one, settings.model.history) for one in (network, parent))
    assert given["patch_index"].unique(dim=0).shape[0] > 1  # windows and views differ
    with torch.no_grad():
        tokens = network._tokens("fire", given["frame_hidden"], given["frame_row"], given["patch_index"], (2, 3))
    assert (given["frame_row"] < 0).any()
    assert torch.allclose(tokens, cached["frame_patches"], atol=1e-4)


def test_each_image_is_encoded_once(first, monkeypatch):
    """Frames that steps share pass the backbone once a batch; while nothing trains, once for all batches in a row."""
    settings, layout = with_phases(first[0], phase2={"path": "tail"})
    network, _, landscapes = start_of(settings, layout)
    batch = batch_of(landscapes, layout, network, settings.model.history)
    encode, passed = network.backbone.encode, []

    def counted(encoder, values, grid, after):
        passed.append(len(values))
        return encode(encoder, values, grid, after)

    monkeypatch.setattr(network.backbone, "encode", counted)
    distinct = len(batch["frame_row"][batch["frame_row"] >= 0].unique())
    assert distinct < (batch["frame_row"] >= 0).sum()
    with torch.no_grad():
        once = network(**model_inputs(network, batch))
        again = network(**model_inputs(network, batch))
    assert passed == [distinct]
    assert torch.equal(once, again)
    network.train()
    network(**model_inputs(network, batch))
    network.eval()
    with torch.no_grad():
        for p in network.backbone.trained:
            p.add_(0.1)
        assert not torch.equal(network(**model_inputs(network, batch)), once)
    assert passed == [distinct] * 3


def test_every_trainable_parameter_is_in_one_group_with_its_rate(first):
    """X20, X21: temporal part, decoder and backbone, each with its own learning rate."""
    phase = {"path": "tail", "learning_rate": 3e-5, "decoder_learning_rate": 2e-5, "backbone_learning_rate": 1e-5}
    settings, layout = with_phases(first[0], phase2=phase)
    network, _, _ = start_of(settings, layout)
    assert settings.phase2 is not None
    training = SpreadTraining(network, training_of(settings.training, settings.phase2), 10, backbone_rate=1e-5)
    groups = training.configure_optimizers()["optimizer"].param_groups
    assert {group["name"]: group["initial_lr"] for group in groups} == pytest.approx(
        {"temporal": 3e-5, "decoder": 2e-5, "backbone": 1e-5}
    )
    of_groups = [id(p) for group in groups for p in group["params"]]
    assert sorted(of_groups) == sorted(id(p) for p in network.parameters() if p.requires_grad)
    assert len(set(of_groups)) == len(of_groups)
    backbone = next(group["params"] for group in groups if group["name"] == "backbone")
    assert {id(p) for p in backbone} == {id(p) for p in network.backbone.trained}


def test_phase_3_follows_phase_2_and_refuses_without_it(first, tmp_path):
    """Tail for frames, then adapters for frames and terrain on images; phase 3 begins with phase 2's forecast."""
    settings, layout = with_phases(
        first[0], phase2={"path": "tail", "learning_rate": 1e-2, "blocks": 1},
        phase3={"path": "pixels", "encoders": ("fire", "terrain"), "precision": "bf16-mixed"},
    )  # fmt: skip
    with pytest.raises(InputError, match="finetune --phase phase2"):
        finetune(settings, layout, 0, "phase3", "cpu")
    config = save_settings(settings, tmp_path / "config.yaml")
    done = CliRunner().invoke(app, ["finetune", "--config", str(config), "--phase", "phase2", "--device", "cpu"])
    assert done.stdout.strip().endswith(str(layout.model(0, "phase2") / "model.ckpt"))
    network, parent, landscapes = start_of(settings, layout, "phase3")
    history = settings.model.history
    with torch.no_grad():
        given, before = (model_inputs(one, batch_of(landscapes, layout, one, history)) for one in (network, parent))
        assert (network(**given) - parent(**before)).abs().max() < 1e-4
    path = finetune(settings, layout, 0, "phase3", "cpu")
    _, _, _, about = load_model(path)
    assert about["phase"] == "phase3"
    content = torch.load(path, weights_only=True)["state"]
    adapters = {part for name in content for part in name.split(".") if part.startswith("phase")}
    assert adapters == {"phase2_fire", "phase3_fire", "phase3_terrain"}
    assert open_forecasts(hindcast(settings, layout, 0, "tiny", "cpu", "phase3")).sizes["forecast"] > 0


@pytest.mark.parametrize("adaptive", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_stopped_phase_ends_as_if_it_had_not_been_stopped(first, monkeypatch, tmp_path, adaptive):
    """Adapters, their dropout and AdaLoRA's ranks too, whether or not the last epoch was the best."""
    lora = {"adaptive": adaptive, "rank": 2, "dropout": 0.2, "target_modules": ("query", "fc1")}
    phase = {"path": "tail", "lora": lora, "learning_rate": 1e-2, "epochs": 3, "batch_size": 2}
    settings, layout = with_phases(first[0], phase2=phase)
    whole = finetune(settings, layout, 0, "phase2", "cpu").parent
    whole.rename(tmp_path / "whole")
    ends = SpreadTraining.on_validation_epoch_end

    def dies(self):
        ends(self)
        if self.current_epoch == 1 and self.trainer.global_step:
            raise RuntimeError("power cut")

    monkeypatch.setattr(SpreadTraining, "on_validation_epoch_end", dies)
    with pytest.raises(RuntimeError, match="power cut"):
        finetune(settings, layout, 0, "phase2", "cpu")
    monkeypatch.setattr(SpreadTraining, "on_validation_epoch_end", ends)
    path = finetune(settings, layout, 0, "phase2", "cpu")
    last, expected = (
        torch.load(folder / "last.ckpt", weights_only=False)["state_dict"]
        for folder in (path.parent, tmp_path / "whole")
    )
    assert all(torch.equal(last[name], value) for name, value in expected.items())
    if adaptive:  # of rank 3 in four layers at first, eight of twelve entries are left
        entries = torch.cat([value.flatten() for name, value in last.items() if "lora_E" in name])
        assert len(entries) == 12
        assert (entries != 0).sum() == 8


def test_the_weights_must_be_those_of_the_cache(first, monkeypatch):
    settings, layout = with_phases(first[0], phase2={"path": "tail"})
    _, parent, landscapes = start_of(settings, layout)
    with pytest.raises(InputError, match="SHA-256"):
        fine_tuned(parent, settings, "phase2", encodings_of(landscapes), "0" * 64, layout.config)


def test_a_block_that_is_not_in_the_store_is_named(first):
    settings, layout = with_phases(first[0], phase2={"path": "tail", "blocks": 3})
    network, _, landscapes = start_of(settings, layout)
    with pytest.raises(InputError, match=r"(?s)after block 1.*features\.layers"):
        batch_of(landscapes, layout, network, settings.model.history)


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        ({"phase2": {"path": "tail", "encoders": ["terrain"]}}, "path: pixels"),
        ({"phase2": {"path": "tail", "blocks": None}}, "path: pixels"),
        ({"phase2": {"lora": {"adaptive": True, "rank_pattern": {"query": 2}}}}, "rank_pattern"),
        ({"phase2": {"lora": {"adaptive": True}}, "phase3": {}}, "adaptive"),
        ({"phase2": {"path": "pixels", "blocks": None}, "phase3": {"path": "tail"}}, "trains all"),
        ({"phase3": {}}, "phase2"),
        ({"phase2": {"path": "pixels", "encoders": ["terrain"]}, "model": {"terrain": "none"}}, "terrain dino"),
    ],
)
def test_phases_that_cannot_be(first, phases, told):
    with pytest.raises(ValueError, match=told):
        Settings.model_validate({**first[0].model_dump(mode="json"), **phases})
