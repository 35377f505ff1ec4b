"""A rival: the network forecasts many times with its dropout on (Gal and Ghahramani 2016, arXiv:1506.02142)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from tqdm import tqdm

from emberformer.ahead import ahead
from emberformer.checkpoint import load_model, open_landscape
from emberformer.data.fires import held
from emberformer.data.split import read_split
from emberformer.dataset import list_steps
from emberformer.ensemble.checkpoint import ensemble_settings
from emberformer.ensemble.hindcast import member_block
from emberformer.errors import InputError
from emberformer.evaluate.rival_ensembles import Levels, members_of
from emberformer.features.extraction import choose_device
from emberformer.future_arrays import coming_winds
from emberformer.layout import Layout
from emberformer.member_store import MemberBlock, write_members
from emberformer.model.attention import AttentionBlock
from emberformer.provenance import provenance
from emberformer.rollout import make_rollout
from emberformer.settings import Settings
from emberformer.step_forecasts import forecast_steps, rollout_inputs


def with_dropout(model: nn.Module) -> nn.Module:
    """The network in evaluation mode but for its dropout, which stays on.

    Raises:
        ValueError: it has none.
    """
    model.eval()
    parts = [part for part in model.modules() if isinstance(part, nn.Dropout | AttentionBlock)]
    for part in parts:
        part.training = True
    if not any(part.p if isinstance(part, nn.Dropout) else part.dropout for part in parts):
        raise ValueError("no dropout")
    return model


def write_dropout(
    settings: Settings,
    layout: Layout,
    seed: int,
    dataset: str,
    path: Path,
    levels: Levels,
    fitted: Mapping[str, object],
    device: str = "auto",
) -> None:
    """Write the member store of the passes of one network over the test fires; each pass is a member.

    Args:
        settings: the configuration.
        layout: its paths.
        seed: of the network.
        dataset: name of the data set.
        path: the store.
        levels: at which members burn.
        fitted: what was fitted for the levels, for the store's provenance.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        InputError: a network without dropout.
    """
    of, phase = ensemble_settings(settings, layout.config), layout.parent_phase("ensemble")
    model, sizes, trained_with, about = load_model(layout.model(seed, phase) / "model.ckpt")
    try:
        with_dropout(model)
    except ValueError as error:
        remedy = "leave this rival out: its passes are all the same"
        where = layout.model(seed, phase)
        raise InputError(where, "a network without dropout", "model.dropout above 0", remedy) from error
    where, landscape = choose_device(device), open_landscape(layout, dataset, sizes)
    told = settings.forecast
    rollout = make_rollout(
        model.to(where), trained_with.model.lead_times, landscape, settings.features, told, where, about["calibration"]
    )
    steps = list_steps([landscape], {dataset: read_split(layout.split, layout.settings.split.leakage)[dataset]}, "test")
    steps = [step for step in steps if step.step % told.every == 0]
    inputs = rollout_inputs(rollout, landscape, steps, trained_with.model)

    def passes(index: int, batch: dict[str, torch.Tensor]) -> Iterator[Float[np.ndarray, "L y x"]]:
        step = steps[index]
        row = int(landscape.row_start[step.fire]) + step.step
        winds = coming_winds(landscape, step.fire, row, told.leads)[None]
        torch.manual_seed(seed * 1_000_003 + index)
        for _ in range(of.members):
            yield forecast_steps(rollout, landscape, [step], batch, winds, trained_with.model, where)[0]

    def blocks() -> Iterator[MemberBlock]:
        fires = landscape.fires
        jobs = [partial(inputs.__getitems__, [index]) for index in range(len(steps))]
        with closing(ahead(jobs, 1)) as batches:
            bar = tqdm(batches, total=len(steps), desc=f"{dataset} with dropout", unit="forecast", mininterval=1)
            for index, (step, batch) in enumerate(zip(steps, bar, strict=True)):
                row = int(landscape.row_start[step.fire]) + step.step
                burned = held(fires, row)
                level = levels((of.members, *burned.shape), np.random.default_rng((of.seed, row)))
                each = zip(passes(index, batch), level, strict=True)
                members = np.concatenate([members_of(field, burned, one[None]) for field, one in each])
                yield member_block(landscape, step, "test", members, told.leads)

    write_members(
        path, blocks(), method=f"dropout-seed-{seed}", dataset=dataset, leads=told.leads,
        shape=(of.members, landscape.fires.sizes["y"], landscape.fires.sizes["x"]),
        provenance={**provenance(), "of": layout.model_key(phase), "seed": seed, **fitted},
        sees_target_wind=trained_with.model.wind and settings.datasets[dataset].tells_target_wind,
    )  # fmt: skip
