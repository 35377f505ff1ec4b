"""The section on foresight: how alike features are, how well they are predicted, and what that says of the fire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from emberformer.errors import InputError
from emberformer.layout import Layout
from emberformer.report.durations import duration_text
from emberformer.report.figures import MODEL_COLOUR, RIVAL_COLOURS, SEED_MARKERS, Picture, chart, legend_above
from emberformer.report.tables import Cell, Column, Row
from emberformer.report.verdict import number

NAMES = {
    "copy": "copy", "climatology": "mean of training", "damped": "damped copy", "ridge": "ridge",
    "ridge_3x3": "ridge, 3 x 3 patches", "linear": "linear, trained", "mlp": "MLP", "mlp_3x3": "MLP, 3 x 3 patches",
    "transformer": "transformer", "transformer_cross": "transformer, all patches", "rollout": "rollout, step by step",
    "persistence": "persistence", "truth": "features of the coming frame", "pixel": "forecast in pixels",
    "film_global": "FiLM, one for all patches", "film_spatial": "FiLM, one a patch", "cross_attn": "cross-attention",
    "token": "tokens",
}  # fmt: skip
COLOURS = (MODEL_COLOUR, *RIVAL_COLOURS)
PLACES = {"damped": 1, "ridge": 2, "ridge_3x3": 3, "rollout": 5, "copy": 2, "pixel": 4, "truth": 6}  # among colours
REGIONS = {"all": "all patches", "changed": "patches that change", "cls": "CLS token"}


GAINS = (
    "Squared error of standard features: % less than by copying, with 95 % intervals over fires; bold where the whole "
    "interval against damped persistence lies above 0"
)


class ForesightSection(NamedTuple):
    """Of one data set: sentences, tables with their columns, and charts."""

    dataset: str
    said: list[str]
    tables: dict[str, tuple[list[Column], list[Row]]]
    pictures: list[Picture]


def read_foresight(layout: Layout) -> list[ForesightSection]:
    """A section for each data set that was studied; none where the configuration has no study.

    Raises:
        InputError: a table is missing.
    """
    if layout.settings.foresight is None:
        return []
    names = ("gap_similarity", "gap_predict", "head_grid", "probe")
    tables = {name: _read(layout, name) for name in names}
    found = []
    for dataset in tables["gap_predict"].dataset.unique():
        own = {name: table.loc[table.dataset == dataset] for name, table in tables.items()}
        maps = xr.load_dataset(layout.foresight / f"change_maps_{dataset}.nc", engine="h5netcdf")
        found.append(_section(str(dataset), own, maps))
    return found


def label(name: str) -> str:
    """A predictor's, source's or head's name in words."""
    told = name.removesuffix("_no_wind")
    return NAMES.get(told, told) + (", without wind" if told != name else "")


def _section(dataset: str, tables_of: Mapping[str, pd.DataFrame], maps: xr.Dataset) -> ForesightSection:
    alike, predicted = tables_of["gap_similarity"], tables_of["gap_predict"]
    grid, fire = tables_of["head_grid"], tables_of["probe"]
    seconds = float(alike.loc[alike.gap == 1, "seconds"].iloc[0])
    gaps = {gap: duration_text(gap * seconds) for gap in sorted(predicted.gap.unique().tolist())}
    whole = predicted.loc[predicted.region == "all"]
    order = whole.predictor.unique().tolist()
    changed = predicted.loc[predicted.region == "changed"]
    told = fire.loc[fire.reader == "probe"]
    sources = told.source.unique().tolist()
    tables = {
        GAINS: _table(whole, "predictor", order, gaps, "better_than_copy"),
        "The same of patches whose burned share changed": _table(changed, "predictor", order, gaps, "better_than_copy"),
        "IoU of new fire, read from features by a linear map": _table(told, "source", sources, gaps, "iou_new", 3),
    }
    for target, name in (("feature", "features"), ("mask", "the burned share of patches")):
        title = f"How the wind enters, with {name} as the target: % less squared error than copying"
        rows = grid.loc[grid.target == target]
        tables[title] = _table(rows, "head", rows["head"].unique().tolist(), gaps, "better_than_copy")
    pictures = [_curve(alike, seconds), _gains(whole, seconds), _fire(fire, seconds), *_maps(maps, seconds)]
    return ForesightSection(dataset, _said(whole, alike, seconds), tables, pictures)


