"""Untrained backbones: the real architectures with random weights from a seed, where no weights can be had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

Family = Literal["dinov2", "dinov2_with_registers", "dinov3_vit", "vit_mae", "clip_vision_model"]


@dataclass(frozen=True)
class Architecture:
    """Sizes of a vision transformer; an MLP is four times as wide as a token."""

    family: Family
    hidden: int
    layers: int
    heads: int


# Sizes: facebookresearch/dinov2 and facebookresearch/dinov3, hub/backbones.py; facebookresearch/mae, models_mae.py;
# CLIP: ViT-B/16 of arXiv:2103.00020, table 20; dinov2-tiny is ours.
ARCHITECTURES = {
    "dinov2-tiny": Architecture("dinov2", 96, 4, 3),
    "dinov2-small": Architecture("dinov2", 384, 12, 6),
    "dinov2-base": Architecture("dinov2", 768, 12, 12),
    "dinov2-large": Architecture("dinov2", 1024, 24, 16),
    "dinov2-small-registers": Architecture("dinov2_with_registers", 384, 12, 6),
    "dinov2-base-registers": Architecture("dinov2_with_registers", 768, 12, 12),
    "dinov2-large-registers": Architecture("dinov2_with_registers", 1024, 24, 16),
    "dinov3-small": Architecture("dinov3_vit", 384, 12, 6),
    "dinov3-base": Architecture("dinov3_vit", 768, 12, 12),
    "mae-base": Architecture("vit_mae", 768, 12, 12),
    "clip-base": Architecture("clip_vision_model", 768, 12, 12),
}


def untrained(architecture: str, seed: int) -> nn.Module:
    """A transformers model of `ARCHITECTURES` with random weights; torch's own random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _model(ARCHITECTURES[architecture])


def _model(of: Architecture) -> nn.Module:
    from transformers import (
        CLIPVisionConfig,
        CLIPVisionModel,
        Dinov2Config,
        Dinov2Model,
        Dinov2WithRegistersConfig,
        Dinov2WithRegistersModel,
        DINOv3ViTConfig,
        DINOv3ViTModel,
        ViTMAEConfig,
        ViTMAEModel,
    )

    if of.family == "dinov2":
        return Dinov2Model(
            Dinov2Config(
                hidden_size=of.hidden, num_hidden_layers=of.layers, num_attention_heads=of.heads,
                patch_size=14, image_size=518,
            )
        )  # fmt: skip
    if of.family == "dinov2_with_registers":
        return Dinov2WithRegistersModel(
            Dinov2WithRegistersConfig(
                hidden_size=of.hidden, num_hidden_layers=of.layers, num_attention_heads=of.heads,
                patch_size=14, image_size=518, num_register_tokens=4,
            )
        )  # fmt: skip
    sizes: dict[str, Any] = {
        "hidden_size": of.hidden, "num_hidden_layers": of.layers, "num_attention_heads": of.heads,
        "intermediate_size": 4 * of.hidden, "patch_size": 16, "image_size": 224,
    }  # fmt: skip
    if of.family == "vit_mae":
        return ViTMAEModel(ViTMAEConfig(**sizes))
    if of.family == "clip_vision_model":
        return CLIPVisionModel(CLIPVisionConfig(**sizes))
    return DINOv3ViTModel(DINOv3ViTConfig(**sizes, num_register_tokens=4))
