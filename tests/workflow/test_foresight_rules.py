"""The study of foresight through the real `snakemake` on tiny fires: tables made once, and told in the report."""

import pandas as pd
import pytest

from tests.tiny import write_tiny_dataset
from tests.workflow.test_workflow import Run

pytestmark = pytest.mark.slow

CONTENT = {
    "name": "tiny",
    "split": {"train": 0.5, "validation": 0.2, "test": 0.3},
    "features": {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32"},
    "shards": 1,
    "model": {"d_model": 16, "d_wind": 4, "layers": 1, "heads": 2, "feedforward": 16, "history": 2}
    | {"decoder_channels": 8, "refinement_channels": 4},
    "training": {"epochs": 1, "crop": None},
    "forecast": {"leads": 2},
    "foresight": {"gaps": [1, 2], "similarity_gaps": 2, "components": 8, "neighbour_components": 4, "d_model": 8}
    | {"layers": 1, "heads": 1, "steps": 3, "validations": 1, "crop": 3, "trained": ["mlp"], "without_wind": ["mlp"]}
    | {"grid_trunk": "mlp", "cells": 2, "pixel_rollout": True},
    "logging": {"wandb": "disabled"},
    "evaluation": {"replicates": 100, "baselines": ["persistence"]},
}


def test_foresight_from_fires_to_the_report(tmp_path):
    source = write_tiny_dataset(tmp_path / "source", fires=8).model_dump(mode="json")
    run = Run(tmp_path, {**CONTENT, "datasets": {"valley": source}})
    jobs = run.snakemake("foresight")
    rules = ("foresight_similarity", "foresight_predict", "foresight_heads", "foresight_probe")
    assert [jobs[rule] for rule in rules] == [1, 1, 1, 1]
    assert (jobs["train"], jobs["hindcast"]) == (1, 1)  # the forecasts in pixels that it compares with
    folder = tmp_path / "results" / "tiny" / "foresight"
    assert {"copy", "pixel"} <= set(pd.read_csv(folder / "probe.csv").source)
    assert run.snakemake("foresight") == {}
    run = run.changed(foresight={"seed": 1})  # another study trains no network for fire anew
    assert "train" not in run.snakemake("foresight")
    assert run.snakemake()["report"] == 1
    page = (tmp_path / "results" / "tiny" / "report.html").read_text()
    assert "How far ahead features can be foreseen" in page
    assert run.snakemake() == {}
