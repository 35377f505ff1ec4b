"""The section on ensembles: what members say together, beside the rivals that are made of the same probabilities."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from emberformer.arrival_leads import observed_lead
from emberformer.data.fires import fire_rows, held, observed
from emberformer.errors import InputError
from emberformer.evaluate.names import HEADLINE_ENSEMBLE, parse_method, representatives
from emberformer.evaluate.rows import POOLED
from emberformer.layout import Layout
from emberformer.member_store import open_members
from emberformer.report.durations import duration_text
from emberformer.report.ensemble_figures import burn_reliability_plot, members_picture, rank_plot, spread_skill_plot
from emberformer.report.figures import Picture
from emberformer.report.tables import Cell, Column, Row
from emberformer.report.verdict import number

COLUMNS = (
    Column("area_crps_ha", "", "CRPS of area, ha", 2, lower_is_better=True),
    Column("area_fair_crps_ha", "", "fair CRPS, ha", 2, lower_is_better=True),
    Column("area_spread_ha", "", "spread, ha", 2, ranked=False),
    Column("area_rmse_ha", "", "error of mean, ha", 2, lower_is_better=True),
    Column("area_coverage", "", "coverage", 2, ranked=False),
    Column("area_coverage_nominal", "", "meant", 2, ranked=False),
    Column("brier", "", "Brier", 4, lower_is_better=True),
    Column("ece", "", "ECE", 4, lower_is_better=True),
)
NAMES = {
    "emberformer-ensemble": "ensemble",
    "threshold": "one mask",
    "bernoulli": "independent pixels",
    "correlated": "correlated noise",
    "dropout": "passes with dropout",
    "deep": "deep ensemble",
}


class EnsembleSection(NamedTuple):
    """Sentences, the rows of a table of `COLUMNS`, and charts."""

    said: list[str]
    rows: list[Row]
    pictures: list[Picture]


def read_ensembles(layout: Layout, fires: Mapping[str, xr.Dataset]) -> EnsembleSection | None:
    """The section; None where the configuration has no ensemble.

    Args:
        layout: paths of the configuration; read are the tables of ensembles and the member stores.
        fires: opened fires store of each data set.

    Raises:
        InputError: a table is missing.
    """
    if layout.settings.ensemble is None:
        return None
    tables = {name: _read(layout, f"{name}.csv") for name in ("ensemble_scores", "ensemble_differences")}
    tables |= {name: _read(layout, f"{name}.csv") for name in ("rank_histogram", "reliability")}
    scores = tables["ensemble_scores"]
    methods = representatives(scores.method.unique())
    methods.sort(key=lambda method: parse_method(method).trained != HEADLINE_ENSEMBLE)
    lead = int(scores.lead.max())
    pooled = scores.loc[(scores.dataset == POOLED) & (scores.lead == lead)]
    return EnsembleSection(
        _said(tables["ensemble_differences"], lead),
        [_row(pooled, method, methods) for method in methods],
        [*_charts(tables, methods, lead), *_members(layout, fires)],
    )


def label(method: str) -> str:
    """A method's name in words."""
    name = parse_method(method)
    known = NAMES.get(name.trained, name.trained.replace("_", " ").replace("-ensemble", ", ensemble"))
    return known if name.seed is None else f"{known}, seed {name.seed}"


def _read(layout: Layout, name: str) -> pd.DataFrame:
    path = layout.ensemble_scores / name
    try:
        return pd.read_csv(path)
    except OSError as error:
        raise InputError(path, "no table", "the scores of the ensembles", "run `snakemake ensemble`") from error


def _row(pooled: pd.DataFrame, method: str, methods: list[str]) -> Row:
    cells = []
    for column in COLUMNS:
        of_metric = pooled[(pooled.metric == column.metric) & pooled.method.isin(methods)].set_index("method")
        one, digits = of_metric.loc[method], column.digits
        best = column.ranked and one.value == of_metric.value.min()
        interval = "" if np.isnan(one.low) else f"{number(one.low, digits)} to {number(one.high, digits)}"
        seeds = "" if np.isnan(one.seed_sd) else number(one.seed_sd, digits)
        cells.append(Cell(number(one.value, digits), interval, seeds, best))
    return Row(label(method), cells, False, "")


def _said(differences: pd.DataFrame, lead: int) -> list[str]:
    chosen = differences.loc[
        (differences.dataset == POOLED) & (differences.lead == lead) & (differences.metric == "area_fair_crps_ha")
    ]
    said = []
    for one in chosen.to_dict("records"):
        told = "lower than" if one["high"] < 0 else "higher than" if one["low"] > 0 else "not to be told from"
        said.append(
            f"Its fair CRPS of the burned area is {told} that of {label(one['rival'])} "
            f"({number(one['value'], 2)} ha, 95 % {number(one['low'], 2)} to {number(one['high'], 2)})."
        )
    return said


def _charts(tables: Mapping[str, pd.DataFrame], methods: list[str], lead: int) -> list[Picture]:
    def of(name: str, method: str, leads: Collection[int] = (lead,)) -> pd.DataFrame:
        table = tables[name]
        return table.loc[(table.dataset == POOLED) & (table.method == method) & table.lead.isin(leads)]

    ranks = {label(m): of("rank_histogram", m).n_forecasts.to_numpy() for m in methods}
    every = range(1, lead + 1)
    scores = {m: of("ensemble_scores", m, every).pivot(index="lead", columns="metric", values="value") for m in methods}
    bins = {m: of("reliability", m) for m in methods}
    return [
        rank_plot({name: counts for name, counts in ranks.items() if len(counts) > 2}),
        spread_skill_plot(
            {label(m): table.area_spread_ha.to_numpy() for m, table in scores.items()},
            {label(m): table.area_rmse_ha.to_numpy() for m, table in scores.items()},
        ),
        burn_reliability_plot(
            {label(m): table.mean_forecast.to_numpy() for m, table in bins.items()},
            {label(m): table.observed_frequency.to_numpy() for m, table in bins.items()},
        ),
    ]


def _members(layout: Layout, fires: Mapping[str, xr.Dataset]) -> list[Picture]:
    """Members of one test forecast of each data set: the one whose growth is the median of those that grew."""
    pictures, method = [], layout.trained[HEADLINE_ENSEMBLE].first
    for dataset in layout.settings.tested:
        store, of = open_members(layout.members(method, dataset)), fires[dataset]
        grown = []
        for place in np.flatnonzero(store.split.values == "test"):
            rows = fire_rows(of, str(store.fire_id.values[place]))
            row, leads = rows.start + int(store.init_step[place]), store.sizes["lead"]
            if row + leads < rows.stop:
                grown.append((int((held(of, row + leads) == 1).sum() - (held(of, row) == 1).sum()), int(place), row))
        grown = sorted(one for one in grown if one[0] > 0)
        if grown:
            _, place, row = grown[len(grown) // 2]
            leads, fire_id = store.sizes["lead"], str(store.fire_id.values[place])
            seen = [held(of, row), *(observed(of, row + lead) for lead in range(1, leads + 1))]
            ahead = duration_text(leads * float(of.attrs["seconds_per_frame"]))
            title = f"{dataset}, fire {fire_id}: {ahead} ahead from frame {int(store.init_step[place])}"
            pictures.append(
                members_picture(observed_lead(np.stack(seen)), store.arrival_lead[place].values, leads, title)
            )
    return pictures
