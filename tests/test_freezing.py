"""A decoder's published weights wait for some epochs and train from then on, also in a run that was stopped."""

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from transformers import PreTrainedModel

from emberformer.checkpoint import load_model
from emberformer.layout import Layout
from emberformer.model.decoders.pretrained import pretrained_decoders
from emberformer.settings import Settings
from emberformer.training import SpreadTraining, train
from tests.model.published_models import published
from tests.stores import MODEL, TRAINING, prepare, tiny_experiment

EPOCHS, FROZEN = 3, 2


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> tuple[Settings, Layout]:
    folder = tmp_path_factory.mktemp("frozen")
    published("resnet_unet").save_pretrained(folder / "resnet")  # type: ignore[operator]
    decoder = {
        "decoder": "resnet_unet", "decoder_weights": str(folder / "resnet"), "decoder_freeze_epochs": FROZEN,
    }  # fmt: skip
    training = {**TRAINING, "epochs": EPOCHS, "decoder_learning_rate": 5e-4, "steps_per_fire": 2}
    settings, layout = tiny_experiment(folder, model={**MODEL, **decoder}, training=training)
    prepare(settings, layout)
    return settings, layout


class Watch:
    """What a run does to the decoder's part: at each epoch's end its weights, and whether they take gradients."""

    def __init__(self, monkeypatch):
        self.weights, self.learning, self.rates, self.others = {}, {}, {}, {}

        def at_the_end(phase: SpreadTraining) -> None:
            (decoder,) = pretrained_decoders(phase.model)
            epoch = phase.current_epoch
            self.weights[epoch] = {name: value.clone() for name, value in decoder.part.state_dict().items()}
            self.learning[epoch] = {p.requires_grad for p in decoder.part.parameters()}
            self.others[epoch] = decoder.unfold.weight.detach().clone()  # type: ignore[union-attr, operator]
            (group,) = (g for g in phase.trainer.optimizers[0].param_groups if g["name"] == "decoder")
            self.rates[epoch] = group["initial_lr"]
            assert {id(p) for p in decoder.part.parameters()} <= {id(p) for p in group["params"]}

        monkeypatch.setattr(SpreadTraining, "on_train_epoch_end", at_the_end, raising=False)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_it_waits_and_then_trains_with_the_decoders_rate(experiment, monkeypatch):
    settings, layout = experiment
    watch = Watch(monkeypatch)
    path = train(settings, layout, 0, "cpu")
    began = {
        name.removeprefix("resnet."): value
        for name, value in published("resnet_unet").state_dict().items()
        if "resnet.encoder" in name
    }
    for epoch in range(FROZEN):
        assert watch.learning[epoch] == {False}
        assert same(began, watch.weights[epoch])  # running statistics too
    assert watch.learning[FROZEN] == {True}
    moved = [name for name in began if not torch.equal(began[name], watch.weights[FROZEN][name])]
    assert len(moved) == len(began)
    assert not torch.equal(watch.others[0], watch.others[1])  # the rest learns from the start
    assert set(watch.rates.values()) == {settings.training.decoder_learning_rate}
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", None)  # what was trained needs no published weights
    model, sizes, _, _ = load_model(path)
    assert sizes.decoder is not None
    assert "resnet" in sizes.decoder
    assert pretrained_decoders(model)


@pytest.mark.slow
def test_a_stopped_run_goes_on_frozen_and_ends_the_same(experiment, monkeypatch):
    settings, layout = experiment
    watched = []
    for dies_in in (None, 0):
        (layout.model(1) / "last.ckpt").unlink(missing_ok=True)
        if dies_in is not None:
            with monkeypatch.context() as context:
                context.setattr(ModelCheckpoint, "on_train_epoch_start", dies, raising=False)
                with pytest.raises(RuntimeError, match="power cut"):
                    train(settings, layout, 1, "cpu")
            assert not (layout.model(1) / "model.ckpt").exists()
        watched.append(Watch(monkeypatch))
        train(settings, layout, 1, "cpu")
        (layout.model(1) / "model.ckpt").unlink()
    whole, resumed = watched
    assert resumed.learning == {1: {False}, 2: {True}}
    for epoch in resumed.weights:
        assert same(whole.weights[epoch], resumed.weights[epoch])


def dies(self: ModelCheckpoint, trainer, pl_module) -> None:
    if trainer.current_epoch == 1:
        raise RuntimeError("power cut")
