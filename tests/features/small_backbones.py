"""Small untrained backbones, and images as DINOv2 takes them."""

import torch
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel, DINOv3ViTConfig, DINOv3ViTModel

from emberformer.features.families import IMAGENET_MEAN, IMAGENET_STD
from emberformer.settings import FeatureSettings

TINY = FeatureSettings(weights="random", architecture="dinov2-tiny", precision="float32")


def small_model(family):
    torch.manual_seed(4)
    if family == "dinov2_with_registers":
        config = Dinov2WithRegistersConfig(
            hidden_size=48, num_hidden_layers=2, num_attention_heads=2, patch_size=14, image_size=56,
            num_register_tokens=4,
        )  # fmt: skip
        return Dinov2WithRegistersModel(config).eval()
    config = DINOv3ViTConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=2, patch_size=16, image_size=64,
        num_register_tokens=4, intermediate_size=96,
    )  # fmt: skip
    return DINOv3ViTModel(config).eval()


def normalised(grey):
    """Three channels as DINOv2 was trained on."""
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (grey.expand(-1, 3, -1, -1) - mean) / deviation
