"""The study's fourth part: what predicted features say of the fire, against copied ones and against pixels.

persistence  what burns in the newest frame, read from nothing
truth        the coming frame's own features: what the reading itself loses
copy         the newest frame's features
pixel        the network's forecasts in pixels, by `emberformer hindcast`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from emberformer.errors import InputError
from emberformer.forecast_store import open_forecasts
from emberformer.foresight.clips import read_clips
from emberformer.foresight.mask_decoder import (
    HALF,
    MaskDecoder,
    Shares,
    burned_cells,
    fit_decoder,
    overlaps,
    read_cells,
)
from emberformer.foresight.predict import STEP_BY_STEP, Predict, StepByStep, chosen_predictor, load_predictors
from emberformer.foresight.similarity import tested
from emberformer.foresight.study import foresight_settings, write_table
from emberformer.foresight.sums import Pool, ratio, rows_of, with_interval
from emberformer.foresight.training import Learned
from emberformer.foresight.windows import Batch, Windows
from emberformer.foresight_settings import ForesightSettings
from emberformer.layout import Layout
from emberformer.settings import Settings

OVERLAPS = ("common", "either", "common_new", "either_new", "squared", "cells")
PIXEL = "pixel"


def write_probe(settings: Settings, layout: Layout) -> Path:
    """Read fire from predicted features and write `probe.csv`.

    Raises:
        InputError: no study in the configuration, no predictors yet, or a missing store.
    """
    of = foresight_settings(settings, layout.config)
    clips = read_clips(layout, of)
    shown = tested(clips, of.gaps[-1], layout.split)
    windows, predictors = load_predictors(layout.foresight / "predictors.pt", clips, of)
    chosen = chosen_predictor(layout.foresight / "gap_predict.csv")
    named: dict[str, Predict] = {name: predictors[name] for name in ("copy", "damped", "ridge_3x3", chosen)}
    learned = predictors[chosen]
    if of.gaps[0] == 1 and isinstance(learned, Learned):
        named[STEP_BY_STEP] = StepByStep(windows, learned)
    pixels = {}
    if of.pixel_rollout:
        method = f"emberformer-seed-{settings.training.seeds[0]}"
        pixels = {part.dataset: open_forecasts(layout.forecasts(method, part.dataset)) for part in shown}
    decoder = fit_decoder(clips, windows.standard, of.cells)
    sums = probe_sums(windows, named, decoder, of, pixels)
    return write_table(
        pd.concat([probe_table(part.dataset, sums, settings) for part in shown]), layout.foresight / "probe.csv"
    )


def probe_sums(
    windows: Windows,
    predictors: Mapping[str, Predict],
    decoder: MaskDecoder,
    of: ForesightSettings,
    pixels: Mapping[str, xr.Dataset],
) -> pd.DataFrame:
    """Overlaps of every test window: reader, source, gap and `OVERLAPS`.

    Args:
        windows: of all data sets.
        predictors: of features.
        decoder: that reads them.
        of: settings of the study.
        pixels: data set -> forecasts in pixels; of these data sets only the windows that they begin from are read, so
            that all sources are scored on the same.

    Raises:
        InputError: no forecast in pixels begins from a test window, or they do not reach as far as the gaps.
    """
    found, seen = [], set()
    begun = {name: _begun(store, name, of.gaps) for name, store in pixels.items()}
    batches = windows.in_order("test", of.windows_per_fire, begun)
    for batch in tqdm(batches, desc="read fire from features", unit="batch", delay=1, mininterval=2):
        now = batch.share, burned_cells(batch.clips, batch.rows, of.cells)
        store = pixels.get(batch.clips.dataset)
        seen.add(batch.clips.dataset)
        for gap in of.gaps:
            later = batch.share_later(gap), burned_cells(batch.clips, batch.rows + gap, of.cells)
            sources: dict[str, Shares] = {"persistence": now, "truth": decoder(windows.standard.of(batch.later(gap)))}
            sources |= {name: decoder(predict(batch, gap)) for name, predict in predictors.items()}
            for name, shares in sources.items():
                found += _compared(batch, shares, later, now, {"source": name, "gap": gap})
            if store is not None:
                found += _of_pixels(store, begun[batch.clips.dataset], batch, later, now, gap, of.cells)
    if missing := sorted(set(pixels) - seen):
        raise InputError(
            f"forecasts of {', '.join(missing)}", f"none from a test frame that {windows.longest} more follow",
            "forecasts to compare with", "lower forecast.every or foresight.gaps, and forecast again",
        )  # fmt: skip
    return pd.concat(found, ignore_index=True)


def _compared(
    batch: Batch, forecast: Shares, observed: Shares, now: Shares, told: dict[str, object]
) -> list[pd.DataFrame]:
    """Rows of both readers; patches without a real pixel do not count."""
    real, stays = batch.valid.float(), batch.clips.landscape.stays_burned
    patches = [of[0] * real for of in (forecast, observed, now)]
    cells = [(of[1] >= HALF).float() * real[..., None] for of in (forecast, observed, now)]
    return [
        rows_of(batch.fires, {"reader": "probe", **told}, overlaps(*patches, stays_burned=stays)),
        rows_of(batch.fires, {"reader": "decoder", **told}, overlaps(*cells, stays_burned=stays)),
    ]


def _of_pixels(
    store: xr.Dataset,
    places: Mapping[tuple[str, int], int],
    batch: Batch,
    observed: Shares,
    now: Shares,
    gap: int,
    cells: int,
) -> list[pd.DataFrame]:
    """The same of forecasts in pixels, which lie at these places."""
    clips, landscape = batch.clips, batch.clips.landscape
    lead = int(np.flatnonzero(store.lead.values == gap)[0])
    fires = zip(clips.named(batch.rows), clips.fires[clips.fire_of[batch.rows]].tolist(), strict=True)
    probability = np.stack(
        [landscape.cut(store.probability[places[key], lead].values, number) for key, number in fires]
    )
    shares = read_cells(np.nan_to_num(probability), landscape, cells)
    real = read_cells(np.ones_like(probability[:1]), landscape, cells).mean(-1)  # share of each patch on the raster
    patches = shares.mean(-1) / real.clamp(min=1e-9)
    return _compared(batch, (patches, shares), observed, now, {"source": PIXEL, "gap": gap})


def _begun(store: xr.Dataset, dataset: str, gaps: Sequence[int]) -> Mapping[tuple[str, int], int]:
    """Fires and frames that forecasts in pixels begin from.

    Raises:
        InputError: they do not reach as far as the gaps.
    """
    if missing := sorted(set(gaps) - set(store.lead.values.tolist())):
        raise InputError(
            f"forecasts of {dataset}", f"leads {store.lead.values.tolist()}", f"leads {missing} too",
            "set forecast.leads to the longest gap, and forecast again",
        )  # fmt: skip
    return _places(store)


def _places(store: xr.Dataset) -> dict[tuple[str, int], int]:
    """Number of each forecast by fire and frame."""
    keys = zip(map(str, store.fire_id.values), store.init_step.values.tolist(), strict=True)
    return {key: number for number, key in enumerate(keys)}


def probe_table(dataset: str, sums: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Scores of one data set's test fires, with intervals over fires.

    Args:
        dataset: its name.
        sums: of `probe_sums`.
        settings: the configuration.

    Returns:
        A row a reader, gap and source: iou and iou_new (of what burns anew), mse of the shares, and more_than_copy, the
        difference of iou_new to that of copied features over the same resamples.
    """
    own = sums.loc[sums.fire.str.startswith(f"{dataset}/")]
    pool = Pool(sorted(own.fire.unique()), settings.evaluation.replicates, settings.evaluation.seed)
    rows = []
    for (reader, gap), of in own.groupby(["reader", "gap"], sort=False):
        totals = {source: pool.totals(part, OVERLAPS) for source, part in of.groupby("source", sort=False)}
        new = {source: ratio(total["common_new"], total["either_new"]) for source, total in totals.items()}
        for source, total in totals.items():
            told = {"dataset": dataset, "reader": reader, "gap": gap, "source": source, "fires": len(pool.fires)}
            told |= with_interval("iou", ratio(total["common"], total["either"]))
            told |= with_interval("iou_new", new[source]) | with_interval("more_than_copy", new[source] - new["copy"])
            rows.append(told | with_interval("mse", ratio(total["squared"], total["cells"])))
    return pd.DataFrame(rows)
