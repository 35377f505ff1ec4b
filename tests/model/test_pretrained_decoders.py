"""Published weights in decoders: just the decoder's part is read, and what does not fit is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    Dinov2Config,
    Dinov2Model,
    ResNetConfig,
    ResNetModel,
    SegformerConfig,
    SegformerForImageClassification,
)

from emberformer.errors import InputError
from emberformer.model.decoders.build import build_decoder
from emberformer.model.decoders.pretrained import PretrainedDecoder, architecture, load_decoder_weights
from emberformer.model_settings import ModelSettings
from emberformer.training_settings import DistillationSettings
from tests.model.published_models import RESNET, SEGFORMER, published


def decoder_from(kind: str, folder, **changes) -> PretrainedDecoder:
    content = {"decoder": kind, "d_model": 16, "decoder_channels": 16, "decoder_weights": str(folder), **changes}
    settings = ModelSettings.model_validate(content)
    decoder = build_decoder(settings, 12, 0, architecture(settings))
    assert isinstance(decoder, PretrainedDecoder)
    load_decoder_weights(decoder, str(folder))
    return decoder


@pytest.mark.parametrize("kind", ["segformer", "resnet_unet", "sam"])
def test_the_part_is_the_published_models(kind, tmp_path):
    model = published(kind)
    model.save_pretrained(tmp_path)  # type: ignore[operator]
    decoder = decoder_from(kind, tmp_path).eval()
    theirs = {name.removeprefix("resnet."): value for name, value in model.state_dict().items()}
    own = decoder.part.state_dict()
    assert len(own) > 10
    assert all(torch.equal(value, theirs[name]) for name, value in own.items())
    with torch.no_grad():
        features, logits = decoder(torch.randn(1, 3, 2, 16))
    assert features.shape == (1, decoder.channels, 3 * decoder.finer, 2 * decoder.finer)
    assert logits.isfinite().all()


def test_a_resnet_without_classes_serves_too(tmp_path):
    model = ResNetModel(ResNetConfig(**RESNET))
    model.save_pretrained(tmp_path)
    own = decoder_from("resnet_unet", tmp_path).part.state_dict()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in own.items())


def test_segformers_published_names_are_understood(tmp_path):
    """The Hub's files call the projections linear_c, whatever the library calls them."""
    published("segformer").save_pretrained(tmp_path)  # type: ignore[operator]
    state = load_file(tmp_path / "model.safetensors")
    renamed = {name.replace("linear_projections", "linear_c"): value for name, value in state.items()}
    assert "decode_head.linear_c.0.proj.weight" in renamed
    save_file(renamed, tmp_path / "model.safetensors", {"format": "pt"})
    part = decoder_from("segformer", tmp_path).part.state_dict()
    first = next(value for name, value in part.items() if name.endswith("0.proj.weight"))
    assert torch.equal(first, renamed["decode_head.linear_c.0.proj.weight"])


def test_published_norms_stay_and_untrained_ones_are_of_groups(tmp_path):
    published("resnet_unet").save_pretrained(tmp_path)  # type: ignore[operator]
    begun = decoder_from("resnet_unet", tmp_path)
    untrained = build_decoder(ModelSettings(decoder="resnet_unet", d_model=16, decoder_channels=16), 12, 0)
    for decoder, kind in ((begun, torch.nn.BatchNorm2d), (untrained, torch.nn.GroupNorm)):
        assert isinstance(decoder, PretrainedDecoder)
        norms = [m for m in decoder.part.modules() if isinstance(m, torch.nn.BatchNorm2d | torch.nn.GroupNorm)]
        assert {type(norm) for norm in norms} == {kind}


def test_what_cannot_be_had_or_does_not_fit_is_refused(tmp_path):
    with pytest.raises(InputError, match="no weights that fit"):
        decoder_from("sam", tmp_path / "nothing" / "there")
    Dinov2Model(Dinov2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(
        tmp_path / "other"
    )
    with pytest.raises(InputError, match="type dinov2"):
        decoder_from("sam", tmp_path / "other")
    SegformerForImageClassification(SegformerConfig(**SEGFORMER)).save_pretrained(tmp_path / "encoder")
    with pytest.raises(InputError, match="decode_head"):
        decoder_from("segformer", tmp_path / "encoder")
    model, folder = published("resnet_unet"), tmp_path / "shapes"
    model.save_pretrained(folder)  # type: ignore[operator]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_sizes": [8, 8, 16, 24]}))
    with pytest.raises(InputError, match="no weights that fit"):
        decoder_from("resnet_unet", folder)
    (folder / "model.safetensors").write_bytes(b"no such thing")
    with pytest.raises(InputError, match="no weights that fit"):
        decoder_from("resnet_unet", folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"decoder": "unet", "decoder_weights": "facebook/sam-vit-base"},
        {"decoder": "sam", "decoder_freeze_epochs": 2},
        {"decoder": "fpn", "fire": "stem"},
    ],
)
def test_settings_that_would_do_nothing_are_refused(changes):
    with pytest.raises(ValueError, match="decoder"):
        ModelSettings.model_validate(changes)


def test_a_student_with_published_weights_is_refused():
    with pytest.raises(ValueError, match="begins untrained"):
        DistillationSettings.model_validate({"model": {"decoder": "sam", "decoder_weights": "facebook/sam-vit-base"}})
