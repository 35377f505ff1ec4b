"""Hindcast: a trained model's probability of burning for every step of the validation and test fires."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from emberformer.ahead import ahead
from emberformer.checkpoint import load_model, open_landscape
from emberformer.data.split import read_split
from emberformer.dataset import Step, list_steps, whole_frames_at_once
from emberformer.errors import InputError
from emberformer.export import write_geotiffs
from emberformer.feature_key import features_key
from emberformer.features.extraction import choose_device
from emberformer.forecast_store import ForecastBlock, valid_times, write_forecasts
from emberformer.future_arrays import coming_winds
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.model_settings import ModelSettings
from emberformer.provenance import provenance
from emberformer.rollout import Rollout, make_rollout
from emberformer.settings import ForecastSettings, Settings
from emberformer.step_forecasts import forecast_steps, rollout_inputs
from emberformer.training_settings import Phase

log = logging.getLogger(__name__)


def hindcast(
    settings: Settings,
    layout: Layout,
    seed: int,
    dataset: str,
    device: str = "auto",
    phase: Phase = "phase1",
    learner_leads: int | None = None,
) -> Path:
    """Write the forecast store of one data set, and one GeoTIFF a test fire beside it.

    Several steps ahead are forecast as `settings.forecast` says (`emberformer.rollout`).

    Args:
        settings: the configuration, or one of its variants.
        layout: its paths.
        seed: seed of the model to use.
        dataset: name of the data set.
        device: auto, cpu, cuda or cuda:N.
        phase: of the model.
        learner_leads: coming frames of an ensemble that is to learn from the forecasts: every step of the training and
            validation fires is forecast so far ahead, in place of the validation and test fires.

    Returns:
        The store.

    Raises:
        InputError: the model was trained on features of another key than the configuration names.
    """
    folder = layout.model(seed, phase)
    checkpoint = folder / "model.ckpt"
    model, sizes, trained_with, about = load_model(checkpoint)
    features = features_key(settings.features)
    if about["features"].get(dataset, features) != features:
        raise InputError(
            checkpoint,
            f"trained on features {about['features'][dataset]}",
            f"features {features}",
            "train with this configuration",
        )
    where = choose_device(device)
    landscape = open_landscape(layout, dataset, sizes)
    split = read_split(layout.split, settings.split.leakage)
    fires = landscape.fires
    told, names, path = settings.forecast, ("validation", "test"), layout.model_forecasts(seed, phase, dataset)
    if learner_leads is not None:
        told = told.model_copy(update={"every": 1, "leads": learner_leads, "method": "direct"})
        names, path = ("train", "validation"), layout.learned_from(seed, phase, dataset)
    calibration, lead_times = about["calibration"], trained_with.model.lead_times
    rollout = make_rollout(model.to(where), lead_times, landscape, settings.features, told, where, calibration)
    write_forecasts(
        path,
        forecast_blocks(rollout, landscape, split, trained_with.model, told, where, names),
        method=f"{folder.parent.name}-seed-{seed}",
        dataset=dataset,
        score_kind="probability",
        shape=(told.leads, fires.sizes["y"], fires.sizes["x"]),
        provenance={**provenance(), "model": folder.parent.name, "features": features},
        sees_target_wind=trained_with.model.wind and settings.datasets[dataset].tells_target_wind,
        calibration=calibration,
    )
    if learner_leads is None:
        write_geotiffs(path, fires, path.with_suffix(".geotiff"))
    return path


def forecast_blocks(
    rollout: Rollout,
    landscape: Landscape,
    split: dict[str, dict[str, str]],
    settings: ModelSettings,
    told: ForecastSettings,
    device: torch.device,
    names: Sequence[str],
) -> Iterator[ForecastBlock]:
    """Forecasts of the fires of these parts of the split, whole frames, in order."""
    for name in names:
        steps = list_steps([landscape], {landscape.name: split[landscape.name]}, name)
        steps = [step for step in steps if step.step % told.every == 0]
        inputs, size = rollout_inputs(rollout, landscape, steps, settings), whole_frames_at_once(device)
        chunks = [list(range(n, min(n + size, len(steps)))) for n in range(0, len(steps), size)]
        with (
            tqdm(total=len(steps), desc=f"{landscape.name} {name}", unit="forecast", mininterval=1) as bar,
            closing(ahead([partial(inputs.__getitems__, chunk) for chunk in chunks], 1)) as batches,
        ):
            for batch in batches:
                chosen = [steps[index] for index in batch["index"].tolist()]
                rows = [int(landscape.row_start[step.fire]) + step.step for step in chosen]
                winds = np.stack(
                    [
                        coming_winds(landscape, step.fire, row, told.leads)
                        for step, row in zip(chosen, rows, strict=True)
                    ]
                )
                probability = forecast_steps(rollout, landscape, chosen, batch, winds, settings, device)
                for step, values in zip(chosen, probability, strict=True):
                    yield _block(landscape, step, name, values)
                bar.update(len(probability))


def _block(landscape: Landscape, step: Step, split: str, probability: Float[np.ndarray, "L y x"]) -> ForecastBlock:
    """Forecast of one step; NaN where no frame is so far ahead."""
    fires, leads = landscape.fires, len(probability)
    row = int(landscape.row_start[step.fire]) + step.step
    observed = np.arange(1, leads + 1) < int(landscape.row_size[step.fire]) - step.step
    values = np.where(observed[:, None, None], probability, np.float32(np.nan))
    init = fires.valid_time.values[row].astype("datetime64[s]")
    valid = valid_times(init, float(fires.attrs["seconds_per_frame"]), leads)
    return ForecastBlock(str(fires.fire_id.values[step.fire]), split, step.step, init, valid, values)
