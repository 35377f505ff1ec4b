"""Rival ensembles of a configuration: members from the forecasts of the network that the ensemble starts from."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import xarray as xr

from emberformer.data.fires import open_fires
from emberformer.ensemble.checkpoint import ensemble_settings
from emberformer.ensemble.dropout import write_dropout
from emberformer.ensemble_settings import Rival
from emberformer.evaluate.correlation_fit import fit_correlation
from emberformer.evaluate.rival_ensembles import (
    Levels,
    bernoulli_levels,
    correlated_levels,
    threshold_levels,
    write_rival,
)
from emberformer.evaluate.scored_part import ScoredPart
from emberformer.forecast_store import open_forecasts
from emberformer.layout import Layout
from emberformer.provenance import provenance
from emberformer.settings import Settings

log = logging.getLogger(__name__)


def write_rivals(
    settings: Settings, layout: Layout, rival: Rival, seed: int | None, dataset: str, device: str = "auto"
) -> Path:
    """Write the member store of one rival for the test fires of a data set.

    The number of members is that of the ensemble; of the seeds of a deep ensemble each gives an equal part, and draws
    from its own probabilities, as a pass with dropout does.

    Args:
        settings: the configuration.
        layout: its paths; the network's forecasts of validation and test fires must be there.
        rival: which of them.
        seed: of the network; None for the deep ensemble, which is of all seeds.
        dataset: name of the data set.
        device: of the passes with dropout.

    Returns:
        The store.

    Raises:
        InputError: no ensemble in the configuration, or forecasts that are not there.
    """
    of, phase = ensemble_settings(settings, layout.config), layout.parent_phase("ensemble")
    path = layout.rival_members(rival, seed, dataset)
    seeds = settings.training.seeds if seed is None else (seed,)
    levels, told = _levels(settings, layout, rival, seeds[0])
    if rival == "dropout":
        write_dropout(settings, layout, seeds[0], dataset, path, levels, told, device)
        return path
    forecasts = [open_forecasts(layout.model_forecasts(one, phase, dataset)) for one in seeds]
    write_rival(
        path,
        forecasts,
        open_fires(layout.fires(dataset)),
        levels,
        method=rival if seed is None else f"{rival}-seed-{seed}",
        members=max(1, of.members // len(seeds)),
        seed=of.seed,
        provenance={**provenance(), **told},
    )
    return path


def _levels(settings: Settings, layout: Layout, rival: Rival, seed: int) -> tuple[Levels, dict[str, float]]:
    """Levels at which members burn, with what was fitted for them on validation fires."""
    if rival == "bernoulli":
        return bernoulli_levels(), {}
    if rival == "threshold":
        return threshold_levels(0.5), {"threshold": 0.5}
    of, phase = ensemble_settings(settings, layout.config), layout.parent_phase("ensemble")
    stores: list[tuple[xr.Dataset, xr.Dataset]] = [
        (open_forecasts(layout.model_forecasts(seed, phase, name)), open_fires(layout.fires(name)))
        for name in settings.datasets
        if name not in settings.split.test_landscapes  # which have no fires for validation
    ]
    fit = fit_correlation(stores, of.members, of.seed, part=ScoredPart(settings.evaluation.crop))
    log.info("fair CRPS (ha) by correlation: %s", json.dumps(fit.tried))
    return correlated_levels(fit.rho), {"rho": fit.rho}
