"""The frozen backbone: DINOv2, DINOv3, MAE or CLIP by name, from a local folder, or untrained with a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from emberformer.arithmetic import autocast
from emberformer.errors import InputError
from emberformer.features.architectures import untrained
from emberformer.features.blocks import blocks_of, final_norm
from emberformer.features.families import DINO, FAMILIES, call_arguments, family_of, prefix_tokens, vision_part
from emberformer.features.openvino_runtime import OpenVinoRuntime
from emberformer.features.patch_embedding import fold_colour, fold_grey
from emberformer.settings import FeatureSettings, expand

CPU = torch.device("cpu")
LICENCES = {"facebook/dinov2-": "Apache-2.0", "facebook/dinov3-": "DINOv3 licence"}


@dataclass(frozen=True)
class Tokens:
    """What the backbone says of a batch of images; float32, without unit.

    Args:
        patches: patch tokens after the final LayerNorm.
        cls: CLS token after the final LayerNorm.
        layers: patch tokens after each chosen block, before the final LayerNorm; L may be 0.
        layers_prefix: the tokens before the patches after the same blocks: CLS, then registers.
    """

    patches: Float[Tensor, "B Gy Gx D"]
    cls: Float[Tensor, "B D"]
    layers: Float[Tensor, "B L Gy Gx D"]
    layers_prefix: Float[Tensor, "B L R D"]


class BlockOutputs(nn.Module):
    """A transformer that gives its last tokens and those after chosen blocks.

    Args:
        model: transformers model.
        layers: numbers of blocks, from 1.

    Raises:
        InputError: there is no such block.
    """

    def __init__(self, model: nn.Module, layers: tuple[int, ...]):
        super().__init__()
        self.model, self.layers, self.normed = model, layers, family_of(model).normed
        self._after: dict[int, Tensor] = {}
        blocks = blocks_of(model)
        if layers and max(layers) > len(blocks):
            raise InputError(
                "features.layers", f"block {max(layers)}", f"blocks from 1 to {len(blocks)}", "leave the others out"
            )
        for number in layers:
            blocks[number - 1].register_forward_hook(self._keep(number))

    def _keep(self, number: int):
        def keep(block: nn.Module, inputs: tuple, output: Tensor) -> None:
            self._after[number] = output

        return keep

    def forward(self, images: Float[Tensor, "B c h w"]) -> tuple[Tensor, ...]:
        """All tokens [B N D]: the last, after the final LayerNorm, then those after each chosen block."""
        last = self.model(images, **call_arguments(self.model, images)).last_hidden_state
        last = last if self.normed else final_norm(self.model)(last)
        chosen = tuple(self._after.pop(number) for number in self.layers)
        return (last, *chosen)


@dataclass(frozen=True)
class Backbone:
    """A vision transformer, frozen when loaded, and what must be known of it.

    Args:
        model: transformers model in evaluation mode, whose patch embedding takes images in [0, 1].
        channels: of these images: 1, grey, or 3.
        patch_size: side of a patch in the model's own pixels.
        features: length of a token, D.
        prefix_tokens: tokens before the patches: CLS and registers, R.
        weights_sha256: hash of all parameters as they were published, before the patch embedding was folded.
        name: what is written into the store.
        licence: of the weights.
        precision: `FeatureSettings.precision`.
        outputs: the model with its chosen blocks, compiled where that was asked for.
        openvino: what runs the frozen model instead of torch, or None.
    """

    model: nn.Module
    channels: int
    patch_size: int
    features: int
    prefix_tokens: int
    weights_sha256: str
    name: str
    licence: str
    precision: str
    outputs: Callable[[Tensor], tuple[Tensor, ...]]
    openvino: OpenVinoRuntime | None = None

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.model.parameters()).device

    def in_channels(self, images: Float[Tensor, "B c h w"]) -> Float[Tensor, "B C h w"]:
        """Images with the channels that the patch embedding takes: grey is repeated."""
        return images.expand(-1, self.channels, -1, -1)

    def encode(self, images: Float[Tensor, "B c h w"]) -> Tokens:
        """Tokens of images in [0, 1] (see `dino_input`), grey or as `channels` says, on the backbone's device.

        OpenVINO runs only what is frozen: its copy of the weights knows nothing of a parameter that is being trained.
        """
        images = self.in_channels(images.to(self.device))
        last, *chosen = self._all_tokens(images)
        grid = (images.shape[2] // self.patch_size, images.shape[3] // self.patch_size)
        layers = torch.stack(chosen, 1).float() if chosen else last.new_zeros((len(last), 0, *last.shape[1:])).float()
        return Tokens(
            patches=last[:, self.prefix_tokens :].unflatten(1, grid).float(),
            cls=last[:, 0].float(),
            layers=layers[:, :, self.prefix_tokens :].unflatten(2, grid),
            layers_prefix=layers[:, :, : self.prefix_tokens],
        )

    def _all_tokens(self, images: Tensor) -> tuple[Tensor, ...]:
        frozen = not (images.requires_grad or any(p.requires_grad for p in self.model.parameters()))
        if self.openvino is not None and frozen:
            return self.openvino.run(images)
        with autocast(self.precision, images.device):
            return self.outputs(images)


def load_backbone(settings: FeatureSettings, device: torch.device = CPU, compile: bool = False) -> Backbone:
    """Load the backbone that the settings name, in evaluation mode and without gradients.

    Args:
        settings: what decides the numbers.
        device: where the parameters go.
        compile: pass the model through `torch.compile` (not with OpenVINO, which compiles anyway).

    Raises:
        InputError: the weights cannot be had, are of a model that EmberFormer cannot read, or the device cannot
            compute in the precision or runtime that is asked for.
    """
    _check_device(settings, device)
    model, name, licence = _load_model(settings)
    config = model.config
    if config.model_type not in FAMILIES or not isinstance(config.patch_size, int):
        raise InputError(
            f"features.weights: {settings.weights}", f"a {type(model).__name__}",
            "a vision transformer of DINOv2 (with or without registers), DINOv3, MAE or CLIP",
            "choose another backbone",
        )  # fmt: skip
    if settings.runtime == "openvino" and config.model_type not in DINO:
        raise InputError(
            "features.runtime", f"openvino with a {type(model).__name__}", "a DINO backbone", "use `runtime: torch`"
        )
    weights_sha256 = hash_weights(model)
    model.float()
    if family_of(model).shuffles:
        config.mask_ratio = 0.0  # all patches are seen
    grey = settings.channel_map == "bands"
    (fold_grey if grey else fold_colour)(model)
    model.eval().requires_grad_(False).to(device)
    outputs = BlockOutputs(model, settings.layers)
    return Backbone(
        model=model,
        channels=1 if grey else 3,
        patch_size=config.patch_size,
        features=config.hidden_size,
        prefix_tokens=prefix_tokens(config),
        weights_sha256=weights_sha256,
        name=name,
        licence=licence,
        precision=settings.precision,
        outputs=torch.compile(outputs) if compile and settings.runtime == "torch" else outputs,
        openvino=OpenVinoRuntime(outputs, settings.precision) if settings.runtime == "openvino" else None,
    )


def require_weights(made_with: str, now: str, name: str, where: Path | str) -> None:
    """Refuse a backbone whose weights are others than those that something was made with, whatever its name.

    Args:
        made_with: SHA-256 of the weights then.
        now: of those at hand.
        name: of the backbone at hand.
        where: file that the first hash stands in, for the message.

    Raises:
        InputError: they differ.
    """
    if made_with != now:
        raise InputError(
            where, f"made with weights of SHA-256 {made_with[:12]}…", f"the weights of {name}, {now[:12]}…",
            "bring back those weights (`features.weights` and `revision`; for random ones the versions of torch and "
            "transformers), or extract the features and train again",
        )  # fmt: skip


def _check_device(settings: FeatureSettings, device: torch.device) -> None:
    if settings.precision == "float16" and device.type != "cuda":
        raise InputError(
            "features.precision", f"float16 on {device.type}", "a CUDA device, as CPUs have no fast float16",
            "use bfloat16 or float32",
        )  # fmt: skip
    if settings.runtime == "openvino" and device.type != "cpu":
        raise InputError(
            "features.runtime", f"openvino on {device.type}", "the CPU", "use `runtime: torch`, or the device cpu"
        )


def _load_model(settings: FeatureSettings) -> tuple[Any, str, str]:
    """Model, name and licence of the weights."""
    if settings.weights == "random":
        name = f"{settings.architecture} (random weights, seed {settings.seed})"
        return untrained(settings.architecture, settings.seed), name, "none (untrained)"
    from transformers import AutoModel

    folder = expand(Path(settings.weights))
    source, name = (str(folder), folder.name) if folder.is_dir() else (settings.weights, settings.weights)
    try:
        model = AutoModel.from_pretrained(source, revision=settings.revision)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"features.weights: {settings.weights}",
            f"no weights there ({str(error).strip().splitlines()[0]:.160})",
            "a name on the Hugging Face Hub, or a folder written by `save_pretrained`",
            "go online, copy the folder here and name it, or say `weights: random` (untrained)",
        ) from error
    known = [licence for start, licence in LICENCES.items() if source.startswith(start)]
    return vision_part(model), name, known[0] if known else "see the model card"


def hash_weights(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and values of all parameters and buffers."""
    total = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        total.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        total.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
