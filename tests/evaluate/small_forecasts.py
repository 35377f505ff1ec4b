"""Forecast stores of small fires."""

import numpy as np

from emberformer.forecast_store import ForecastBlock, ScoreKind, open_forecasts, write_forecasts

SHAPE = (12, 15)


def forecasts_of(path, fires, values, kind: ScoreKind = "probability", split="test"):
    """A store whose forecast of (fire_id, step) is `values(fire_id, step)`, with burned pixels at their value."""
    blocks = []
    for fire_id, start, size in zip(fires.fire_id.values, fires.row_start.values, fires.row_size.values, strict=True):
        for step in range(size - 1):
            burned, times = fires.burned[start + step].values, fires.valid_time.values
            probability = np.where(burned == 1, 1 if kind == "probability" else 0, values(fire_id, step)).astype(
                np.float32
            )
            probability[burned == 255] = np.nan
            row = start + step
            blocks.append(ForecastBlock(fire_id, split, step, times[row], times[row + 1 : row + 2], probability[None]))
    shape = (1, fires.sizes["y"], fires.sizes["x"])
    write_forecasts(
        path, blocks, method="m", dataset="small", score_kind=kind, shape=shape, provenance={}, sees_target_wind=False
    )
    return open_forecasts(path)


def random_values(fire_id, step):
    return np.random.default_rng([int(fire_id[-3:]), step]).beta(0.3, 1, SHAPE).astype(np.float32)
