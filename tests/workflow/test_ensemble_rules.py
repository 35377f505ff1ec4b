"""An ensemble through the real `snakemake` on tiny fires: trained, drawn, compared, told in the report, made once."""

import pandas as pd
import pytest

from emberformer.member_store import open_members
from tests.tiny import write_tiny_dataset
from tests.workflow.test_workflow import Run

pytestmark = pytest.mark.slow

CONTENT = {
    "name": "tiny",
    "split": {"train": 0.5, "validation": 0.2, "test": 0.3},
    "features": {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32"},
    "shards": 1,
    "model": {"d_model": 16, "d_wind": 4, "layers": 1, "heads": 2, "feedforward": 16, "history": 2, "lead_times": 2}
    | {"decoder_channels": 8, "refinement_channels": 4},
    "training": {"epochs": 1, "crop": None, "seeds": [0]},
    "forecast": {"leads": 2, "every": 2},
    "ensemble": {"leads": 2, "side": 7, "d_model": 8, "depth": 1, "heads": 1, "refinement_channels": 4, "epochs": 1}
    | {"members": 4, "steps": 2, "rivals": ["correlated", "dropout"]},
    "logging": {"wandb": "disabled"},
    "evaluation": {"replicates": 100, "baselines": ["persistence"]},
}


def test_an_ensemble_from_fires_to_the_report(tmp_path):
    source = write_tiny_dataset(tmp_path / "source", fires=8).model_dump(mode="json")
    run = Run(tmp_path, {**CONTENT, "datasets": {"valley": source}})
    jobs = run.snakemake("ensemble")
    assert (jobs["train"], jobs["ensemble_train"], jobs["hindcast"], jobs["ensemble_hindcast"]) == (1, 1, 1, 1)
    assert (jobs["ensemble_prior"], jobs["ensemble_rival"], jobs["ensemble_evaluate"]) == (1, 2, 1)
    folder = tmp_path / "results" / "tiny" / "ensembles"
    scores = pd.read_csv(folder / "ensemble_scores.csv")
    assert set(scores.method) == {f"{name}-seed-0" for name in ("emberformer-ensemble", "correlated", "dropout")}
    assert set(scores.lead) == {1, 2}
    one = scores[(scores.metric == "area_crps_ha") & (scores.dataset == "valley")].set_index(["method", "lead"]).value
    assert (one >= 0).all()
    assert one.groupby("lead").nunique().min() > 1  # the methods differ
    stores = sorted(tmp_path.glob("results/models/*/**/valley.members.zarr"))
    assert len(stores) == 3
    assert {open_members(path).sizes["member"] for path in stores} == {4}
    assert run.snakemake("ensemble") == {}

    run = run.changed(ensemble={"members": 6})  # another number of members trains nothing anew
    jobs = run.snakemake("ensemble")
    assert jobs == {"ensemble_hindcast": 1, "ensemble_rival": 2, "ensemble_evaluate": 1}

    assert "dropout" in (folder / "rank_histogram.csv").read_text()
    assert run.snakemake()["report"] == 1
    page = (tmp_path / "results" / "tiny" / "report.html").read_text()
    assert "An ensemble of futures" in page
    assert "correlated noise" in page
    assert "emberformer-ensemble" in (tmp_path / "results" / "tiny" / "scores" / "scores.csv").read_text()
    assert run.snakemake() == {}
