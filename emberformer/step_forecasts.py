"""Forecasts of steps of a landscape by a rollout: what goes in, and what comes out on the landscape's rasters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from emberformer.data.fires import UNKNOWN
from emberformer.dataset import FireSteps, Step, hidden_inputs
from emberformer.landscape import Landscape
from emberformer.model_settings import ModelSettings
from emberformer.rollout import Rollout


def rollout_inputs(rollout: Rollout, landscape: Landscape, steps: Sequence[Step], settings: ModelSettings) -> FireSteps:
    """Inputs of whole frames, as a rollout takes them.

    Args:
        rollout: what forecasts.
        landscape: the fires.
        steps: to forecast from.
        settings: of the network.
    """
    model = rollout.model
    return FireSteps(
        [landscape], steps, settings.history,
        inputs=(*model.inputs, "wind", "valid_t"), hidden=hidden_inputs(settings), block=model.block,
    )  # fmt: skip


def forecast_steps(
    rollout: Rollout,
    landscape: Landscape,
    steps: Sequence[Step],
    batch: dict[str, Tensor],
    winds: Float[np.ndarray, "B L 2"],
    settings: ModelSettings,
    device: torch.device,
) -> Float[np.ndarray, "B L y x"]:
    """Probability that a pixel is burned after each coming step; 1 where it is burned already, NaN where it is unknown.

    Where fires go out, it is the probability that a pixel burns then, of every pixel (`emberformer.data.fires.held`).
    Nothing is forecast outside a fire's window: what burns there goes on burning, and nothing else begins to.

    Args:
        rollout: what forecasts.
        landscape: the fires.
        steps: to forecast from.
        batch: their items of `rollout_inputs`.
        winds: towards east and north, m s-1, of each coming step; NaN where unknown.
        settings: of the network.
        device: where it is.
    """
    told = torch.from_numpy(winds.astype(np.float32) if settings.wind else np.zeros(winds.shape, np.float32))
    unknown = torch.from_numpy(np.stack([unknown_pixels(landscape, step) for step in steps]))
    inputs = {name: values.to(device) for name, values in batch.items()}
    probability = rollout(inputs, told.to(device), unknown.to(device))
    return np.stack([_on_raster(landscape, *of) for of in zip(steps, probability, strict=True)])


def unknown_pixels(landscape: Landscape, step: Step) -> Bool[np.ndarray, "y x"]:
    """Pixels of a fire's window that are unknown in the newest frame of a step."""
    row = int(landscape.row_start[step.fire]) + step.step
    (burned,) = landscape.burned(step.fire, range(row, row + 1))
    return burned == UNKNOWN


def _on_raster(
    landscape: Landscape, step: Step, probability: Float[np.ndarray, "L H W"]
) -> Shaped[np.ndarray, "L y x"]:
    """A window's forecast on the whole raster."""
    burned = landscape.fires.burned[int(landscape.row_start[step.fire]) + step.step].values
    values = np.repeat((burned == 1).astype(np.float32)[None], len(probability), 0)
    window = landscape.cut(values, step.fire)
    window[...] = probability[:, : window.shape[1], : window.shape[2]]
    if landscape.stays_burned:
        values[:, burned == UNKNOWN] = np.nan
    return values
