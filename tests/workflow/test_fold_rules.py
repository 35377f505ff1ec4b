"""Folds of a cross-validation by year, through the real `snakemake` on tiny files of WildfireSpreadTS."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.workflow.running import Run
from tests.wsts_files import dates_from, made_days, write_geotiffs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_commands")]

CONTENT = {
    "name": "tiny",
    "protocol": "wsts-full",
    "datasets": {"wsts": {"source": "wsts", "root": "source"}},
    "features": {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32", "channel_map": "triplets"},
    "shards": 1,
    "model": {"d_model": 16, "d_wind": 4, "layers": 1, "heads": 2, "feedforward": 16, "history": 2}
    | {"decoder_channels": 8, "refinement_channels": 4},
    "training": {"epochs": 1, "crop": None},
    "logging": {"wandb": "disabled"},
    "evaluation": {"replicates": 100, "baselines": ["persistence"]},
}


def _files(root: Path) -> None:
    for number, year in enumerate((2018, 2019, 2020, 2021)):
        days = made_days(7, (37, 42), seed=number)
        write_geotiffs(root, f"{year}/fire_{number}", dates_from(f"{year}-07-01", 7), days)


def test_two_folds_on_one_feature_store(tmp_path):
    _files(tmp_path / "source")
    run = Run(tmp_path, CONTENT)
    jobs = run.snakemake("folds", "--config", "folds=[0,11]")
    assert {name: jobs.get(name) for name in ("ingest", "features_index", "split", "split_fold")} == {
        "ingest": 1, "features_index": 1, "split": 1, "split_fold": 1,
    }  # fmt: skip
    assert (jobs["train"], jobs["baseline"], jobs["baseline_of_fold"], jobs["evaluate_fold"]) == (2, 1, 1, 2)
    table = pd.read_csv(tmp_path / "results" / "tiny" / "folds.csv", dtype={"threshold": str})
    assert set(table.method) == {"emberformer-seed-0", "persistence"}
    whole = table[(table.dataset == "wsts") & (table.region == "whole") & (table.metric == "average_precision")]
    assert whole["mean"].tolist() == pytest.approx(whole[["fold_0", "fold_11"]].mean(axis=1).tolist(), rel=1e-4)
    prevalence = table[(table.dataset == "wsts") & (table.region == "whole") & (table.metric == "prevalence")]
    for fold, seed in ((0, 3), (11, 0)):  # tested on 2021 and on 2018: days 5 and 6, 32 x 32 pixels of 37 x 42
        observed = ~np.isnan(made_days(7, (37, 42), seed=seed)[5:, 22, 2:34, 5:37])
        assert prevalence[f"fold_{fold}"].tolist() == pytest.approx([observed.mean()] * 2, rel=1e-4)
        told = json.loads((tmp_path / "results" / f"tiny-fold-{fold}" / "scores" / "protocol.json").read_text())
        assert told["protocol"]["fold"]["number"] == fold
    assert "Protocol wsts-full" in (tmp_path / "results" / "tiny" / "folds.md").read_text()
    assert run.snakemake("folds", "--config", "folds=[0,11]") == {}
