"""Futures of one new fire, whose coming winds are given and stand in no store."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from emberformer.arrival_leads import FutureSet
from emberformer.dataset import Step
from emberformer.ensemble.checkpoint import EnsembleModel, ensemble_settings
from emberformer.ensemble.drawing import Futures
from emberformer.ensemble.hindcast import futures_of, on_raster, whole_frames
from emberformer.ensemble.prior import Prior
from emberformer.landscape import Landscape


def futures_of_new_fire(
    ensemble: EnsembleModel, prior: Prior, landscape: Landscape, winds: Float[np.ndarray, "K 2"], device: torch.device
) -> FutureSet:
    """Futures from the newest frame of the one fire of a landscape, on its raster.

    Args:
        ensemble: that draws.
        prior: the network that it starts from.
        landscape: the fire.
        winds: towards east and north, m s-1, of the coming steps.
        device: where the network is.
    """
    of = ensemble_settings(ensemble.settings, "ensemble")
    futures = Futures(ensemble.generator.to(device), of, ensemble.reach)
    step = Step(0, 0, int(landscape.row_size[0]) - 1)
    of_settings = ensemble.settings
    batch = whole_frames(futures, prior if of.prior else None, landscape, [step], of_settings).__getitems__([0])
    told = winds if of_settings.model.wind else np.zeros_like(winds)
    batch["coming_wind"] = torch.from_numpy(told.astype(np.float32))[None]
    return on_raster(landscape, step, futures_of(futures, prior if of.prior else None, landscape, step, batch, device))
