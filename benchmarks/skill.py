"""Forecast skill of trained networks on some steps: pixels counted by fire, scored with resamples of whole fires."""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from emberformer.checkpoint import model_inputs
from emberformer.dataset import FireSteps, Step, hidden_inputs
from emberformer.evaluate.bootstrap import fire_weights
from emberformer.evaluate.scores import average_precision_of_counts
from emberformer.landscape import Landscape
from emberformer.losses import open_pixels
from emberformer.model_settings import ModelSettings
from emberformer.network import SpreadNetwork
from emberformer.training import BINS, counts_of_forecast

REPLICATES, SEED = 1000, 0


def counts_of_fires(
    model: SpreadNetwork, landscape: Landscape, steps: list[Step], settings: ModelSettings, name: str
) -> np.ndarray:
    """Pixels that may newly burn, by fire, observation and forecast bin [fire, 2, bin].

    Args:
        model: where it is, the batches go.
        landscape: of all steps.
        steps: what to forecast; fires are counted in the order of their numbers.
        settings: that the model was trained with.
        name: of the bar.
    """
    fires = sorted({step.fire for step in steps})
    counts = np.zeros((len(fires), 2, BINS), np.int64)
    device = next((values.device for values in model.parameters()), torch.device("cpu"))
    items = FireSteps(
        [landscape], steps, settings.history, inputs=model.inputs, hidden=hidden_inputs(settings), block=model.block
    )
    for n, step in enumerate(tqdm(steps, desc=name, mininterval=1)):
        batch = {key: values.to(device) for key, values in items.__getitems__([n]).items()}
        with torch.inference_mode():
            logits = model(**model_inputs(model, batch)).float()
        counted = open_pixels(batch["target"], batch["fire_pixels"][:, 0])
        one_fold = torch.zeros(len(logits), dtype=torch.int64, device=device)
        found = counts_of_forecast(logits, batch["target"], counted, one_fold)
        counts[fires.index(step.fire)] += found.sum(0).cpu().numpy()
    return counts


def scores_of(counts: np.ndarray) -> np.ndarray:
    """New-fire average precision of the sample and of each resample of its fires, the same ones for all counts."""
    weights = fire_weights(len(counts), REPLICATES, SEED)
    pooled = np.tensordot(weights, counts.astype(float), 1)
    return average_precision_of_counts(pooled)
