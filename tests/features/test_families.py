"""Backbones beside DINO: the tokens of the published models, in their order and for any size of image."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    CLIPVisionModel,
    ViTMAEConfig,
    ViTMAEForPreTraining,
    ViTMAEModel,
)

from emberformer.errors import InputError
from emberformer.features.backbone import load_backbone
from emberformer.features.begun import store_identity
from emberformer.features.blocks import block_arguments, blocks_of, embed, final_norm
from emberformer.features.families import FAMILIES
from emberformer.settings import FeatureSettings
from tests.small_fires import small_fires

SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip


def small(family):
    """What is published under a name on the Hub: MAE with its decoder, CLIP with its text encoder."""
    torch.manual_seed(3)
    if family == "vit_mae":
        decoder: dict[str, Any] = {f"decoder_{name}": 16 for name in ("hidden_size", "intermediate_size")}
        return ViTMAEForPreTraining(ViTMAEConfig(**SIZES, **decoder, decoder_num_hidden_layers=1))
    text: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 9}
    text = CLIPTextConfig(**text, num_attention_heads=2).to_dict()
    return CLIPModel(CLIPConfig(text_config=text, vision_config=CLIPVisionConfig(**SIZES).to_dict()))


def published_tokens(model, images):
    """By the published model's own forward pass: images normalised as it was trained, no patch masked."""
    family = FAMILIES["vit_mae" if isinstance(model, ViTMAEForPreTraining) else "clip_vision_model"]
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (family.mean, family.deviation))
    shown = (images.expand(-1, 3, -1, -1) - mean) / deviation
    if isinstance(model, ViTMAEForPreTraining):
        inner = model.vit.eval()
        inner.config.mask_ratio = 0.0
        order = torch.arange(images.shape[2] * images.shape[3] // 64).float().expand(len(images), -1)
        return inner(shown, noise=order, interpolate_pos_encoding=True).last_hidden_state
    inner = model.vision_model.eval()
    return inner.post_layernorm(inner(shown, interpolate_pos_encoding=True).last_hidden_state)


@pytest.mark.parametrize("family", ["vit_mae", "clip"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_a_published_model_gives_its_tokens_for_any_size(family, size, tmp_path):
    model = small(family)
    model.save_pretrained(tmp_path / "mine")
    settings = FeatureSettings(weights=str(tmp_path / "mine"), precision="float32", layers=(1, 2))
    backbone = load_backbone(settings)
    assert isinstance(backbone.model, ViTMAEModel | CLIPVisionModel)
    assert (backbone.patch_size, backbone.prefix_tokens, backbone.features) == (8, 1, 32)
    images = torch.rand(2, 1, *size)
    with torch.inference_mode():
        expected, tokens = published_tokens(model, images), backbone.encode(images)
        again = backbone.encode(images)
        assert (tokens.patches.flatten(1, 2) - expected[:, 1:]).abs().max() < 2e-5
        assert (tokens.cls - expected[:, 0]).abs().max() < 2e-5
        assert torch.equal(tokens.patches, again.patches)  # nothing is shuffled or masked by chance
        normed = final_norm(backbone.model)(tokens.layers[:, 1])
        assert (normed - tokens.patches).abs().max() < 1e-6
        hidden = embed(backbone.model, images)  # as phases 2 and 3 go through the blocks
        for block in blocks_of(backbone.model):
            hidden = block(hidden, **block_arguments(backbone.model, (size[0] // 8, size[1] // 8), 8, images))
        assert (final_norm(backbone.model)(hidden)[:, 1:] - tokens.patches.flatten(1, 2)).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["vit_mae", "clip"])
def test_a_bright_patch_is_found_where_it_is(family, tmp_path):
    small(family).save_pretrained(tmp_path / "mine")
    backbone = load_backbone(FeatureSettings(weights=str(tmp_path / "mine"), precision="float32"))
    dark = torch.zeros(1, 1, 24, 40)
    lit = dark.clone()
    lit[:, :, 8:16, 24:32] = 1
    change = (backbone.encode(lit).patches - backbone.encode(dark).patches)[0].norm(dim=-1)
    assert divmod(int(change.argmax()), 5) == (1, 3)


@pytest.mark.parametrize(("family", "named"), [("vit_mae", "ImageNet"), ("clip", "CLIP")])
def test_a_store_says_whose_normalisation_its_images_passed(family, named, tmp_path):
    small(family).save_pretrained(tmp_path / "mine")
    settings = FeatureSettings(weights=str(tmp_path / "mine"), precision="float32")
    fires = small_fires({"one": [np.zeros((16, 16))]}).assign_coords(band_kind=("band", ["continuous"]))
    told = store_identity(settings, load_backbone(settings), fires)["rendering"]
    assert told == f"bands, {named} normalisation; emberformer.features.rendering"


def test_openvino_is_for_dino(tmp_path):
    small("clip").save_pretrained(tmp_path / "mine")
    with pytest.raises(InputError, match="openvino with a CLIPVisionModel"):
        load_backbone(FeatureSettings(weights=str(tmp_path / "mine"), runtime="openvino"))
