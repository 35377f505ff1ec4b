"""`python -m benchmarks --only stage2`: an optimiser step on cached features, plainly written and ours.

224 x 224 pixels, 16 x 16 patches, histories of 5 frames, dinov2-small's 384 features, 6 terrain bands, no dropout.
Peak memory is the growth of a fresh process's largest resident size over one step.
"""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.plain_stage2 import PlainStage2
from benchmarks.ratios import interleaved
from emberformer.losses import SpreadLoss, open_pixels
from emberformer.model.emberformer import EmberFormer, build_emberformer
from emberformer.settings import ModelSettings
from emberformer.training_settings import LossSettings

HISTORY, GRID, PIXELS, FEATURES, BANDS, SAMPLES, REPEATS = 5, 16, 14, 384, 6, 4, 5
VARIANTS = ("plain", "float32", "bfloat16")


def make_network(reach: int | None = None) -> EmberFormer:
    """EmberFormer with 8 heads and the other sizes of `ModelSettings`, without dropout and travel time."""
    torch.manual_seed(0)
    settings = ModelSettings(heads=8, dropout=0.0, history=HISTORY, reach=reach, travel_time=False)
    return build_emberformer(
        features=FEATURES, channels=BANDS, pixels=PIXELS, terrain_pixels=8, category_sizes=(12,), settings=settings
    )


def make_batch(samples: int = SAMPLES, grid: int = GRID) -> dict[str, Tensor]:
    """Inputs as the store gives them (float16 tokens), with a fire of about 40 patches in the middle."""
    generator, side = torch.Generator().manual_seed(1), grid * PIXELS
    rows = torch.arange(side)
    fire = ((rows[:, None] - side / 2) ** 2 + (rows - side / 2) ** 2 < (3.5 * PIXELS) ** 2).float()
    return {
        "frame_patches": torch.randn(samples, HISTORY, grid, grid, FEATURES, generator=generator).half(),
        "terrain_patches": torch.randn(samples, BANDS, grid, grid, FEATURES, generator=generator).half(),
        "wind": torch.randn(samples, HISTORY, 2, generator=generator),
        "valid_t": torch.ones(samples, HISTORY, dtype=torch.bool),
        "fire_pixels": fire.expand(samples, 2, -1, -1).contiguous(),
        "terrain_pixels": torch.randn(samples, 8, side, side, generator=generator),
        "categories": torch.randint(0, 12, (samples, 1, side, side), generator=generator),
    }


def make_step(variant: str) -> Callable[[], None]:
    """Forward, loss, backward and AdamW of one of `VARIANTS`."""
    network: nn.Module = PlainStage2(make_network()) if variant == "plain" else make_network()
    optimizer, batch, loss = torch.optim.AdamW(network.parameters()), make_batch(), SpreadLoss(LossSettings())
    target = (torch.rand(SAMPLES, GRID * PIXELS, GRID * PIXELS) < 0.05).to(torch.uint8)
    counted = open_pixels(target, batch["fire_pixels"][:, 0])

    def step() -> None:
        mixed = torch.autocast("cpu", torch.bfloat16) if variant == "bfloat16" else contextlib.nullcontext()
        with mixed:
            logits = network(**batch).float()
        loss.value(loss.sums(logits, {"target": target}, counted)).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def peak_growth(variant: str) -> float:
    """Megabytes that one step takes at its peak, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.stage2", variant], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def whole_frame(reach: int | None) -> Callable[[], None]:
    """A forecast of one frame of 29 x 29 patches, of which the fire covers about 40."""
    network, batch = make_network(reach).eval(), make_batch(1, 29)

    def run() -> None:
        with torch.inference_mode():
            network(**batch)

    return run


def measure() -> dict[str, float]:
    """All figures, in CPU time of one torch thread."""
    torch.set_num_threads(1)
    steps = {variant: make_step(variant) for variant in VARIANTS}
    memory = {variant: peak_growth(variant) for variant in VARIANTS}
    figures = {}
    for name, said in (("bfloat16", ""), ("float32", ", float32")):
        gain = interleaved(steps["plain"], steps[name], REPEATS, time.process_time)
        figures[f"training step, nn.TransformerEncoder / ours{said}"] = round(gain.ratio, 2)
        share = memory[name] / memory["plain"]
        figures[f"peak memory of a training step, ours / nn.TransformerEncoder{said}"] = round(share, 2)
    gain = interleaved(whole_frame(None), whole_frame(2), REPEATS, time.process_time)
    return {**figures, "whole frame everywhere / within 2 patches of the fire": round(gain.ratio, 2)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    one_step = make_step(sys.argv[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    one_step()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
