"""The pixel path: tokens as the store keeps them, zero on padding, and gradients down to the patch embedding."""

import pytest
import torch

from emberformer.features.backbone import load_backbone
from emberformer.features.encoding import Encoding
from emberformer.features.rendering import dino_input
from emberformer.model.emberformer import build_emberformer
from emberformer.model.pixels import PixelEmberFormer
from emberformer.settings import FeatureSettings, ModelSettings

TINY = FeatureSettings(weights="random", architecture="dinov2-tiny", precision="float32")
HEIGHT, WIDTH = 28, 42


def whole(dtype="float16"):
    torch.manual_seed(2)
    sizes = ModelSettings(
        d_model=32, layers=1, heads=4, feedforward=48, d_wind=8, decoder_channels=32, refinement_channels=8
    )
    model = build_emberformer(
        features=96, channels=2, pixels=14, terrain_pixels=2, category_sizes=(4,), settings=sizes
    ).eval()
    blank = torch.zeros(2, 3, 96) if dtype == "int8" else None
    return PixelEmberFormer(load_backbone(TINY), model, 1.0, Encoding(dtype, blank, {}))


def rest(history):
    torch.manual_seed(3)
    return {
        "wind": torch.randn(1, history, 2),
        "fire_pixels": torch.rand(1, 2, HEIGHT, WIDTH).round(),
        "terrain_pixels": torch.randn(1, 2, HEIGHT, WIDTH),
        "categories": torch.randint(0, 4, (1, 1, HEIGHT, WIDTH)),
    }


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8"])
def test_it_gives_what_the_network_makes_of_stored_tokens(dtype):
    path, others = whole(dtype), rest(3)
    frames, terrain = torch.rand(1, 3, HEIGHT, WIDTH).round(), torch.rand(1, 2, HEIGHT, WIDTH)
    valid = torch.tensor([[False, True, True]])
    with torch.no_grad():
        tokens = [path.backbone.encode(dino_input(images[0], 14, 1.0)).patches[None] for images in (frames, terrain)]
        stored_frames, stored_terrain = (
            path.encoding.rounded(tokens[0], "frame"),
            path.encoding.rounded(tokens[1], "terrain"),
        )
        stored_frames[:, 0] = 0
        cached = path.model(frame_patches=stored_frames, terrain_patches=stored_terrain, valid_t=valid, **others)
        pixels = path(frames=frames, terrain=terrain, valid_t=valid, **others)
    assert (cached - pixels).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_gradients_reach_the_patch_embedding(dtype):
    path = whole(dtype)
    images = torch.rand(1, 2, HEIGHT, WIDTH)
    with torch.no_grad():
        frozen = path.encode(images, "frame")
    path.encoder.requires_grad_(True)
    trained = path.encode(images, "frame")
    assert (trained - frozen).abs().max() < 1e-6
    trained.square().mean().backward()
    projection = next(module for module in path.encoder.modules() if isinstance(module, torch.nn.Conv2d))
    assert projection.weight.grad is not None
    assert projection.weight.grad.abs().max() > 0
