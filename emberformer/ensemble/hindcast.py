"""Hindcast of an ensemble: members of every step of the validation and test fires, and their burn probability."""

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
from emberformer.arrival_leads import NEVER, NOT_OBSERVED, UNKNOWN, FutureSet, burn_probability
from emberformer.checkpoint import open_landscape
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, Step, hidden_inputs, list_steps
from emberformer.ensemble.batches import ensemble_inputs, read_texts
from emberformer.ensemble.checkpoint import ensemble_settings, load_ensemble, load_prior
from emberformer.ensemble.drawing import Futures, member_seed
from emberformer.ensemble.prior import Prior
from emberformer.feature_key import features_key
from emberformer.features.extraction import choose_device
from emberformer.forecast_store import ForecastBlock, valid_times, write_forecasts
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.member_store import MemberBlock, open_members, write_members
from emberformer.provenance import provenance
from emberformer.settings import Settings
from emberformer.step_forecasts import unknown_pixels
from emberformer.windows import padded

log = logging.getLogger(__name__)


def hindcast_ensemble(settings: Settings, layout: Layout, seed: int, dataset: str, device: str = "auto") -> Path:
    """Write the member store of one data set, and the forecast store of its burn probability beside it.

    Args:
        settings: the configuration, or one of its variants; `ensemble` says how members are drawn.
        layout: its paths.
        seed: of the trained ensemble.
        dataset: name of the data set.
        device: auto, cpu, cuda or cuda:N.

    Returns:
        The forecast store.

    Raises:
        InputError: no ensemble, or one that is not trained yet.
    """
    of = ensemble_settings(settings, layout.config)
    folder = layout.model(seed, "ensemble")
    model = load_ensemble(folder / "model.ckpt")
    found = load_prior(settings, layout, seed)
    prior = None if found is None else found[0]
    where = choose_device(device)
    model.generator.to(where)
    if prior is not None:
        prior.model.to(where)
    landscape = open_landscape(layout, dataset, model.sizes)
    read_texts([landscape], of)
    futures = Futures(model.generator, of, model.reach)
    size = (landscape.fires.sizes["y"], landscape.fires.sizes["x"])
    store = layout.model_forecasts(seed, "ensemble", dataset)
    told = {
        "method": f"{folder.parent.name}-seed-{seed}",
        "dataset": dataset,
        "provenance": {**provenance(), "model": folder.parent.name, "features": features_key(settings.features),
                       "drawn": of.model_dump(mode="json", include=set(of.DRAWING))},
        "sees_target_wind": settings.model.wind and settings.datasets[dataset].tells_target_wind,
    }  # fmt: skip
    members = store.with_suffix(".members.zarr")
    blocks = member_blocks(futures, prior, landscape, read_split(layout.split, settings.split.leakage), settings, where)
    write_members(members, blocks, leads=of.leads, shape=(of.members, *size), tells_probability=True, **told)
    write_forecasts(
        store,
        probability_blocks(members, landscape, of.leads),
        score_kind="probability" if of.draws_as_learned else "score",
        shape=(of.leads, *size),
        **told,
    )
    return store


def member_blocks(
    futures: Futures,
    prior: Prior | None,
    landscape: Landscape,
    split: dict[str, dict[str, str]],
    settings: Settings,
    device: torch.device,
) -> Iterator[MemberBlock]:
    """Members of validation and test fires, from every n-th frame as `settings.forecast.every` says."""
    of = futures.settings
    for name in ("validation", "test"):
        steps = list_steps([landscape], {landscape.name: split[landscape.name]}, name)
        steps = [step for step in steps if step.step % settings.forecast.every == 0]
        inputs = whole_frames(futures, prior, landscape, steps, settings)
        jobs = [partial(inputs.__getitems__, [index]) for index in range(len(steps))]
        bar = tqdm(total=len(steps), desc=f"{landscape.name} {name}", unit="forecast", mininterval=1)
        with bar, closing(ahead(jobs, 1)) as batches:
            for step, batch in zip(steps, batches, strict=True):
                drawn = on_raster(landscape, step, futures_of(futures, prior, landscape, step, batch, device))
                yield member_block(landscape, step, name, drawn.arrival_lead, of.leads, drawn.burn_probability)
                bar.update()


