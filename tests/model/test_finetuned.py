"""Images to forecast: tokens as the store keeps them, zero on padding, and gradients down to the patch embedding."""

import pytest
import torch

from emberformer.features.backbone import load_backbone
from emberformer.features.encoding import Encoding
from emberformer.features.rendering import dino_input
from emberformer.model.emberformer import build_emberformer
from emberformer.model.finetuned import FinetunedEmberFormer
from emberformer.model.tuned import TunedBackbone
from emberformer.settings import FeatureSettings, ModelSettings
from emberformer.training_settings import FinetuningSettings

TINY = FeatureSettings(weights="random", architecture="dinov2-tiny", precision="float32")
HEIGHT, WIDTH, GRID = 28, 42, (2, 3)


def whole(dtype: str) -> FinetunedEmberFormer:
    torch.manual_seed(2)
    sizes = ModelSettings(
        d_model=32, layers=1, heads=4, feedforward=48, d_wind=8, decoder_channels=32, refinement_channels=8
    )
    model = build_emberformer(features=96, channels=2, pixels=14, terrain_pixels=2, category_sizes=(4,), settings=sizes)
    backbone = TunedBackbone(lambda: load_backbone(TINY))
    everything = FinetuningSettings(path="pixels", method="full", blocks=None, encoders=("fire", "terrain"))
    backbone.begin("phase2", everything)
    encoding = Encoding(dtype, torch.zeros(2, 3, 96) if dtype == "int8" else None, {})
    return FinetunedEmberFormer(model, backbone, {GRID: encoding}, 1.0, tail=False).eval()


def arrays(history: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return {
        "wind": torch.randn(1, history, 2),
        "fire_pixels": torch.rand(1, 2, HEIGHT, WIDTH).round(),
        "terrain_pixels": torch.randn(1, 2, HEIGHT, WIDTH),
        "categories": torch.randint(0, 4, (1, 1, HEIGHT, WIDTH)),
        "resolution": torch.tensor([[30.0, 1800.0]]),
        "valid_t": torch.tensor([[False, *[True] * (history - 1)]]),
    }


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_it_gives_what_the_network_makes_of_stored_tokens(dtype):
    path, others = whole(dtype), arrays(3)
    frames, terrain = torch.rand(1, 3, HEIGHT, WIDTH).round(), torch.rand(1, 2, HEIGHT, WIDTH)
    encoding, frozen = path.encodings[GRID], load_backbone(TINY)
    with torch.no_grad():
        tokens = [frozen.encode(dino_input(images[0], 14, 1.0)).patches[None] for images in (frames, terrain)]
        stored = [encoding.rounded(values, axis) for values, axis in zip(tokens, ("frame", "terrain"), strict=True)]
        stored[0][:, 0] = 0
        cached = {**others, "frame_patches": stored[0], "terrain_patches": stored[1]}
        expected = path.model(**{name: cached[name] for name in path.model.inputs})
        given = {
            **others, "frame_images": frames, "frame_row": torch.tensor([[-1, 4, 5]]), "terrain_images": terrain,
            "terrain_row": torch.tensor([[0, 1]]), "patch_index": torch.arange(6).view(1, 2, 3),
            "whole_grid": torch.tensor([GRID]),
        }  # fmt: skip
        pixels = path(**{name: given[name] for name in path.inputs})
    assert (expected - pixels).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_gradients_pass_the_rounding_to_the_patch_embedding(dtype):
    """Tokens are rounded, their gradient is not: it is what the tokens before rounding would have."""
    path, images = whole(dtype), torch.rand(2, HEIGHT, WIDTH)
    projection = next(module for module in path.backbone.modules() if isinstance(module, torch.nn.Conv2d))
    gradients, weights = [], torch.randn(2, *GRID, 96)
    for tokens in (path._stored("fire", images, GRID), path.backbone.encode("fire", images[:, None], GRID, None)):
        (gradient,) = torch.autograd.grad((tokens * weights).sum(), projection.weight)
        gradients.append(gradient)
        assert gradient.abs().max() > 0
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-5)
