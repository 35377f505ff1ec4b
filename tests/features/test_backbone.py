"""Backbone: seeded, frozen, read from a folder; registers do not shift the patches; blocks are counted from 1."""

import shutil
import subprocess
import sys
from typing import get_args

import pytest
import torch
from transformers import (
    Dinov2Model,
    DINOv3ViTModel,
    PreTrainedModel,
    SamVisionConfig,
    SamVisionModel,
)

from emberformer.arithmetic import lacks_bfloat16
from emberformer.errors import InputError
from emberformer.features.architectures import ARCHITECTURES, untrained
from emberformer.features.backbone import hash_weights, load_backbone
from emberformer.features.families import Family
from emberformer.features.patch_embedding import folded
from emberformer.features.rendering import dino_input
from emberformer.settings import FeatureSettings
from tests.features.small_backbones import TINY, normalised, small_model


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
    tokens = backbone.encode(dino_input(torch.rand(2, 30, 50), backbone.patch_size, 1.0))
    assert tokens.cls.shape == (2, 96)
    assert tokens.patches.shape == (2, 3, 4, 96)
    assert tokens.layers.shape == (2, 0, 3, 4, 96)
    assert tokens.layers_prefix.shape == (2, 0, 1, 96)
    assert backbone.licence == "none (untrained)"


def test_a_bright_patch_is_found_where_it_is():
    backbone = load_backbone(TINY)
    dark, lit = torch.zeros(1, 56, 70), torch.zeros(1, 56, 70)
    lit[:, 14:28, 42:56] = 1
    before = backbone.encode(dino_input(dark, 14, 1.0)).patches
    after = backbone.encode(dino_input(lit, 14, 1.0)).patches
    change = (after - before)[0].norm(dim=-1)
    assert divmod(int(change.argmax()), change.shape[1]) == (1, 3)


def test_grey_images_give_the_tokens_of_three_normalised_channels():
    original = untrained("dinov2-tiny", 0).eval()
    backbone = load_backbone(TINY)
    images = dino_input(torch.rand(3, 40, 61), 14, 1.0)
    with torch.inference_mode():
        expected = original(normalised(images)).last_hidden_state
        tokens = backbone.encode(images)
    assert (tokens.cls - expected[:, 0]).abs().max() < 1e-5
    assert (tokens.patches.flatten(1, 2) - expected[:, 1:]).abs().max() < 1e-5
    assert backbone.weights_sha256 == hash_weights(original)


def test_folding_by_hand():
    """Patches of one pixel, weights 1, 2, 3, bias 0.5: the sum of weight * (grey - mean) / deviation, plus 0.5."""
    projection = torch.nn.Conv2d(3, 1, 1)
    projection.weight.data = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    projection.bias = torch.nn.Parameter(torch.tensor([0.5]))
    bright = 0.515 / 0.229 + 2 * 0.544 / 0.224 + 3 * 0.594 / 0.225 + 0.5
    dark = -0.485 / 0.229 - 2 * 0.456 / 0.224 - 3 * 0.406 / 0.225 + 0.5
    grey = folded(projection, Family())(torch.tensor([[[[1.0, 0.0]]]]))
    assert grey.flatten().tolist() == pytest.approx([bright, dark], abs=1e-5)


@pytest.mark.parametrize("family", ["dinov2_with_registers", "dinov3_vit"])
def test_a_saved_folder_gives_its_tokens_without_the_registers(family, tmp_path):
    model = small_model(family)
    model.save_pretrained(tmp_path / "mine")
    settings = FeatureSettings(weights=str(tmp_path / "mine"), precision="float32", layers=(1, 2))
    backbone = load_backbone(settings)
    assert (backbone.prefix_tokens, backbone.features, backbone.name) == (5, 48, "mine")
    assert (backbone.weights_sha256, backbone.licence) == (hash_weights(model), "see the model card")
    side = backbone.patch_size
    images = dino_input(torch.rand(2, 2 * side, 3 * side), side, 1.0)
    with torch.inference_mode():
        expected = model(normalised(images), output_hidden_states=True)
        tokens = backbone.encode(images)
    assert (tokens.patches.flatten(1, 2) - expected.last_hidden_state[:, 5:]).abs().max() < 1e-5
    for place, number in enumerate(settings.layers):
        after = expected.hidden_states[number]
        assert (tokens.layers[:, place].flatten(1, 2) - after[:, 5:]).abs().max() < 1e-5
        assert (tokens.layers_prefix[:, place] - after[:, :5]).abs().max() < 1e-5


def test_the_last_block_stands_before_the_final_norm():
    backbone = load_backbone(TINY.model_copy(update={"layers": (2, 4)}))
    assert isinstance(backbone.model, Dinov2Model)
    with torch.inference_mode():
        tokens = backbone.encode(torch.rand(2, 1, 28, 42))
        finished = backbone.model.layernorm(tokens.layers[:, 1])
    assert (finished - tokens.patches).abs().max() < 1e-6
    assert (tokens.layers[:, 0] - tokens.layers[:, 1]).abs().max() > 1e-3


def test_a_block_that_is_not_there():
    with pytest.raises(InputError, match="blocks from 1 to 4"):
        load_backbone(TINY.model_copy(update={"layers": (5,)}))


