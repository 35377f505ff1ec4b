"""Verdicts to read: a table in Markdown, and the same as an HTML page that opens offline."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment

LEGEND = (
    "Difference: how much better, with its 95 % interval; margin: how much was claimed. Supported: the whole interval "
    "lies above the margin; refuted: below it; undecided: it holds the margin, or there is no interval. Scores are of "
    "the test fires, resampled by fire, and the mean over seeds; what follows from training curves has its interval "
    "over seeds."
)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title><style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .35rem .6rem; vertical-align: top; border-bottom: 1px solid #ddd }
.supported { color: #00693e; font-weight: 600 }
.refuted { color: #a1340b; font-weight: 600 }
small { color: #555 }
</style></head><body><h1>{{ title }}</h1><p>{{ text }}</p>
<table><thead><tr>{% for name in rows.heading %}<th>{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for row in rows.rows %}<tr>{% for cell in row %}
<td{% if cell in marked %} class="{{ cell }}"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table><p><small>{{ legend }}</small></p></body></html>
"""


class Rows(NamedTuple):
    """A table of text."""

    heading: list[str]
    rows: list[list[str]]


def verdict_rows(table: pd.DataFrame) -> Rows:
    """The verdicts of one experiment."""
    heading = ["claim", "verdict", "compared", "metric", "difference (95 % interval)", "margin", "seeds"]
    return Rows(heading, [_cells(row) for _, row in table.iterrows()])


def summary_rows(table: pd.DataFrame) -> Rows:
    """The verdicts of several experiments, one after the other."""
    of_all = verdict_rows(table)
    names = table.experiment.astype(str)
    return Rows(["experiment", *of_all.heading], [[name, *row] for name, row in zip(names, of_all.rows, strict=True)])


def markdown_page(title: str, text: str, rows: Rows) -> str:
    """A heading, a paragraph and the table."""
    lines = [rows.heading, ["---"] * len(rows.heading), *rows.rows]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"# {title}\n\n{text}\n\n{table}\n\n{LEGEND}\n"


def html_page(title: str, text: str, rows: Rows) -> str:
    """The same as one page without anything from elsewhere."""
    template = Environment(autoescape=True).from_string(PAGE)
    return template.render(title=title, text=text, rows=rows, legend=LEGEND, marked=("supported", "refuted"))


def _cells(row: pd.Series) -> list[str]:
    where = [
        "" if row.region == "new" or row.metric in ("epochs_to_target", "train_validation_gap") else "whole frame",
        "" if row.dataset == "all" else str(row.dataset),
        "" if str(row.history) == "all" else f"{row.history} frames seen",
    ]
    metric = ", ".join([str(row.metric).replace("_", " "), *filter(None, where)])
    seeds = f"{row.seeds_above} of {row.seeds}" + (f", sd {number(row.seed_sd)}" if np.isfinite(row.seed_sd) else "")
    compared = f"{row.better} {number(row.better_value)}, {row.than} {number(row.than_value)}"
    return [str(row.claim), str(row.verdict), compared, metric, _interval(row), number(row.margin), seeds]


def _interval(row: pd.Series) -> str:
    if not np.isfinite([row.low, row.high]).all():
        return f"{number(row.difference, signed=True)} (no interval)"
    return f"{number(row.difference, signed=True)} ({number(row.low, signed=True)} to {number(row.high, signed=True)})"


def number(value: float, digits: int | None = None, signed: bool = False) -> str:
    """A number with a true minus sign; an en dash where it is not defined.

    Args:
        value: the number.
        digits: decimals; None: three, or one for what counts epochs or metres.
        signed: whether a plus stands before it.

    >>> number(0.0412, signed=True), number(float("nan")), number(12.34), number(-0.0002, 3, signed=True)
    ('+0.041', '–', '12.3', '+0.000')
    """
    if not np.isfinite(value):
        return "–"
    if digits is None:
        digits = 1 if abs(value) >= 10 else 3
    value = round(value, digits) + 0.0  # no minus before zero
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "−")
