"""Tables of a cross-validation: every score of the test in each fold, its mean and its standard deviation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from emberformer.atomic import write_whole
from emberformer.errors import InputError
from emberformer.evaluate.folds import over_folds
from emberformer.evaluate.rows import POOLED, write

KEYS = ["method", "dataset", "lead", "region", "threshold", "metric"]
SHOWN = (  # threshold and metric, as WildfireSpreadTS is scored
    ("", "average_precision"), ("0.5", "f1"), ("0.5", "precision"), ("0.5", "recall"), ("0.5", "iou"),
    ("", "prevalence"),
)  # fmt: skip


def fold_table(scores: Mapping[int, Path]) -> pd.DataFrame:
    """Scores of the test over folds.

    Args:
        scores: number of a fold -> its scores.csv.

    Returns:
        A row for each method, data set, lead, region, threshold and metric, prevalence among them: `mean`, `sd` (n - 1)
        and `fold_<number>`. Mean and sd are NaN where a fold does not define the score, and sd where there is one fold.

    Raises:
        InputError: a file is missing, or the folds did not score the same methods.
    """
    folds = {f"fold_{number}": _test_scores(path) for number, path in sorted(scores.items())}
    methods = {name: set(of.index.get_level_values("method")) for name, of in folds.items()}
    first = next(iter(methods))
    for name, found in methods.items():
        if found != methods[first]:
            odd, remedy = (
                f"{name} has {sorted(found)}, {first} has {sorted(methods[first])}",
                "evaluate the folds again",
            )
            raise InputError("scores of the folds", odd, "the same methods in every fold", remedy)
    table = pd.DataFrame(folds)
    spread = [over_folds(row) if len(row) > 1 else (row[0], np.nan) for row in table.to_numpy().tolist()]
    table.insert(0, "mean", [mean for mean, _ in spread])
    table.insert(1, "sd", [sd for _, sd in spread])
    return table.reset_index()


def write_fold_tables(scores: Mapping[int, Path], folder: Path, note: str) -> Path:
    """Write folds.csv, all of `fold_table`, and folds.md, what papers tell of it: all pixels, the shortest lead.

    Args:
        scores: number of a fold -> its scores.csv.
        folder: where they go.
        note: paragraph above the table.

    Returns:
        folds.md.
    """
    table = fold_table(scores)
    folder.mkdir(parents=True, exist_ok=True)
    write(table, folder / "folds.csv")
    shown = table[(table.dataset == POOLED) & (table.region == "whole") & (table.lead == table.lead.min())]
    shown = shown.set_index(["method", "threshold", "metric"])
    folds = [name for name in table.columns if name.startswith("fold_")]
    head = ["method", "metric", "mean", "sd", *(name.replace("_", " ") for name in folds)]
    lines = [head, ["---"] * len(head)]
    for method in dict.fromkeys(shown.index.get_level_values("method")):
        for threshold, metric in SHOWN:
            if (method, threshold, metric) in shown.index:
                row = shown.loc[(method, threshold, metric), ["mean", "sd", *folds]].tolist()
                label = f"{metric.replace('_', ' ')}{f' at {threshold}' if threshold else ''}"
                lines.append([method, label, *("" if np.isnan(value) else f"{value:.4f}" for value in row)])
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    page = folder / "folds.md"
    write_whole(page, f"# Scores over {len(folds)} folds\n\n{note}\n\n{text}\n")
    return page


def _test_scores(path: Path) -> pd.Series:
    """Value of each score of all test forecasts, indexed by `KEYS`."""
    try:
        table = pd.read_csv(
            path,
            dtype={"history": str, "threshold": str},
            keep_default_na=False,
            na_values={"value": [""], "prevalence": [""]},
        )
    except OSError as error:
        raise InputError(path, str(error), "scores of this fold", "evaluate the fold") from error
    table = table.query("split == 'test' and history == @POOLED")
    prevalence = table.query("metric == 'average_precision'")
    prevalence = prevalence.assign(metric="prevalence", value=prevalence["prevalence"])
    every = pd.DataFrame(pd.concat([table, prevalence]))
    return pd.Series(
        every["value"].to_numpy(float), pd.MultiIndex.from_arrays([every[key] for key in KEYS], names=KEYS)
    )