def _said(whole: pd.DataFrame, alike: pd.DataFrame, seconds: float) -> list[str]:
    """What may be claimed: gains against damped persistence alone, by their intervals over fires."""
    itself = alike.loc[(alike.gap > 0) & (alike.region == "all")].set_index("gap")
    first, last = itself.index.min(), itself.index.max()
    known = {gap: number(float(itself.cosine[gap]), 3) for gap in (first, last)}
    cosine = {gap: f"{value} after {duration_text(gap * seconds)}" for gap, value in known.items()}
    said = [f"The features of a patch have a cosine to what they were of {cosine[first]} and of {cosine[last]}."]
    name = str(whole.loc[whole.chosen, "predictor"].iloc[0])
    chosen = whole.loc[whole.predictor == name].sort_values(by="gap")
    words = {
        "yes": "is better than damped persistence, with the whole 95 % interval over fires above 0,",
        "no": "is worse than damped persistence, with the whole interval below 0,",
        "undecided": "cannot be told from damped persistence, for its interval holds 0,",
    }
    subject = f"The trained predictor that validation chose, {label(name)},"
    said += _verdicts(chosen, "gain", "better_than_damped", subject, words)
    words = {
        "yes": "has less error than the same network without, with the whole interval above 0,",
        "no": "has more error than the same network without, with the whole interval below 0,",
        "undecided": "cannot be told from the same network without, for its interval holds 0,",
    }
    for other in whole.loc[whole.wind_helps.notna(), "predictor"].unique().tolist():
        of = whole.loc[whole.predictor == other].sort_values(by="gap")
        said += _verdicts(of, "wind_helps", "better_than_no_wind", f"Told the coming wind, {label(other)}", words)
    return said


def _verdicts(rows: pd.DataFrame, verdict: str, score: str, subject: str, words: Mapping[str, str]) -> list[str]:
    """A sentence for each verdict that holds at some gap, with its words and the differences there."""
    parts = {name: rows.loc[rows[verdict] == name] for name in words}
    return [f"{subject} {words[name]} at {_by_gap(of, score)}." for name, of in parts.items() if len(of)]


def _by_gap(rows: pd.DataFrame, score: str) -> str:
    """Values of a difference in percent and their intervals, by gap."""
    columns = ("seconds", score, f"{score}_low", f"{score}_high")
    return "; ".join(
        f"{duration_text(after)}: {number(value, 1, signed=True)} % ({number(low, 1)} to {number(high, 1)})"
        for after, value, low, high in zip(*(rows[c].astype(float).tolist() for c in columns), strict=True)
    )


def _table(
    table: pd.DataFrame, key: str, names: Sequence[str], gaps: Mapping[int, str], score: str, digits: int = 1
) -> tuple[list[Column], list[Row]]:
    """Scores by name and gap, which is told in words; a gain is bold."""
    columns = [Column(score, "", ahead, digits) for ahead in gaps.values()]
    of = table.set_index([key, "gap"])
    rows = []
    for name in names:
        cells = []
        for gap in gaps:
            one = of.loc[(name, gap)]
            value, low, high = (number(float(one[score + end]), digits) for end in ("", "_low", "_high"))
            cells.append(Cell(value, f"{low} to {high}", "", one.get("gain") == "yes"))
        rows.append(Row(label(name), cells, False, ""))
    return columns, rows


def _curve(alike: pd.DataFrame, seconds: float) -> Picture:
    """Mean squared error of copying by gap."""
    known = alike.loc[alike["mse"].notna()]
    parts = {name: known.loc[known.region == region] for region, name in REGIONS.items()}
    return _lines(parts, range(len(parts)), "mse", seconds, "squared error of copying", "How fast features change")


