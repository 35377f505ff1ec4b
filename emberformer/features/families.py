"""Families of vision transformers that can be the backbone, and what sets each apart.

What all have in common: square patches by one convolution, CLS and registers before the patches, blocks that keep all
tokens, a LayerNorm after them, and positions for any size of image. The encoder of SAM (Kirillov et al. 2023,
arXiv:2304.02643) is none of them: its positions are of one size, which its code insists on, it has no CLS token, and
its output has passed convolutions. It can be a decoder, see `emberformer.model.decoders`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# Mean and standard deviation of ImageNet's channels, with which DINOv2 and DINOv3 were trained
# (facebookresearch/dinov2, data/transforms.py), and MAE too (facebookresearch/mae, main_pretrain.py).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Family:
    """One family, by `model_type` of transformers.

    Args:
        mean: of the three channels, as the weights were trained with.
        deviation: likewise.
        asked_for_positions: the code of positions is interpolated only where the caller asks for it.
        shuffles: patches are shuffled to be masked, unless an order is given.
        normed: the last hidden state has passed the final LayerNorm.
        mask_argument: blocks must be told that nothing is masked.
        normalisation: whose mean and deviation these are, in a word.
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    deviation: tuple[float, float, float] = IMAGENET_STD
    asked_for_positions: bool = False
    shuffles: bool = False
    normed: bool = True
    mask_argument: bool = False
    normalisation: str = "ImageNet"


DINO = ("dinov2", "dinov2_with_registers", "dinov3_vit")
FAMILIES = {
    **dict.fromkeys(DINO, Family()),
    # He et al. 2021, arXiv:2111.06377.
    "vit_mae": Family(asked_for_positions=True, shuffles=True),
    # Radford et al. 2021, arXiv:2103.00020; mean and deviation: openai/CLIP, clip/clip.py.
    "clip_vision_model": Family(
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), asked_for_positions=True,
        normed=False, mask_argument=True, normalisation="CLIP",
    ),
}  # fmt: skip


def prefix_tokens(config: Any) -> int:
    """Tokens before the patches, CLS and registers, by a model's configuration."""
    return 1 + (getattr(config, "num_register_tokens", 0) or 0)


def family_of(model: Any) -> Family:
    """The family of a model of transformers."""
    return FAMILIES[model.config.model_type]


def vision_part(model: Any) -> Any:
    """The image encoder of a model that reads text too."""
    return model.vision_model if model.config.model_type == "clip" else model


def call_arguments(model: nn.Module, images: Tensor) -> dict[str, Any]:
    """What the model and its embeddings are told beside the images: to keep the patches as they come, of any number."""
    family, told = family_of(model), {}
    if family.asked_for_positions:
        told["interpolate_pos_encoding"] = True
    if family.shuffles:
        patch: int = model.config.patch_size  # type: ignore[union-attr, assignment]
        count = (images.shape[2] // patch) * (images.shape[3] // patch)
        told["noise"] = torch.arange(count, device=images.device, dtype=torch.float32).expand(len(images), -1)
    return told
