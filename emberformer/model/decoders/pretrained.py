"""Decoders with a part of transformers': its sizes and its weights, from the Hub or from a folder."""

from __future__ import annotations

import logging
from abc import ABC
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn

from emberformer.errors import InputError
from emberformer.model.convolution import norm_of
from emberformer.model.decoders.decoder import SpatialDecoder
from emberformer.model_settings import ModelSettings
from emberformer.settings import expand

log = logging.getLogger(__name__)
FAMILY = {"segformer": "segformer", "resnet_unet": "resnet", "sam": "sam"}  # decoder -> `model_type` of transformers


class PretrainedDecoder(SpatialDecoder, ABC):
    """A decoder whose `part` can begin from published weights.

    `part` is a PreTrainedModel that holds just those modules of a published model that are used here, under their
    published names, so that no weight of the rest is ever in memory and all of it trains.

    Attributes:
        part: the modules.
        renamed: names of a published weight -> names in `part`.
    """

    part: nn.Module
    renamed: Mapping[str, str] = {}


def architecture(settings: ModelSettings) -> str | None:
    """Configuration of the model that `decoder_weights` names, as JSON; None where the decoder begins untrained.

    Raises:
        InputError: it cannot be had, or is of another family of models than the decoder.
    """
    if settings.decoder_weights == "random":
        return None
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(_source(settings.decoder_weights))
    except (OSError, ValueError, RuntimeError) as error:
        raise _not_there(settings.decoder_weights, error) from error
    if config.model_type != (family := FAMILY[settings.decoder]):
        raise InputError(
            f"model.decoder_weights: {settings.decoder_weights}", f"a model of type {config.model_type}",
            f"one of type {family}, for `decoder: {settings.decoder}`", "name other weights, or another decoder",
        )  # fmt: skip
    return config.to_json_string(use_diff=False)


def load_decoder_weights(decoder: PretrainedDecoder, weights: str) -> None:
    """Put published weights into a decoder's part; the rest of the decoder stays as it is.

    Args:
        decoder: built from `architecture` of the same weights.
        weights: a name on the Hub, or a folder of `save_pretrained`.

    Raises:
        InputError: they cannot be had, lack some of the part's weights, or have other shapes.
    """
    try:
        found, about = type(decoder.part).from_pretrained(  # type: ignore[attr-defined]
            _source(weights), key_mapping=dict(decoder.renamed), output_loading_info=True, dtype=torch.float32
        )
        missing = sorted(about["missing_keys"])
        if not missing:
            decoder.part.load_state_dict(found.state_dict())
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _not_there(weights, error) from error
    if missing:
        raise InputError(
            f"model.decoder_weights: {weights}", f"{len(missing)} weights are not there, such as {missing[0]}",
            f"all weights of {type(decoder.part).__name__}", "name a model that was published with its decoder",
        )  # fmt: skip
    log.info("decoder begins from %s: %d parameters", weights, sum(p.numel() for p in decoder.part.parameters()))


def pretrained_decoders(model: nn.Module) -> list[PretrainedDecoder]:
    """Decoders of a network that have such a part."""
    return [module for module in model.modules() if isinstance(module, PretrainedDecoder)]


def with_group_norm(module: nn.Module) -> nn.Module:
    """The module with GroupNorm in place of each BatchNorm, for parts that begin untrained."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, norm_of(child.num_features, "group"))
        else:
            with_group_norm(child)
    return module


def _source(weights: str) -> str:
    folder = expand(Path(weights))
    return str(folder) if folder.is_dir() else weights


def _not_there(weights: str, error: Exception) -> InputError:
    return InputError(
        f"model.decoder_weights: {weights}",
        f"no weights that fit there ({str(error).strip().splitlines()[0]:.160})",
        "a name on the Hugging Face Hub, or a folder written by `save_pretrained`",
        "go online, copy the folder here and name it, or say `decoder_weights: random` (untrained)",
    )