def test_tokens_pass_gradients_once_a_parameter_is_trained():
    backbone = load_backbone(TINY.model_copy(update={"layers": (1,)}))
    images = torch.rand(2, 1, 28, 28)
    frozen = backbone.encode(images)
    backbone.model.requires_grad_(True)
    tokens = backbone.encode(images)
    (tokens.patches.square().mean() + tokens.layers.square().mean()).backward()
    assert torch.equal(frozen.patches, tokens.patches.detach())
    projections = [m for m in backbone.model.modules() if isinstance(m, torch.nn.Conv2d)]
    assert projections[0].weight.grad is not None
    assert projections[0].weight.grad.abs().max() > 0


def test_settings_name_every_architecture():
    assert set(get_args(FeatureSettings.model_fields["architecture"].annotation)) == set(ARCHITECTURES)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_every_architecture_has_the_published_shape(architecture):
    """Without memory for the weights; parameters in millions: table 1 of arXiv:2304.07193 and of arXiv:2508.10104."""
    with torch.device("meta"):
        model = untrained(architecture, 0)
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    published = {"tiny": 0.64, "small": 22, "base": 86, "large": 304}[architecture.split("-")[1]]
    assert millions == pytest.approx(published, rel=0.05)
    assert isinstance(model, PreTrainedModel)
    assert model.config.patch_size == (14 if architecture.startswith("dinov2") else 16)
    registers = architecture.startswith("dinov3") or architecture.endswith("registers")
    assert getattr(model.config, "num_register_tokens", 0) == (4 if registers else 0)


@pytest.mark.parametrize("architecture", ["dinov2-small-registers", "dinov3-small"])
def test_untrained_relatives_are_reached_by_configuration(architecture):
    backbone = load_backbone(FeatureSettings(weights="random", architecture=architecture, layers=(6, 12)))
    side = backbone.patch_size
    with torch.inference_mode():
        tokens = backbone.encode(torch.rand(1, 1, 2 * side, 3 * side))
    assert tokens.patches.shape == (1, 2, 3, 384)
    assert tokens.layers_prefix.shape == (1, 2, 5, 384)
    assert tokens.patches.isfinite().all()


def test_bfloat16_is_near_float32():
    settings = TINY.model_copy(update={"layers": (4,)})
    exact, rounded = load_backbone(settings), load_backbone(settings.model_copy(update={"precision": "bfloat16"}))
    images = torch.rand(2, 1, 56, 56).round()
    with torch.inference_mode():
        expected, tokens = exact.encode(images), rounded.encode(images)
    assert tokens.patches.dtype == tokens.layers.dtype == torch.float32
    difference = (tokens.patches - expected.patches).norm() / expected.patches.norm()
    assert difference < 0.01
    assert (difference == 0) == lacks_bfloat16("cpu")


def test_float16_is_for_cuda():
    with pytest.raises(InputError, match="float16 on cpu"):
        load_backbone(TINY.model_copy(update={"precision": "float16"}))


def test_layers_rise():
    for layers in [(0,), (2, 1), (3, 3)]:
        with pytest.raises(ValueError, match="layers"):
            FeatureSettings(layers=layers)


def test_weights_that_are_nowhere_are_no_random_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="weights: random"):
        load_backbone(FeatureSettings(weights=str(tmp_path / "nothing-here")))


def test_a_damaged_file_of_weights_is_named(tmp_path):
    small_model("dinov3_vit").save_pretrained(tmp_path / "mine")
    weights = tmp_path / "mine" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(InputError, match="mine"):
        load_backbone(FeatureSettings(weights=str(tmp_path / "mine")))


def test_other_families_are_refused(tmp_path):
    """SAM's encoder is of one image size and has no CLS token."""
    config = SamVisionConfig(
        hidden_size=32, mlp_dim=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16
    )
    SamVisionModel(config).save_pretrained(tmp_path / "sam")
    with pytest.raises(InputError, match="SamVisionModel"):
        load_backbone(FeatureSettings(weights=str(tmp_path / "sam")))


def test_a_grey_backbone_is_not_folded_twice(tmp_path):
    model = small_model("dinov3_vit")
    model.save_pretrained(tmp_path / "three")
    grey = load_backbone(FeatureSettings(weights=str(tmp_path / "three"))).model
    assert isinstance(grey, DINOv3ViTModel)
    grey.save_pretrained(tmp_path / "one")
    with pytest.raises(InputError, match="three-channel"):
        load_backbone(FeatureSettings(weights=str(tmp_path / "one")))


def test_hash_sees_one_changed_number():
    backbone = load_backbone(TINY)
    before = hash_weights(backbone.model)
    next(backbone.model.parameters()).data.view(-1)[0] += 1e-3
    assert hash_weights(backbone.model) != before


COMPILED = """
import torch
from emberformer.features.backbone import load_backbone
from emberformer.settings import FeatureSettings

settings = FeatureSettings(weights="random", architecture="dinov2-tiny", precision="float32", layers=(1, 4))
plain, compiled = load_backbone(settings), load_backbone(settings, torch.device("cpu"), compile=True)
assert type(plain.outputs) is not type(compiled.outputs)
with torch.inference_mode():
    images = torch.rand(2, 1, 28, 42)
    expected, tokens = plain.encode(images), compiled.encode(images)
assert (tokens.patches - expected.patches).abs().max() < 1e-4
assert (tokens.layers - expected.layers).abs().max() < 1e-4
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")
def test_a_compiled_backbone_gives_the_same_tokens():
    """In a process without the checks of signatures, which torch.compile cannot trace."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