def _gains(whole: pd.DataFrame, seconds: float) -> Picture:
    """Gain over copying by gap, of the simple predictors and of the best trained one."""
    chosen = str(whole.loc[whole.chosen, "predictor"].iloc[0])
    shown = [name for name in dict.fromkeys((chosen, "damped", "ridge", "ridge_3x3", f"{chosen}_no_wind", "rollout"))
             if (whole.predictor == name).any()]  # fmt: skip
    parts = {label(name): whole.loc[whole.predictor == name] for name in shown}
    places = [4 if name == f"{chosen}_no_wind" else PLACES.get(name, 0) for name in shown]
    return _lines(parts, places, "better_than_copy", seconds, "% less error than copying", "Predictors by gap")


def _fire(fire: pd.DataFrame, seconds: float) -> Picture:
    """IoU of new fire by gap."""
    told = fire.loc[fire.reader == "probe"]
    names = [name for name in told.source.unique() if name != "persistence"]
    parts = {label(name): told.loc[told.source == name] for name in names}
    places = [PLACES.get(name, 0) for name in names]
    return _lines(parts, places, "iou_new", seconds, "IoU of new fire", "Fire read from features")


def _lines(
    parts: Mapping[str, pd.DataFrame], places: Sequence[int], score: str, seconds: float, name: str, caption: str
) -> Picture:
    """A line a part, with its intervals; a predictor has the same colour, by its place, in every chart."""

    def draw(axes: Axes) -> None:
        for number_of, (place, (part_name, part)) in enumerate(zip(places, parts.items(), strict=True)):
            colour, marker = COLOURS[place], SEED_MARKERS[place % len(SEED_MARKERS)]
            at = part["gap"].to_numpy(float) + 0.05 * (number_of - (len(parts) - 1) / 2)
            axes.plot(at, part[score], marker=marker, color=colour, label=part_name)
            axes.vlines(at, part[f"{score}_low"], part[f"{score}_high"], color=colour, alpha=0.6, linewidth=1.2)
        axes.set(xlabel=f"frames of {duration_text(seconds)} ahead", ylabel=name)
        legend_above(axes)

    said = "; ".join(f"{n} {', '.join(number(float(v), 2) for v in part[score])}" for n, part in parts.items())
    return chart(draw, f"{name[0].upper()}{name[1:]} by gap: {said}.", caption)


def _maps(maps: xr.Dataset, seconds: float) -> list[Picture]:
    """Where the features of one fire change, for the shortest and the longest gap."""
    fire = maps.isel(fire=maps.sizes["fire"] // 2)
    most = float(np.nanmax(fire.change.values))
    pictures = []
    for gap in dict.fromkeys((int(fire.gap[0]), int(fire.gap[-1]))):
        change, share = fire.change.sel(gap=gap).values, fire.burned_share.sel(frame=gap).values

        def draw(axes: Axes, change: np.ndarray = change, share: np.ndarray = share) -> None:
            shown = axes.imshow(change, cmap="magma", vmin=0, vmax=most or 1)
            if share.max() > 0 and share.min() < 0.5:
                axes.contour(share, levels=[0.5], colors="white", linewidths=1)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.figure.colorbar(shown, ax=axes, label="squared error of copying")

        name = f"{fire.fire_id.item()}, {duration_text(gap * seconds)} ahead"
        alt = f"{name}: mean change {np.nanmean(change):.2f}, largest {np.nanmax(change):.2f}; line: burned by half."
        pictures.append(chart(draw, alt, f"Where features change: {name}"))
    return pictures


def _read(layout: Layout, name: str) -> pd.DataFrame:
    path = layout.foresight / f"{name}.csv"
    try:
        return pd.read_csv(path)
    except OSError as error:
        raise InputError(path, "no table", "the study of foresight", "run `snakemake foresight`") from error
