"""Forecast: a trained model's probability of burning for every step of the validation and test fires."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from emberformer.ahead import ahead
from emberformer.checkpoint import load_model, model_inputs, open_landscape
from emberformer.data.fires import UNKNOWN
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, hidden_inputs, list_steps, whole_frames_at_once
from emberformer.errors import InputError
from emberformer.export import write_geotiffs
from emberformer.features.extraction import choose_device
from emberformer.forecast_store import ForecastBlock, write_forecasts
from emberformer.landscape import Landscape
from emberformer.layout import Layout, features_key
from emberformer.model_settings import ModelSettings
from emberformer.network import SpreadNetwork
from emberformer.provenance import provenance
from emberformer.settings import Settings
from emberformer.training_settings import Phase

log = logging.getLogger(__name__)


def forecast(
    settings: Settings,
    layout: Layout,
    seed: int,
    dataset: str,
    device: str = "auto",
    phase: Phase = "phase1",
) -> Path:
    """Write the forecast store of one data set, and one GeoTIFF a test fire beside it.

    Args:
        settings: the configuration, or one of its variants.
        layout: its paths.
        seed: seed of the model to use.
        dataset: name of the data set.
        device: auto, cpu, cuda or cuda:N.
        phase: of the model.

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
    path = layout.model_forecasts(seed, phase, dataset)
    split = read_split(layout.split)
    fires = landscape.fires
    weather = settings.datasets[dataset].weather
    write_forecasts(
        path,
        forecast_blocks(model.to(where), landscape, split, trained_with.model, where),
        method=f"{folder.parent.name}-seed-{seed}",
        dataset=dataset,
        score_kind="probability",
        shape=(1, fires.sizes["y"], fires.sizes["x"]),
        provenance={**provenance(), "model": folder.parent.name, "features": features},
        sees_target_wind=bool(trained_with.model.wind and weather and weather.row_offset >= 0),
    )
    write_geotiffs(path, fires, path.with_suffix(".geotiff"))
    return path


def forecast_blocks(
    model: SpreadNetwork,
    landscape: Landscape,
    split: dict[str, dict[str, str]],
    settings: ModelSettings,
    device: torch.device,
) -> Iterator[ForecastBlock]:
    """Forecasts of all steps of validation and test fires, whole frames, in order."""
    for name in ("validation", "test"):
        steps = list_steps([landscape], {landscape.name: split[landscape.name]}, name)
        dataset = FireSteps(
            [landscape], steps, settings.history,
            inputs=model.inputs, hidden=hidden_inputs(settings), block=model.block,
        )  # fmt: skip
        size = whole_frames_at_once(device)
        chunks = [list(range(n, min(n + size, len(steps)))) for n in range(0, len(steps), size)]
        with (
            tqdm(total=len(steps), desc=f"{landscape.name} {name}", unit="forecast", mininterval=1) as bar,
            closing(ahead([partial(dataset.__getitems__, chunk) for chunk in chunks], 1)) as batches,
        ):
            for batch in batches:
                probability = predict(model, {key: value.to(device) for key, value in batch.items()})
                for index, values in zip(batch["index"].tolist(), probability, strict=True):
                    yield _block(landscape, steps[index].fire, steps[index].step, name, values)
                bar.update(len(probability))


def predict(model: SpreadNetwork, batch: dict[str, torch.Tensor]) -> np.ndarray:
    """Probability that a pixel is burned at the next step, [B, H, W] on whole patches; burned stays burned."""
    with torch.inference_mode():
        probability = torch.sigmoid(model(**model_inputs(model, batch)).float())
    return torch.where(batch["fire_pixels"][:, 0] > 0.5, 1.0, probability).cpu().numpy()


def _block(landscape: Landscape, fire: int, step: int, split: str, probability: np.ndarray) -> ForecastBlock:
    fires = landscape.fires
    row = int(landscape.row_start[fire]) + step
    burned = fires.burned[row].values
    values = (burned == 1).astype(np.float32)  # outside the window nothing is forecast to change
    window = landscape.cut(values, fire)
    window[...] = probability[: window.shape[0], : window.shape[1]]
    values[burned == UNKNOWN] = np.nan
    times = fires.valid_time.values[row : row + 2].astype("datetime64[s]")
    return ForecastBlock(str(fires.fire_id.values[fire]), split, step, times[0], times[1:], values[None])  # type: ignore[arg-type]
