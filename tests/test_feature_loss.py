"""The auxiliary loss: persistence at first, no part of the saved network, no other name for networks without it."""

import pandas as pd
import pytest
import torch
from pydantic import ValidationError

from emberformer.checkpoint import load_model
from emberformer.feature_loss import NextFeatures
from emberformer.layout import Layout
from emberformer.model.emberformer import build_emberformer
from emberformer.model_settings import ModelSettings
from emberformer.overrides import changed
from emberformer.training import SpreadTraining, begin_training, train
from emberformer.training_settings import TrainingSettings
from tests.stores import MODEL, prepare, tiny_experiment


def batch_of(features=12, patches=(2, 3), pixels=14, history=3):
    torch.manual_seed(0)
    size = tuple(length * pixels for length in patches)
    return {
        "frame_patches": torch.randn(2, history, *patches, features), "wind": torch.randn(2, history, 2),
        "terrain_patches": torch.randn(2, 2, *patches, features), "valid_t": torch.ones(2, history, dtype=torch.bool),
        "fire_pixels": torch.rand(2, 2, *size).round(), "terrain_pixels": torch.randn(2, 3, *size),
        "categories": torch.zeros(2, 1, *size, dtype=torch.long), "resolution": torch.ones(2, 2),
        "patches_to_come": torch.randn(2, 1, *patches, features),
        "target": torch.zeros(2, *size, dtype=torch.uint8),
    }  # fmt: skip


@pytest.fixture
def model():
    settings = ModelSettings(**MODEL)
    return build_emberformer(
        features=12, channels=2, pixels=14, terrain_pixels=3, category_sizes=(2,), settings=settings
    )


def test_it_begins_as_the_error_of_persistence_and_reaches_the_tokens(model):
    batch, ahead = batch_of(), NextFeatures(model, MODEL["d_model"], 12, 2.0)
    logits = model(**{name: batch[name] for name in model.inputs})
    now, later = batch["frame_patches"][:, -1], batch["patches_to_come"][:, 0]
    copied = torch.nn.functional.smooth_l1_loss(now, later, beta=0.1)
    copied = copied + (1 - torch.nn.functional.cosine_similarity(now, later, dim=-1)).mean()
    loss = ahead(batch, logits, torch.ones_like(logits, dtype=torch.bool))
    assert loss.item() == pytest.approx(2 * copied.item(), rel=1e-5)
    torch.nn.init.normal_(ahead.change.weight)
    loss = ahead(batch, logits, torch.ones_like(logits, dtype=torch.bool))
    (of_fusion,) = torch.autograd.grad(loss, [next(model.fusion.parameters())])
    assert of_fusion.abs().sum() > 0


def test_what_is_learned_beside_the_network_is_in_one_group(model):
    ahead = NextFeatures(model, MODEL["d_model"], 12, 1.0)
    training = SpreadTraining(model, TrainingSettings(), 10, penalty=ahead)
    groups = training.configure_optimizers()["optimizer"].param_groups
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in training.parameters())


def test_networks_without_it_keep_their_name(tmp_path):
    settings, layout = tiny_experiment(tmp_path)
    assert "future_features" not in settings.training.identity()["loss"]
    told = settings.training.model_dump(mode="json", exclude={"loss": {"future_features"}})
    assert settings.training.identity() == told | {"seeds": []}
    asked = changed(settings, {"training.loss.future_features": 0.5})
    assert asked.training.identity()["loss"]["future_features"] == 0.5
    assert Layout(asked).model_key() != layout.model_key()


def test_it_needs_tokens_that_come_from_cached_features(tmp_path):
    settings, _ = tiny_experiment(tmp_path)
    content = settings.model_dump(mode="json")
    content["training"]["loss"]["future_features"] = 1.0
    for model in ({"network": "unet"}, {"fire": "stem"}):
        with pytest.raises(ValidationError, match="future_features"):
            type(settings).model_validate({**content, "model": {**content["model"], **model}})


def test_a_training_with_it_saves_the_network_alone(tmp_path):
    settings, layout = tiny_experiment(tmp_path, training={"loss": {"future_features": 1.0}, "epochs": 1})
    prepare(settings, layout)
    begun = begin_training(settings, layout, 0, "cpu")
    batch = next(iter(begun.batches))
    assert batch["patches_to_come"].shape[1] == 1
    path = train(settings, layout, 0, "cpu")
    model, *_ = load_model(path)
    assert not [name for name in model.state_dict() if "change" in name]
    curve = pd.read_csv(path.with_name("metrics.csv"))
    assert min(curve["train/loss"].dropna()) > 0


def test_an_item_of_a_process_without_one_does_not_count(model):
    batch, ahead = batch_of(), NextFeatures(model, MODEL["d_model"], 12, 1.0)
    model(**{name: batch[name] for name in model.inputs})
    batch["target"][1] = 255
    found = ahead(batch, batch["fire_pixels"][:, 0], batch["target"] == 0)
    now, later = batch["frame_patches"][:1, -1], batch["patches_to_come"][:1, 0]
    apart = (1 - torch.nn.functional.cosine_similarity(now, later, dim=-1)).mean()
    assert found.item() == pytest.approx((torch.nn.functional.smooth_l1_loss(now, later, beta=0.1) + apart).item())
    batch["target"][:] = 255
    assert ahead(batch, batch["fire_pixels"][:, 0], batch["target"] == 0) == 0


def test_the_curve_tells_the_loss_that_validation_tells(model, monkeypatch):
    """Not what a penalty adds, so that training and validation can be compared."""
    batch = batch_of() | {"stays": torch.ones(2)}
    told = {}
    monkeypatch.setattr(SpreadTraining, "log", lambda self, name, value, **_: told.update({name: float(value)}))
    lowered = []
    for penalty, observed in ((None, 1.0), (lambda *_: torch.tensor(7.0), 0.5)):
        training = SpreadTraining(model, TrainingSettings(), 10, penalty=penalty, observed=observed)
        lowered.append((float(training.training_step(batch, 0)), told["train/loss"]))
    (plain, first), (with_penalty, second) = lowered
    assert first == second == plain
    assert with_penalty == pytest.approx(7 + plain / 2)
