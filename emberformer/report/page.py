"""The page: every section's content gathered, and the template filled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined

from emberformer.data.fires import open_fires
from emberformer.evaluate.rows import POOLED
from emberformer.forecast_store import open_forecasts
from emberformer.layout import Layout
from emberformer.report.cases import Case, choose_fires, read_case
from emberformer.report.figures import forest_plot, history_plot, reliability_plot, training_curves
from emberformer.report.interpretation import KINDS, read_interpretations
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
from emberformer.report.verdict import METRICS, number, verdict
from emberformer.settings import Settings

DEFAULT_THRESHOLD = 0.5  # drawn where validation gave none


@dataclass(frozen=True)
class FireMaps:
    """A fire's heading, a sentence and its four maps."""

    heading: str
    sentence: str
    panels: list[Panel]


def write_report(settings: Settings, layout: Layout) -> Path:
    """Write one HTML page that opens offline: no script, font, link or picture from elsewhere.

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
    page = environment.get_template("template.html").render(
        name=settings.name,
        split_by=settings.split.by,
        summary=_summary(board, settings, layout, fires),
        maps=_maps(board, layout, fires),
        drawn=method_label(board.first_seed),
        **_scores(board, settings),
        **_sources(board, settings, layout, fires),
    )
    return _write(layout.report, page)


def _scores(board: Scoreboard, settings: Settings) -> dict[str, object]:
    """What follows from the verification tables alone."""
    datasets = list(settings.datasets)
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
        "histories": [history_plot(board, metric) for metric in METRICS],
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
    features = read_feature_attributes(layout)
    backbone = backbone_name(features, settings)
    curves, missing_curves = read_curves(layout)
    interpretations, missing_interpretations = read_interpretations(layout)
    return {
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


def _region_tables(board: Scoreboard, region: str) -> dict[str, list]:
    return {
        "main": score_rows(board, region, NEW_FIRE if region == "new" else AT_VALIDATION, [POOLED]),
        "half": score_rows(board, region, AT_HALF, [POOLED]),
    }


def _summary(board: Scoreboard, settings: Settings, layout: Layout, fires: Mapping[str, xr.Dataset]) -> str:
    """What is forecast, when from, and on which data, in one line."""
    seconds = {float(store.attrs["seconds_per_frame"]) * board.lead for store in fires.values()}
    ahead = " or ".join(duration_text(value) for value in sorted(seconds))
    times = []
    for dataset in fires:
        forecasts = open_forecasts(layout.forecasts(board.first_seed, dataset))
        times.append(forecasts.init_time.values[forecasts.split.values == "test"])
    known = np.concatenate(times).astype("datetime64[s]")
    known = known[known >= np.datetime64("1971-01-01")]  # earlier times are counted from zero, without a calendar
    when = f", {_day(known.min())} to {_day(known.max())}" if known.size else ""
    count, steps, _ = board.size()
    return (
        f"Burned area {ahead} ahead, from every frame of {count} test fire{'s' * (count != 1)} of "
        f"{', '.join(settings.datasets)} ({steps} forecasts{when}); split by {settings.split.by}."
    )


def duration_text(seconds: float) -> str:
    """A duration in days, hours and minutes.

    >>> duration_text(5400)
    '1 h 30 min'
    """
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    parts = [f"{value} {unit}" for value, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if value]
    return " ".join(parts) or "0 min"


def _maps(board: Scoreboard, layout: Layout, fires: Mapping[str, xr.Dataset]) -> list[FireMaps]:
    threshold = board.thresholds.get(board.first_seed, {}).get("threshold") or DEFAULT_THRESHOLD
    cases = [
        read_case(
            choice, fires[choice.dataset], open_forecasts(layout.forecasts(board.first_seed, choice.dataset)), threshold
        )
        for choice in choose_fires(board, board.first_seed)
    ]
    colours = {dataset: fuel_colours([case for case in cases if case.choice.dataset == dataset]) for dataset in fires}
    return [FireMaps(_heading(case), _sentence(case), draw_case(case, colours[case.choice.dataset])) for case in cases]


def _heading(case: Case) -> str:
    choice = case.choice
    return f"{choice.rank} test fire: {choice.fire_id} of {choice.dataset}, new-fire AP {choice.average_precision:.3f}"


def _sentence(case: Case) -> str:
    grown = int(np.count_nonzero(case.open_to_fire & (case.observed == 1)))
    hectares = grown * case.cell_m**2 / 1e4
    when = f" (valid {str(case.valid_time).replace('T', ' ')})" if case.valid_time is not None else ""
    return (
        f"The step of its largest growth: from frame {case.step}, {duration_text(case.elapsed_s)} after the first one, "
        f"{duration_text(case.step_s)} ahead{when}; {grown:,} pixels ({hectares:,.0f} ha) burned anew."
    )


def _day(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]"))


def _write(path: Path, page: str) -> Path:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, path)
    return path
