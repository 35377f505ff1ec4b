"""Scores over folds, by hand."""

import numpy as np
import pandas as pd
import pytest

from emberformer.errors import InputError
from emberformer.evaluate.fold_tables import fold_table, write_fold_tables


def _scores(path, method, average_precision, prevalence, f1):
    about = {
        "method": method,
        "dataset": "all",
        "lead": 1,
        "history": "all",
        "region": "whole",
        "prevalence": prevalence,
    }
    rows = [
        about | {"split": "test", "threshold": "", "metric": "average_precision", "value": average_precision},
        about | {"split": "test", "threshold": "0.5", "metric": "f1", "value": f1},
        about | {"split": "validation", "threshold": "0.5", "metric": "f1", "value": 0.9},
        about | {"split": "test", "history": "5", "threshold": "0.5", "metric": "f1", "value": 0.9},
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_mean_and_spread_stand_beside_each_fold(tmp_path):
    made = [(0, 0.30, 0.001, 0.1), (5, 0.34, 0.002, 0.2), (11, 0.38, 0.003, None)]
    paths = {fold: _scores(tmp_path / f"{fold}.csv", "emberformer-seed-0", *of) for fold, *of in reversed(made)}
    table = fold_table(paths).set_index(["threshold", "metric"])
    assert list(table.columns)[-5:] == ["mean", "sd", "fold_0", "fold_5", "fold_11"]
    assert table.loc[("", "average_precision")].tolist()[-5:] == pytest.approx([0.34, 0.04, 0.30, 0.34, 0.38])
    assert table.loc[("", "prevalence"), "mean"] == pytest.approx(0.002)
    assert table.loc[("0.5", "f1")].isna().tolist()[-5:] == [True, True, False, False, True]
    page = write_fold_tables(paths, tmp_path / "out", "Of a protocol.").read_text()
    assert "| emberformer-seed-0 | average precision | 0.3400 | 0.0400 | 0.3000 | 0.3400 | 0.3800 |" in page
    assert "| emberformer-seed-0 | f1 at 0.5 |  |  | 0.1000 | 0.2000 |  |" in page
    assert "Of a protocol." in page
    assert len(pd.read_csv(tmp_path / "out" / "folds.csv")) == 3


def test_a_fold_without_a_known_pixel_has_no_prevalence(tmp_path):
    made = {0: _scores(tmp_path / "0.csv", "a", 0.3, 0.001, 0.1), 1: _scores(tmp_path / "1.csv", "a", None, None, 0.1)}
    table = fold_table(made).set_index("metric")
    assert table.loc["prevalence", ["fold_0", "fold_1"]].tolist() == pytest.approx([0.001, np.nan], nan_ok=True)


def test_one_fold_has_no_spread(tmp_path):
    table = fold_table({3: _scores(tmp_path / "3.csv", "a", 0.3, 0.001, 0.1)})
    assert table["mean"].tolist() == table["fold_3"].tolist()
    assert np.isnan(table["sd"].tolist()).all()


def test_folds_of_other_methods_are_refused(tmp_path):
    paths = {fold: _scores(tmp_path / f"{fold}.csv", name, 0.3, 0.001, 0.1) for fold, name in enumerate("ab")}
    with pytest.raises(InputError, match="fold_1 has"):
        fold_table(paths)
    with pytest.raises(InputError, match="evaluate the fold"):
        fold_table({0: tmp_path / "none.csv"})
