"""From the forecasts and training curves of an experiment to its tables and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from emberformer.atomic import replacing, write_whole
from emberformer.errors import InputError
from emberformer.evaluate.curves import read_curve
from emberformer.evaluate.hypotheses import Verdict, curve_values, judge, of_curves, score_values
from emberformer.evaluate.rows import MethodScores, write
from emberformer.evaluate.tables import evaluate
from emberformer.evaluate.verdict_pages import html_page, markdown_page, summary_rows, verdict_rows
from emberformer.experiments import Hypothesis, Study

ASKED = ["claim", "better", "than", "metric", "region", "dataset", "history", "by", "unit"]
COLUMNS = ["experiment", *ASKED, *Verdict._fields]


def judge_study(study: Study, processes: int = 1) -> Path:
    """Score the networks of an experiment and judge its hypotheses.

    Writes into the study's folder
        scores/        the verification tables, as `emberformer evaluate` writes them
        verdicts/      verdicts.csv, a row for each hypothesis with the columns of `hypotheses.Verdict`; verdicts.md and
                       verdicts.html say the same to read

    Args:
        study: the experiment.
        processes: methods that are scored at a time.

    Returns:
        `verdicts.csv`.

    Raises:
        InputError: a forecast store or a training curve is missing or does not fit.
    """
    datasets = study.layout.settings.datasets
    stores = {method: {name: study.layout.forecasts(method, name) for name in datasets} for method in study.methods}
    fires = {name: study.layout.fires(name) for name in datasets}
    settings = study.layout.settings
    results = evaluate(stores, fires, study.scores, settings.evaluation, processes, settings.followed_protocol)
    table = verdict_table(study, results)
    title, question = study.experiment.title, study.experiment.question
    with replacing(study.verdicts) as folder:
        write(table, folder / "verdicts.csv")
        (folder / "verdicts.md").write_text(markdown_page(title, question, verdict_rows(table)))
        (folder / "verdicts.html").write_text(html_page(title, question, verdict_rows(table)))
    return study.verdicts / "verdicts.csv"


def verdict_table(study: Study, results: Mapping[str, MethodScores]) -> pd.DataFrame:
    """A row for each hypothesis.

    Args:
        study: the experiment.
        results: method -> its scores, each seed by itself.
    """
    rows = []
    for hypothesis in study.experiment.hypotheses:
        asked = {name: getattr(hypothesis, name) for name in ASKED}
        verdict = _judged(study, hypothesis, results)
        rows.append({"experiment": study.name} | asked | verdict._asdict())
    return pd.DataFrame(rows, columns=COLUMNS)


def summarise(tables: Sequence[Path], folder: Path) -> Path:
    """Write `summary.csv`, `summary.md` and `summary.html`: the verdicts of several experiments in one table.

    Args:
        tables: `verdicts.csv` of each experiment.
        folder: folder to write into.

    Returns:
        `summary.md`.

    Raises:
        InputError: a table is missing or is none of verdicts.
    """
    read = []
    for path in tables:
        try:
            read.append(pd.read_csv(path, dtype={"history": str})[COLUMNS])
        except (OSError, ValueError, KeyError) as error:
            raise InputError(path, str(error), "a table of verdicts", "run `emberformer judge` again") from error
    joined = pd.concat(read, ignore_index=True)
    counts = joined.verdict.value_counts()
    said = ", ".join(f"{counts.get(name, 0)} {name}" for name in ("supported", "refuted", "undecided"))
    title, text = "Experiments", f"{len(joined)} hypotheses of {len(read)} experiments: {said}."
    folder.mkdir(parents=True, exist_ok=True)
    write(joined, folder / "summary.csv")
    write_whole(folder / "summary.html", html_page(title, text, summary_rows(joined)))
    write_whole(folder / "summary.md", markdown_page(title, text, summary_rows(joined)))
    return folder / "summary.md"


def _judged(study: Study, hypothesis: Hypothesis, results: Mapping[str, MethodScores]) -> Verdict:
    names = hypothesis.better, hypothesis.than
    if of_curves(hypothesis):
        trained = [study.layout.trained[name] for name in names]
        curves = [[read_curve(one.folder(seed)) for seed in one.seeds] for one in trained]
        return judge(hypothesis, curve_values(hypothesis, *curves))
    better, than = ([results[method] for method in study.members(name)] for name in names)
    return judge(hypothesis, score_values(hypothesis, better, than))
