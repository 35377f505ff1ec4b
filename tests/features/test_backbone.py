"""Backbone: seeded, frozen, read from a folder; registers do not shift the patches."""

import pytest
import torch
from transformers import Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

from emberformer.errors import InputError
from emberformer.features.backbone import hash_weights, load_backbone
from emberformer.features.rendering import dino_input
from emberformer.settings import FeatureSettings

TINY = FeatureSettings(weights="random", architecture="dinov2-tiny")


def test_random_weights_follow_the_seed_and_leave_the_random_state_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = load_backbone(TINY)
    assert torch.equal(torch.rand(3), expected)
    assert load_backbone(TINY).weights_sha256 == first.weights_sha256
    assert load_backbone(TINY.model_copy(update={"seed": 1})).weights_sha256 != first.weights_sha256


def test_backbone_is_frozen_and_gives_a_grid():
    backbone = load_backbone(TINY)
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    assert not backbone.model.training
    cls, patches = backbone.encode(dino_input(torch.rand(2, 30, 50), backbone.patch_size, 1.0))
    assert cls.shape == (2, 96)
    assert patches.shape == (2, 3, 4, 96)


def test_a_bright_patch_is_found_where_it_is():
    backbone = load_backbone(TINY)
    dark, lit = torch.zeros(1, 56, 70), torch.zeros(1, 56, 70)
    lit[:, 14:28, 42:56] = 1
    _, before = backbone.encode(dino_input(dark, 14, 1.0))
    _, after = backbone.encode(dino_input(lit, 14, 1.0))
    change = (after - before)[0].norm(dim=-1)
    assert divmod(int(change.argmax()), change.shape[1]) == (1, 3)


def test_a_saved_folder_gives_the_same_tokens(tmp_path):
    backbone = load_backbone(TINY)
    assert isinstance(backbone.model, Dinov2Model)
    backbone.model.save_pretrained(tmp_path / "mine")
    again = load_backbone(FeatureSettings(weights=str(tmp_path / "mine")))
    assert again.weights_sha256 == backbone.weights_sha256
    image = dino_input(torch.rand(1, 28, 28), 14, 1.0)
    assert torch.equal(backbone.encode(image)[1], again.encode(image)[1])


def test_registers_are_not_patches(tmp_path):
    config = Dinov2WithRegistersConfig(
        hidden_size=48, num_hidden_layers=1, num_attention_heads=2, image_size=56, num_register_tokens=4
    )
    Dinov2WithRegistersModel(config).save_pretrained(tmp_path / "registers")
    backbone = load_backbone(FeatureSettings(weights=str(tmp_path / "registers")))
    assert backbone.prefix_tokens == 5
    image = dino_input(torch.rand(1, 28, 42), 14, 1.0)
    tokens = backbone.model(image).last_hidden_state
    assert torch.equal(backbone.encode(image)[1].flatten(1, 2), tokens[:, 5:])


def test_weights_that_are_nowhere_are_no_random_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="weights: random"):
        load_backbone(FeatureSettings(weights=str(tmp_path / "nothing-here")))


def test_hash_sees_one_changed_number():
    backbone = load_backbone(TINY)
    before = hash_weights(backbone.model)
    next(backbone.model.parameters()).data.view(-1)[0] += 1e-3
    assert hash_weights(backbone.model) != before