def whole_frames(
    futures: Futures, prior: Prior | None, landscape: Landscape, steps: list[Step], settings: Settings
) -> FireSteps:
    """Inputs of whole frames."""
    return FireSteps(
        [landscape], steps, settings.model.history, inputs=ensemble_inputs(futures.generator, prior),
        hidden=hidden_inputs(settings.model), leads=futures.settings.leads,
        block=None if prior is None else prior.model.block,
    )  # fmt: skip


def futures_of(
    futures: Futures,
    prior: Prior | None,
    landscape: Landscape,
    step: Step,
    batch: dict[str, torch.Tensor],
    device: torch.device,
) -> FutureSet:
    """Futures of one step on whole patches; the same whichever steps are drawn besides."""
    inputs = {name: values.to(device) for name, values in batch.items()}
    height, width = batch["fire_pixels"].shape[2:]
    unknown = torch.from_numpy(padded(unknown_pixels(landscape, step), (height, width), 1))[None].to(device)
    fires, row = landscape.fires, int(landscape.row_start[step.fire]) + step.step
    seed = member_seed(futures.settings.seed, str(fires.fire_id.values[step.fire]), fires.valid_time.values[row])
    forecast = None if prior is None else prior(inputs).masked_fill(unknown[:, None], 0)  # as in training
    return futures(inputs, forecast, unknown, seed)


def on_raster(landscape: Landscape, step: Step, drawn: FutureSet) -> FutureSet:
    """Futures of a fire's window on the whole raster; outside of the window nothing begins to burn.

    Args:
        landscape: the fires.
        step: that they are drawn from.
        drawn: futures on the whole patches of the window.
    """
    burned = landscape.fires.burned[int(landscape.row_start[step.fire]) + step.step].values
    now = np.select([burned == 1, burned == NOT_OBSERVED], [np.uint8(0), np.uint8(UNKNOWN)], np.uint8(NEVER))
    members = np.repeat(now[None], len(drawn.arrival_lead), 0)
    whole = FutureSet(members, burn_probability(members[:1], len(drawn.burn_probability)))
    for values, told in zip(whole, drawn, strict=True):
        window = landscape.cut(values, step.fire)
        window[...] = told[:, : window.shape[1], : window.shape[2]]
    return whole


def member_block(
    landscape: Landscape, step: Step, split: str, members: np.ndarray, leads: int, probability: np.ndarray | None = None
) -> MemberBlock:
    """Members of one step as a store takes them, and its burn probability where that is more than their share."""
    fires = landscape.fires
    init = fires.valid_time.values[int(landscape.row_start[step.fire]) + step.step].astype("datetime64[s]")
    valid = valid_times(init, float(fires.attrs["seconds_per_frame"]), leads)
    return MemberBlock(str(fires.fire_id.values[step.fire]), split, step.step, init, valid, members, probability)


def probability_blocks(members: Path, landscape: Landscape, leads: int) -> Iterator[ForecastBlock]:
    """Burn probability of every forecast of a member store; NaN where no frame is so far ahead."""
    store = open_members(members)
    sizes = dict(zip(map(str, landscape.fires.fire_id.values), map(int, landscape.row_size), strict=True))
    for number in range(store.sizes["forecast"]):
        one = store.isel(forecast=number)
        probability = one.burn_probability.values
        observed = np.arange(1, leads + 1) < sizes[str(one.fire_id.item())] - int(one.init_step)
        values = np.where(observed[:, None, None], probability, np.float32(np.nan))
        init, valid = one.init_time.values.astype("datetime64[s]"), one.valid_time.values.astype("datetime64[s]")
        yield ForecastBlock(str(one.fire_id.item()), str(one.split.item()), int(one.init_step), init, valid, values)
