"""Integrated gradients: how much of a forecast each input accounts for, against an uneventful one.

Reference: Sundararajan, Taly and Yan (2017), Axiomatic attribution for deep networks, arXiv:1703.01365.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from emberformer.interpretation.subject import HISTORY, WIND, Batch, Subject, band_channels
from emberformer.losses import counted_pixels
from emberformer.rollout import calibrated

STEPS, NODES = 8, 24
CROP = 8  # patches on a side of the window that is asked about
PIXELS_OF_TERRAIN, TOKENS_OF_TERRAIN = "terrain_pixels", "terrain_patches"
EXPLAINED = ("frame_patches", TOKENS_OF_TERRAIN, PIXELS_OF_TERRAIN, "wind", "fire_pixels")


def integrated_gradients(
    function: Callable[[dict[str, Tensor]], Tensor],
    inputs: Mapping[str, Tensor],
    baselines: Mapping[str, Tensor],
    nodes: int = NODES,
) -> dict[str, Tensor]:
    """(x - x0) times the mean gradient of a function along the straight line from x0 to x.

    The mean is a Gauss-Legendre sum. Completeness: all attributions together are f(x) - f(x0), exactly where the
    function is a polynomial of degree 2 `nodes` or less along the line.

    Args:
        function: of named tensors, to one number.
        inputs: x.
        baselines: x0, of the same names and shapes.
        nodes: gradients that are taken.

    Returns:
        An attribution for each element of each input.
    """
    at, weights = np.polynomial.legendre.leggauss(nodes)
    total = {name: torch.zeros_like(value) for name, value in inputs.items()}
    for place, weight in zip((at + 1) / 2, weights / 2, strict=True):
        point = {
            name: torch.lerp(baselines[name], value, float(place)).requires_grad_() for name, value in inputs.items()
        }
        gradients = torch.autograd.grad(function(point), list(point.values()), allow_unused=True)
        for name, gradient in zip(point, gradients, strict=True):
            if gradient is not None:
                total[name] += float(weight) * gradient
    return {name: (value - baselines[name]) * total[name] for name, value in inputs.items()}


def attributions(subject: Subject) -> pd.DataFrame:
    """What the forecast area of new fire is owed to, step by step.

    The function is the sum of the probabilities of new fire in a window about the fire: the area in pixels that is
    forecast to burn. The baseline is an uneventful fire: no wind, even ground (each terrain channel and each band's
    tokens at their mean over the window), and a past in which every frame was as the newest is. Fuel and other
    categories on the raster cannot be changed by degrees and stay; their tokens change. Where rates are adjusted, the
    burned areas of the past stay too.

    Returns:
        One row for each step, input and lag (of frames and wind; 0 = newest): `attribution` in pixels; `forecast` and
        `baseline` area; `residual`, what the attributions of the step miss of their difference.
    """
    grid = subject.landscape.grid
    crop = min(CROP, *grid)
    rows = []
    groups = [[step] for step in subject.sampled(STEPS)]
    for batch in subject.batches(groups, "attribution", None if crop == max(grid) else crop):
        rows += _of_step(subject, batch)
    columns = ["fire_id", "step", "input", "lag", "attribution", "forecast", "baseline", "residual"]
    return pd.DataFrame(rows, columns=columns)


def uneventful(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The baseline of the inputs that change; see `attributions`."""
    found = {}
    for name, value in inputs.items():
        if name == "wind":
            found[name] = torch.zeros_like(value)
        elif name == "frame_patches":
            found[name] = value[:, -1:].expand_as(value).clone()
        elif name == "fire_pixels":
            found[name] = value[:, :1].expand_as(value).clone()
        else:
            around = (2, 3)  # rows and columns, of tokens [B C Gy Gx D] and of pixels [B K H W]
            found[name] = value.mean(around, keepdim=True).expand_as(value).clone()
    return found


def _of_step(subject: Subject, batch: Batch) -> list[dict[str, object]]:
    stays = {"fire_pixels"} if subject.settings.built_model.adjusts_rates else set()
    explained = {name: batch.inputs[name].float() for name in EXPLAINED if name in batch.inputs and name not in stays}
    fixed = {name: value for name, value in batch.inputs.items() if name not in explained}
    counted = counted_pixels(batch.arrays)

    def area(point: dict[str, Tensor]) -> Tensor:
        return torch.sigmoid(calibrated(subject.inner(**point, **fixed).float(), subject.calibration))[counted].sum()

    baselines = uneventful(explained)
    found = integrated_gradients(area, explained, baselines)
    with torch.no_grad():
        forecast, baseline = float(area(explained)), float(area(baselines))
    residual = forecast - baseline - float(sum(value.sum() for value in found.values()))
    (step,) = batch.steps
    same = {"fire_id": subject.fire_id(step), "step": step.step}
    totals = {"forecast": forecast, "baseline": baseline, "residual": residual}
    return [
        {**same, "input": name, "lag": lag, "attribution": value, **totals}
        for name, lag, value in _by_input(subject, found, fixed.get("valid_t"))
    ]


def _by_input(subject: Subject, found: dict[str, Tensor], valid_t: Tensor | None) -> list[tuple[str, float, float]]:
    """Input, lag (NaN where it has none) and attribution."""
    rows: list[tuple[str, float, float]] = []
    for band, of in band_channels(subject.sizes).items():
        parts = [found[key][:, of[key]].sum() for key in (TOKENS_OF_TERRAIN, PIXELS_OF_TERRAIN) if key in found]
        if parts:
            rows.append((band, np.nan, float(sum(parts))))
    if PIXELS_OF_TERRAIN in found:
        known = subject.sizes.normaliser.channels.index("known")
        rows.append(("known", np.nan, float(found[PIXELS_OF_TERRAIN][:, known].sum())))
    for name, key in ((HISTORY, "frame_patches"), (WIND, "wind")):
        if key in found:
            by_time = found[key].flatten(2).sum(2)[0]
            lags = range(len(by_time) - 1, -1, -1)
            real = [True] * len(by_time) if valid_t is None else valid_t[0].tolist()
            rows += [(name, lag, float(v)) for lag, v, r in zip(lags, by_time, real, strict=True) if r]
    if "fire_pixels" in found:
        rows.append(("recency", np.nan, float(found["fire_pixels"].sum())))
    return rows
