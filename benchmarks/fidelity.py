"""`python -m benchmarks.fidelity --config C`: what smaller features cost in forecast skill.

Trained models forecast the test fires from features as each smaller option would have stored them. Nothing is trained
again, so a difference of new-fire average precision (AP) is the rounding's own, and none of chance in training: models
that are trained on smaller features may adapt to them. AP pools all fires, the mean over seeds is taken, and intervals
resample whole fires, the same ones for all options.

The configuration must be one of whole float16 or float32 tokens whose models are trained (`snakemake ... train`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from torch import Tensor

from benchmarks.skill import counts_of_fires, scores_of
from emberformer.checkpoint import load_model, open_landscape
from emberformer.data.split import read_split
from emberformer.dataset import list_steps
from emberformer.evaluate.bootstrap import percentile_interval
from emberformer.features.backbone import load_backbone
from emberformer.features.encoding import Encoding, fit_encoding
from emberformer.features.rows import MemoryRows
from emberformer.features.shape import AXES, Axis
from emberformer.landscape import Landscape
from emberformer.options import open_configuration

OPTIONS = (("bfloat16", None), ("int8", None), ("int8", 256), ("int8", 128), ("int8", 64))
ROWS_AT_ONCE = 64


def stored_bytes(dtype: str, components: int | None, features: int) -> float:
    """Bytes of a token over those of float16; an int8 token carries a float16 scale."""
    length = components or features
    return (length + 2 if dtype == "int8" else 2 * length) / (2 * features)


def restored(encoding: Encoding, tokens: Tensor, axis: Axis) -> Tensor:
    """Tokens as a reader would get them, components turned back into features."""
    read = encoding.rounded(tokens, axis)
    if not encoding.basis:
        return read
    assert encoding.blank is not None
    return read @ encoding.basis[axis].T + encoding.blank


def memory_of(landscape: Landscape, axis: Axis) -> Tensor:
    """The tokens of a landscape that was opened in memory."""
    rows = (landscape.frame_reader if axis == "frame" else landscape.terrain_reader).patches
    assert isinstance(rows, MemoryRows)
    return rows.values


def measure_fidelity(config: Path, dataset: str, number: int | None) -> list[tuple[str, float, float, float, float]]:
    """Option, bytes over float16, AP, and the interval of its difference from the features as they are."""
    settings, layout = open_configuration(config, dataset)
    trained = [load_model(layout.model(seed) / "model.ckpt") for seed in settings.training.seeds]
    landscape = open_landscape(layout, dataset, trained[0][1], memory="ram")
    whole: dict[Axis, Tensor] = {axis: memory_of(landscape, axis).clone() for axis in AXES}
    split = read_split(layout.split, settings.split.leakage)
    steps = list_steps([landscape], {dataset: split[dataset]}, "test", number)
    backbone, rows = load_backbone(settings.features), []
    rows_of_grid, columns, plain = *whole["frame"].shape[-3:-1], np.empty(0)
    for dtype, components in ((settings.features.dtype, None), *OPTIONS):
        encoding = fit_encoding(backbone, (rows_of_grid, columns), settings.features.scale, dtype, components)
        for axis in AXES:
            for begin in range(0, len(whole[axis]), ROWS_AT_ONCE):
                part = slice(begin, begin + ROWS_AT_ONCE)
                memory_of(landscape, axis)[part] = restored(encoding, whole[axis][part].float(), axis)
        name = f"{dtype}, {components} components" if components else dtype
        scores = [
            scores_of(counts_of_fires(model, landscape, steps, as_trained.model, name))
            for model, _, as_trained, _ in trained
        ]
        score = np.mean(scores, 0)
        plain = score if not len(plain) else plain
        low, high = percentile_interval(score - plain)
        rows.append((name, stored_bytes(dtype, components, backbone.features), float(score[0]), low, high))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fidelity", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--steps", type=int, help="forecasts of each fire; by default all")
    asked = parser.parse_args()
    rows = measure_fidelity(asked.config, asked.dataset, asked.steps)
    print(f"{'features':24s} | bytes | new-fire AP | difference, with its 95 % interval over fires")
    for name, size, score, low, high in rows:
        print(f"{name:24s} | {size:5.3f} | {score:11.5f} | {score - rows[0][2]:+.5f} [{low:+.5f}, {high:+.5f}]")


if __name__ == "__main__":
    main()
