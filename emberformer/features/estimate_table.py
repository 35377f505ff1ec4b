"""The estimate of a feature store for people: its sizes, and the time that the backbone will take.

Time on a processor is the backbone's alone, for all else of the extraction runs beside it: measured on this machine. On
a GPU it is estimated from a sustained rate, and so is what reads and writes beside it, which may take longer there.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from emberformer.errors import InputError
from emberformer.features.architectures import untrained
from emberformer.features.backbone import load_backbone
from emberformer.features.estimate import Contents, Transformer, break_even_epochs, estimate, grid_of
from emberformer.features.extraction import BATCH_TOKENS, images_at_once
from emberformer.features.families import prefix_tokens
from emberformer.features.rendering import pixels_per_patch
from emberformer.settings import FeatureSettings, expand

# Measured on one H100 with dinov2-small in bfloat16 and frames of 224 x 224 pixels (`python -m benchmarks --only gpu`):
# 12,087 images a second of 12.17 GFLOP by the backbone alone, and 2,372 through reading, rendering and writing.
GPU_TFLOPS = 147.0
JOB_PIXELS = 2372 * 224**2  # a second
FORWARDS, SECONDS = 3, 2.0  # least number of measured forwards, and least time that they take
# Names on the Hub whose sizes are known without asking it.
ON_THE_HUB = {
    "facebook/dinov2-small": "dinov2-small",
    "facebook/dinov2-base": "dinov2-base",
    "facebook/dinov2-large": "dinov2-large",
    "facebook/dinov2-with-registers-small": "dinov2-small-registers",
    "facebook/dinov2-with-registers-base": "dinov2-base-registers",
    "facebook/dinov2-with-registers-large": "dinov2-large-registers",
    "facebook/dinov3-vits16-pretrain-lvd1689m": "dinov3-small",
    "facebook/dinov3-vitb16-pretrain-lvd1689m": "dinov3-base",
}


def changed_features(settings: FeatureSettings, changes: Mapping[str, object]) -> FeatureSettings:
    """Settings with other values of some keys; an architecture stands for the sizes of its weights.

    Raises:
        InputError: a value that does not fit.
    """
    content = {**settings.model_dump(), **changes, **({"weights": "random"} if "architecture" in changes else {})}
    try:
        return FeatureSettings.model_validate(content)
    except ValidationError as error:
        told = "; ".join(f"--{e['loc'][0]}: {e['msg']} (got {e['input']!r:.80})" for e in error.errors())
        raise InputError(
            "features estimate", told, "values as in config/config.schema.json", "correct the named options"
        ) from error


def transformer_of(settings: FeatureSettings) -> Transformer:
    """Sizes of the backbone that the settings name, without its weights.

    Raises:
        InputError: the weights' sizes are not known and cannot be had.
    """
    from transformers import AutoConfig

    config: Any
    if name := architecture_of(settings):
        with torch.device("meta"):
            config = untrained(name, 0).config
    else:
        try:
            config = AutoConfig.from_pretrained(str(expand(Path(settings.weights))), revision=settings.revision)
        except (OSError, ValueError) as error:
            raise InputError(
                f"features.weights: {settings.weights}", f"no sizes there ({str(error).splitlines()[0]:.120})",
                "a name or a folder with a config.json", "give --architecture, which knows the sizes",
            ) from error  # fmt: skip
    config = getattr(config, "vision_config", config)
    return Transformer(config.hidden_size, config.num_hidden_layers, config.patch_size, prefix_tokens(config))


def architecture_of(settings: FeatureSettings) -> str | None:
    """Name of the architecture where it is known without looking at the weights."""
    return settings.architecture if settings.weights == "random" else ON_THE_HUB.get(settings.weights)


def image_seconds(settings: FeatureSettings, grid: tuple[int, int], device: torch.device) -> float:
    """Seconds that the backbone takes for an image on this machine, measured now on a few batches.

    Known architectures run with random weights, which take as long as any others.

    Raises:
        InputError: a backbone that cannot be had.
    """
    if name := architecture_of(settings):
        settings = changed_features(settings, {"architecture": name})
    backbone = load_backbone(settings, device)
    side = backbone.patch_size
    batch = images_at_once(BATCH_TOKENS[device.type], grid, backbone.prefix_tokens)
    images = torch.zeros(batch, 1, grid[0] * side, grid[1] * side, device=device)
    times: list[float] = []
    with torch.inference_mode():
        backbone.encode(images).cls.cpu()
        while len(times) < FORWARDS or sum(times) < SECONDS:
            begin = time.perf_counter()
            backbone.encode(images).cls.cpu()  # asking for the result waits for it
            times.append(time.perf_counter() - begin)
    return statistics.median(times) / batch


def alternatives(settings: FeatureSettings) -> list[tuple[str, int | None]]:
    """Ways of storing tokens worth comparing, the chosen one first: type and number of components."""
    chosen = (settings.dtype, settings.components)
    return [chosen, *(other for other in (("float16", None), ("int8", None), ("int8", 128)) if other != chosen)]


def describe(
    contents: Contents, settings: FeatureSettings, history: int, gpu_tflops: float, device: torch.device | None
) -> list[tuple[str, str, str]]:
    """The estimate for people: rows of a name, a figure, and what it rests on.

    Args:
        contents: what the data set holds.
        settings: of the features.
        history: newest frames that the network sees, T.
        gpu_tflops: sustained rate of a GPU in 10^12 floating point operations a second.
        device: where the backbone's speed is measured; None: not at all.

    Raises:
        InputError: a backbone whose sizes cannot be had, or a scale that does not fit its patches.
    """
    transformer = transformer_of(settings)
    grid = grid_of(contents, transformer, settings.scale)
    layers = len(settings.layers)
    costs = {way: estimate(contents, transformer, grid, *way, layers) for way in alternatives(settings)}
    chosen = next(iter(costs.values()))
    flop = f"{chosen.flop:.3g} FLOP in all"
    pixels = pixels_per_patch(transformer.patch_size, settings.scale)
    padded = f"{contents.height} x {contents.width} pixels, padded to {grid[0] * pixels} x {grid[1] * pixels}"
    terrain = f"{contents.terrain_windows:,} terrain windows of {contents.terrain_images} images"
    rows = [
        ("images to encode", f"{chosen.images:,}", f"{contents.unique_frames:,} of {contents.frames:,} frames, the "
         f"others repeat one of them; {terrain if contents.terrain_channels else 'no terrain'}"),
        ("tokens an image", f"{chosen.tokens:,}", f"{grid[0]} x {grid[1]} patches of {padded}; and CLS"),
        *((f"store, {dtype}" + (f", {k} components" if k else ""), _bytes(cost.store_bytes),
           f"{cost.token_bytes} bytes a patch token" + (", as set" if cost is chosen else ""))
          for (dtype, k), cost in costs.items()),
        ("files", f"{chosen.files:,}", "blocks; a few dozen small files beside them"),
        ("arithmetic an image", f"{chosen.image_flop / 1e9:.4g} GFLOP", flop),
    ]  # fmt: skip
    if device is not None:
        seconds = image_seconds(settings, grid, device)
        rows.append(("time on this machine", _duration(seconds * chosen.images),
                     f"{1 / seconds:.3g} images/s, the backbone alone, measured now ({_machine(device)})"))  # fmt: skip
    seconds, beside = chosen.flop / (gpu_tflops * 1e12), chosen.images * contents.height * contents.width / JOB_PIXELS
    rows += [
        ("time on a GPU", _duration(seconds), f"the backbone alone, if it sustains {gpu_tflops:g} TFLOP/s"),
        ("reading and writing there", _duration(beside),
         "by one job, if it is as fast as beside an H100; jobs of several shards share it"),
        ("paid for after", f"{break_even_epochs(contents, history):.2f} epochs",
         f"of training that would run the backbone in every step, over a history of {history} frames"),
    ]  # fmt: skip
    return rows


def _bytes(number: float) -> str:
    """Decimal units.

    >>> _bytes(399.36e9), _bytes(1344)
    ('399.4 GB', '1.3 kB')
    """
    power = min(4, max(0, int(math.log10(max(number, 1)) // 3)))
    return f"{number / 1000**power:.1f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def _duration(seconds: float) -> str:
    """Seconds, minutes or hours.

    >>> _duration(30), _duration(5400), _duration(0.2)
    ('30 s', '1.5 h', '0.2 s')
    """
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU threads"
