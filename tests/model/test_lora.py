"""Adapters: on the layers that are named, of the ranks that are asked for, and silent at first."""

import warnings
from functools import cache

import pytest
import torch
from torch import nn

from emberformer.errors import InputError
from emberformer.features.architectures import untrained
from emberformer.features.patch_embedding import fold_grey
from emberformer.model.lora import adapter_parameters, add_adapter, apart_from_orthogonal, target_layers
from emberformer.model_settings import LoraSettings


@cache
def layers_of(architecture: str) -> nn.Module:
    return untrained(architecture, 0)


def tiny() -> nn.Module:
    model = untrained("dinov2-tiny", 0)
    fold_grey(model)
    return model.eval()


@pytest.mark.parametrize("architecture", ["dinov2-tiny", "dinov2-small-registers", "dinov3-small"])
def test_one_word_names_a_layer_of_every_family(architecture):
    """Query, key, value, output and both layers of the MLP, in the last two blocks and in no other."""
    model = layers_of(architecture)
    last = sum(isinstance(module, nn.ModuleList) for module in model.modules())
    assert last == 1
    blocks = len(next(module for module in model.modules() if isinstance(module, nn.ModuleList)))
    for word in ("query", "key", "value", "output", "fc1", "fc2"):
        found = target_layers(model, (word,), 2)
        assert len(found) == 2, word
        assert [f".{blocks - 2}." in found[0], f".{blocks - 1}." in found[1]] == [True, True]
        assert all(isinstance(model.get_submodule(name), nn.Linear) for name in found)
        assert len(target_layers(model, (word,), None)) == blocks
    assert len(set(target_layers(model, ("query", "key", "value", "output", "fc1", "fc2"), 1))) == 6


def test_a_layer_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(InputError, match=r"(?s)wquery.*mlp\.fc1.*query, key, value"):
        target_layers(layers_of("dinov2-tiny"), ("query", "wquery"), 2)
    with pytest.raises(InputError, match="rank_pattern"):
        add_adapter(tiny(), LoraSettings(rank_pattern={"3.attention.nothing": 2}), 2, "one")


def test_ranks_by_layer():
    """Rank 4, and 2 in the last block."""
    model = tiny()
    settings = LoraSettings(rank=4, target_modules=("query",), rank_pattern={r"layer\.3\.attention\..*": 2})
    add_adapter(model, settings, 2, "one")
    ranks = {name.split(".")[2]: p.shape[0] for name, p in adapter_parameters(model, "one").items() if "lora_A" in name}
    assert ranks == {"2": 4, "3": 2}


@pytest.mark.parametrize("adaptive", [False, True])
def test_an_adapter_changes_nothing_before_it_is_trained(adaptive):
    model, images = tiny(), torch.rand(2, 1, 28, 42)
    with torch.no_grad():
        before = model(images).last_hidden_state
        add_adapter(model, LoraSettings(rank=2, adaptive=adaptive, target_modules=("query", "fc2")), 2, "one")
        assert torch.equal(model(images).last_hidden_state, before)
        for name, p in adapter_parameters(model, "one").items():
            if "lora_B" in name or "lora_E" in name:
                p.fill_(0.5)
        assert (model(images).last_hidden_state - before).abs().max() > 1e-3


def test_scale_is_alpha_over_rank():
    """One layer by hand: y = W x + b + (alpha / rank) B A x."""
    model = tiny()
    add_adapter(model, LoraSettings(rank=2, alpha=6.0, target_modules=("query",)), 1, "one")
    (name,) = target_layers(model, ("query",), 1)
    layer, x = model.get_submodule(name), torch.randn(5, 96)
    a, b = (dict(layer.named_parameters())[f"lora_{part}.one.weight"] for part in "AB")
    with torch.no_grad():
        b.normal_()
        by_hand = layer.base_layer(x) + 3.0 * x @ a.T @ b.T  # type: ignore[operator]
        assert torch.allclose(layer(x), by_hand, atol=1e-5)


def test_orthogonality_of_orthogonal_and_of_doubled_matrices():
    """0 for orthonormal rows and columns; |4 - 1| in each of 3 directions for twice as long ones: 3 sqrt 3."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft tells of `r`, which AdaLoRA does not use
        model = tiny()
        add_adapter(model, LoraSettings(rank=2, adaptive=True, target_modules=("query",)), 1, "one")
    with torch.no_grad():
        for name, p in adapter_parameters(model, "one").items():
            if "lora_A" in name or "lora_B" in name:
                p.copy_(torch.eye(*p.shape))
        assert apart_from_orthogonal(model).item() == pytest.approx(0, abs=1e-6)
        for name, p in adapter_parameters(model, "one").items():
            if "lora_A" in name or "lora_B" in name:
                p.mul_(2)
        assert apart_from_orthogonal(model).item() == pytest.approx(3 * 3**0.5, rel=1e-5)
