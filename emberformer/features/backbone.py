"""The frozen backbone: DINOv2 (or a relative) by name, from a local folder, or untrained with a seed."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from emberformer.errors import InputError
from emberformer.settings import FeatureSettings, expand

# hidden size, layers, heads: facebookresearch/dinov2, hub/backbones.py; dinov2-tiny is ours, for tests and demos.
ARCHITECTURES = {
    "dinov2-tiny": (96, 4, 3),
    "dinov2-small": (384, 12, 6),
    "dinov2-base": (768, 12, 12),
    "dinov2-large": (1024, 24, 16),
}


@dataclass(frozen=True)
class Backbone:
    """A frozen vision transformer and what must be known of it.

    Args:
        model: transformers model in evaluation mode.
        patch_size: side of a patch in the model's own pixels.
        features: length of a token, D.
        prefix_tokens: tokens before the patches: CLS and registers.
        weights_sha256: hash of all parameters.
        name: what is written into the store.
    """

    model: nn.Module
    patch_size: int
    features: int
    prefix_tokens: int
    weights_sha256: str
    name: str

    def encode(
        self, images: Float[Tensor, "B 3 h w"], precision: str = "float32"
    ) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B Gy Gx D"]]:
        """CLS token and patch tokens (after the last LayerNorm) of normalised images."""
        rows, columns = images.shape[2] // self.patch_size, images.shape[3] // self.patch_size
        autocast = (
            torch.autocast(images.device.type, torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()
        )
        with autocast:
            tokens = self.model(images).last_hidden_state
        return tokens[:, 0].float(), tokens[:, self.prefix_tokens :].unflatten(1, (rows, columns)).float()


def load_backbone(settings: FeatureSettings) -> Backbone:
    """Load the backbone that the settings name, in evaluation mode and without gradients.

    Raises:
        InputError: the weights cannot be had, or are of a model that EmberFormer cannot read.
    """
    from transformers import AutoModel, Dinov2Config, Dinov2Model

    if settings.weights == "random":
        hidden, layers, heads = ARCHITECTURES[settings.architecture]
        config = Dinov2Config(
            hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, patch_size=14, image_size=518
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = Dinov2Model(config)
        name = f"{settings.architecture} (random weights, seed {settings.seed})"
    else:
        folder = expand(Path(settings.weights))
        source, name = (str(folder), folder.name) if folder.is_dir() else (settings.weights, settings.weights)
        try:
            model = AutoModel.from_pretrained(source, revision=settings.revision)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"features.weights: {settings.weights}",
                f"no weights there ({str(error).splitlines()[0]:.160})",
                "a name on the Hugging Face Hub, or a folder written by `save_pretrained`",
                "go online, copy the folder here and name it, or say `weights: random` (untrained)",
            ) from error
    config = model.config
    if not isinstance(patch_size := getattr(config, "patch_size", None), int):
        raise InputError(
            f"features.weights: {settings.weights}", f"a {type(model).__name__} without one patch size",
            "a plain vision transformer such as DINOv2", "choose another backbone",
        )  # fmt: skip
    model.eval().requires_grad_(False)
    prefix = 1 + (getattr(config, "num_register_tokens", 0) or 0)
    return Backbone(model, patch_size, config.hidden_size, prefix, hash_weights(model), name)


def hash_weights(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and values of all parameters and buffers."""
    total = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        total.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        total.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
