"""The page: every section's content gathered, and the template filled."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined

from emberformer.atomic import write_whole
from emberformer.data.fires import open_fires, stays_burned
from emberformer.evaluate.names import parse_method
from emberformer.evaluate.rows import POOLED
from emberformer.forecast_store import open_forecasts
from emberformer.geometry import HECTARE
from emberformer.layout import Layout
from emberformer.report.animation import Animation, animate_leads, animate_steps
from emberformer.report.answer import kept_aside, plain_answer
from emberformer.report.cases import CALENDAR_FROM, Case, Choice, choose_fires, read_case, typical
from emberformer.report.circumstances import by_circumstance
from emberformer.report.data_table import data_rows
from emberformer.report.detections import read_detections
from emberformer.report.durations import duration_text
from emberformer.report.ensembles import COLUMNS as ENSEMBLE
from emberformer.report.ensembles import read_ensembles
from emberformer.report.figures import forest_plot, reliability_plot, training_curves
from emberformer.report.foresight import read_foresight
from emberformer.report.interpretation import KINDS, read_interpretations
from emberformer.report.leads import far_ahead, way_ahead
from emberformer.report.maps import Panel, draw_case, fuel_colours
from emberformer.report.methods import describe_methods
from emberformer.report.scoreboard import Scoreboard, method_label, name_in_text, network_label, read_scoreboard
from emberformer.report.sources import (
    backbone_name,
    collect_provenance,
    has_random_weights,
    read_curves,
    read_feature_attributes,
    settings_text,
)
from emberformer.report.tables import (
    AT_HALF,
    AT_VALIDATION,
    BRIEF,
    CALIBRATION,
    NEW_FIRE,
    PERIMETERS,
    WHOLE_PERIMETERS,
    calibration_rows,
    difference_rows,
    score_rows,
)
from emberformer.report.verdict import METRICS, listed, number, verdict
from emberformer.settings import Settings

DEFAULT_THRESHOLD = 0.5  # drawn where validation gave none


@dataclass(frozen=True)
class FireMaps:
    """A fire's heading, a sentence and its four maps."""

    heading: str
    sentence: str
    panels: list[Panel]


@dataclass(frozen=True)
class Played:
    """A fire's heading and its forecasts one after another."""

    heading: str
    animation: Animation


def write_report(settings: Settings, layout: Layout) -> Path:
    """Write one HTML page that opens offline: no script, font, link or picture from elsewhere.

    A browser is told to refuse all that is not part of the page, and to run no script but the page's own.

    Equal inputs give equal bytes. What is optional (training curves, interpretation, feature stores) is named where it
    is missing.

    Args:
        settings: the configuration.
        layout: its paths. Read are the verification tables, the split, fires and forecast stores, `metrics.csv` of each
            seed, the interpretation and the attributes of the feature stores.

    Returns:
        `Layout.report`.

    Raises:
        InputError: a verification table, a fires store, a forecast store or the split is missing.
    """
    board = read_scoreboard(layout.scores)
    fires = {dataset: open_fires(layout.fires(dataset)) for dataset in settings.datasets}
    environment = Environment(
        loader=PackageLoader("emberformer.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (Path(__file__).parent / "player.js").read_text(encoding="utf-8")
    page = environment.get_template("template.html").render(
        name=settings.name,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        kept_aside=kept_aside(settings.split),
        summary=_summary(board, settings, layout, fires),
        data=data_rows(layout, fires),
        drawn=method_label(board.first_seed),
        **_fires(board, layout, fires),
        **_scores(board, settings),
        **_sources(board, settings, layout, fires),
    )
    write_whole(layout.report, page)
    return layout.report


def _scores(board: Scoreboard, settings: Settings) -> dict[str, object]:
    """What follows from the verification tables alone."""
    datasets = settings.tested
    fires, steps, prevalence = board.size()
    return {
        "verdict": verdict(board),
        "headline": method_label(board.headline),
        "tolerance": settings.evaluation.boundary_tolerance,
        "sample": f"{fires} fires, {steps} forecasts, {number(100 * prevalence, 2)} % of the open pixels burned",
        "sizes": {dataset: board.size(dataset) for dataset in datasets},
        "note": board.note,
        "reference": settings.evaluation.reference and name_in_text(settings.evaluation.reference),
        "columns": {"new": NEW_FIRE, "main": AT_VALIDATION, "half": AT_HALF, "brief": BRIEF},
        "regions": {region: _region_tables(board, region) for region in ("new", "whole")},
        "metrics": [name for name, _ in METRICS.values()],
        "differences": difference_rows(board),
        "forests": [forest_plot(board, metric) for metric in METRICS] if board.compared(board.headline) else [],
        "perimeters": {
            "columns": PERIMETERS,
            "whole_columns": WHOLE_PERIMETERS,
            "new": score_rows(board, "new", PERIMETERS, [POOLED]),
            "whole": score_rows(board, "whole", WHOLE_PERIMETERS, [POOLED]),
        },
        "circumstances": by_circumstance(board),
        "dataset_rows": score_rows(board, "new", BRIEF, datasets) if len(datasets) > 1 else [],
        "reliability": reliability_plot(board),
        "calibration": {"columns": CALIBRATION, "rows": calibration_rows(board)},
    }


def _sources(
    board: Scoreboard, settings: Settings, layout: Layout, fires: Mapping[str, xr.Dataset]
) -> dict[str, object]:
    """What follows from training, the backbone and the stores' attributes."""
    stored = [method for method in board.methods if method in layout.methods]  # others' stores are not known here
    attributes = {name: open_forecasts(layout.forecasts(name, next(iter(fires)))).attrs for name in stored}
    sees_wind = {name: bool(of.get("sees_target_wind")) for name, of in attributes.items()}
    seconds = [float(store.attrs["seconds_per_frame"]) for store in fires.values()]
    ahead = {lead: _ahead(lead, fires) for lead in board.leads}
    features = read_feature_attributes(layout)
    backbone = backbone_name(features, settings)
    curves, missing_curves = read_curves(layout)
    stays = all(stays_burned(store) for store in fires.values())
    interpretations, missing_interpretations = read_interpretations(layout)
    return {
        "answer": plain_answer(board, ahead, settings.split, sees_wind.get(board.first_seed), stays),
        "stays_burned": stays,
        "far_ahead": far_ahead(board, seconds),
        "way_ahead": _way_ahead(board, layout),
        "ensembles": read_ensembles(layout, fires),
        "ensemble_columns": ENSEMBLE,
        "foresight": read_foresight(layout),
        "detections": read_detections(layout),
        "random_backbone": backbone if has_random_weights(features, settings) else "",
        "curves": {network_label(f"{name}-seed-0"): training_curves(of) for name, of in curves.items()},
        "missing_curves": missing_curves,
        "interpretations": interpretations,
        "missing_interpretations": missing_interpretations,
        "failure_kinds": list(KINDS.values()),
        "methods": describe_methods(board, layout, backbone, sees_wind),
        "provenance": collect_provenance(settings, layout, fires, features, attributes),
        "settings_text": settings_text(settings),
    }


def _way_ahead(board: Scoreboard, layout: Layout) -> str:
    trained = layout.trained.get(parse_method(board.headline).trained)  # forecasts of others are in no configuration
    return way_ahead(layout.settings.forecast, trained.layout.settings.model.lead_times) if trained else ""


def _region_tables(board: Scoreboard, region: str) -> dict[str, list]:
    return {
        "main": score_rows(board, region, NEW_FIRE if region == "new" else AT_VALIDATION, [POOLED]),
        "half": score_rows(board, region, AT_HALF, [POOLED]),
    }


def _summary(board: Scoreboard, settings: Settings, layout: Layout, fires: Mapping[str, xr.Dataset]) -> str:
    """What is forecast, when from, and on which data, in one line."""
    times = []
    for dataset in fires:
        forecasts = open_forecasts(layout.forecasts(board.first_seed, dataset))
        times.append(forecasts.init_time.values[forecasts.split.values == "test"])
    known = np.concatenate(times).astype("datetime64[s]")
    known = known[known >= CALENDAR_FROM]
    when = f", {_day(known.min())} to {_day(known.max())}" if known.size else ""
    count, steps, _ = board.size()
    every = "every frame" if settings.forecast.every == 1 else f"one frame in {settings.forecast.every}"
    return (
        f"Burned area {_ahead(board.lead, fires)} ahead, from {every} of {count} test fire{'s' * (count != 1)} of "
        f"{listed(list(settings.datasets))} ({steps:,} forecasts{when}); split by {settings.split.by}."
    )


def _ahead(lead: int, fires: Mapping[str, xr.Dataset]) -> str:
    """How far a lead looks in each data set, in words."""
    seconds = {float(store.attrs["seconds_per_frame"]) * lead for store in fires.values()}
    return " or ".join(duration_text(value) for value in sorted(seconds))


def _fires(board: Scoreboard, layout: Layout, fires: Mapping[str, xr.Dataset]) -> dict[str, object]:
    """Maps of the fires that are shown, and the typical one of them step by step and lead by lead."""
    threshold = board.thresholds.get(board.first_seed, {}).get("threshold") or DEFAULT_THRESHOLD
    forecasts = {dataset: open_forecasts(layout.forecasts(board.first_seed, dataset)) for dataset in fires}
    choices = choose_fires(board, board.first_seed)
    cases = [read_case(of, fires[of.dataset], forecasts[of.dataset], threshold) for of in choices]
    colours = {dataset: fuel_colours([case for case in cases if case.choice.dataset == dataset]) for dataset in fires}
    middle = typical(choices)
    shown = () if middle is None else (middle, fires[middle.dataset], forecasts[middle.dataset], threshold)
    by_lead = animate_leads(*shown) if shown else None
    return {
        "maps": [
            FireMaps(_heading(of), _sentence(of, fires[of.choice.dataset]), draw_case(of, colours[of.choice.dataset]))
            for of in cases
        ],
        "threshold": threshold,
        "steps_played": Played(_title(shown[0]), animate_steps(*shown)) if shown else None,
        "leads_played": Played(_title(shown[0]), by_lead) if shown and by_lead else None,
    }


def _title(choice: Choice) -> str:
    return f"{choice.fire_id} of {choice.dataset}"


def _heading(case: Case) -> str:
    choice = case.choice
    return f"{choice.rank} test fire: {choice.fire_id} of {choice.dataset}, new-fire AP {choice.average_precision:.3f}"


def _sentence(case: Case, fires: xr.Dataset) -> str:
    grown = int(np.count_nonzero(case.open_to_fire & (case.observed == 1)))
    hectares = grown * case.cell_m**2 / HECTARE
    when = f" (until {str(case.valid_time.astype('datetime64[m]')).replace('T', ' ')})" if case.valid_time else ""
    since = f", {duration_text(case.elapsed_s)} after the first one" if case.step else ""
    return (
        f"From map {case.step + 1} of the fire{since}, "
        f"{duration_text(case.step_s)} ahead{when}: {hectares:,.0f} ha ({grown:,} cells) burned"
        f"{' anew' * stays_burned(fires)}."
    )


def _day(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]"))
