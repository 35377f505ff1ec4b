"""Ensemble, foresight and detection through the real `snakemake`, on one store: made once, compared, told."""

import os

import pandas as pd
import pytest

from emberformer.member_store import open_members
from tests.detection.camera_sets import write_camera_set
from tests.tiny import write_tiny_dataset
from tests.workflow.running import Run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_commands")]

CONTENT = {
    "name": "tiny",
    "split": {"train": 0.5, "validation": 0.2, "test": 0.3},
    "features": {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32"},
    "shards": 1,
    "model": {"d_model": 16, "d_wind": 4, "layers": 1, "heads": 2, "feedforward": 16, "history": 2, "lead_times": 2}
    | {"decoder_channels": 8, "refinement_channels": 4},
    "training": {"epochs": 1, "crop": None, "seeds": [0]},
    "forecast": {"leads": 2},
    "ensemble": {"leads": 2, "side": 7, "d_model": 8, "depth": 1, "heads": 1, "refinement_channels": 4, "epochs": 1}
    | {"members": 4, "steps": 2, "rivals": ["correlated", "dropout"]},
    "foresight": {"gaps": [1, 2], "similarity_gaps": 2, "components": 8, "neighbour_components": 4, "d_model": 8}
    | {"layers": 1, "heads": 1, "steps": 3, "validations": 1, "crop": 3, "trained": ["mlp"], "without_wind": ["mlp"]}
    | {"grid_trunk": "mlp", "cells": 2, "pixel_rollout": True},
    "detection": {"preset": "small", "queries": 8, "layers": 1, "heads": 1, "d_model": 16, "groups": 1, "epochs": 1}
    | {"fires": {"crop": None, "steps_per_fire": 2, "validation_steps_per_fire": 1}},
    "logging": {"wandb": "disabled"},
    "evaluation": {"replicates": 100, "baselines": ["persistence"]},
}


def test_snakemake_has_nothing_to_say_about_the_rules_of_all_systems(tmp_path):
    source = write_tiny_dataset(tmp_path / "source", fires=1).model_dump(mode="json")
    said = Run(tmp_path, {**CONTENT, "datasets": {"valley": source}}).output("--lint")
    assert "your workflow is in a good condition" in said


def test_ensemble_foresight_and_detection_from_fires_to_the_report(tmp_path):
    source = write_tiny_dataset(tmp_path / "source", fires=8).model_dump(mode="json")
    run = Run(tmp_path, {**CONTENT, "datasets": {"valley": source}})
    jobs = run.snakemake("ensemble", "foresight", "detection", "all")
    once = ("train", "hindcast", "ensemble_prior", "ensemble_train", "ensemble_hindcast", "ensemble_evaluate",
            "foresight_similarity", "foresight_predict", "foresight_heads", "foresight_probe", "detection_train",
            "detection_detect", "detection_evaluate", "report")  # fmt: skip
    assert {name: jobs[name] for name in once} == dict.fromkeys(once, 1)
    assert jobs["ensemble_rival"] == 2
    results = tmp_path / "results" / "tiny"

    scores = pd.read_csv(results / "ensembles" / "ensemble_scores.csv")
    assert set(scores.method) == {f"{name}-seed-0" for name in ("emberformer-ensemble", "correlated", "dropout")}
    assert set(scores.lead) == {1, 2}
    one = scores[(scores.metric == "area_crps_ha") & (scores.dataset == "valley")].set_index(["method", "lead"]).value
    assert (one >= 0).all()
    assert one.groupby("lead").nunique().min() > 1  # the methods differ
    assert "dropout" in (results / "ensembles" / "rank_histogram.csv").read_text()
    stores = sorted(tmp_path.glob("results/models/*/**/valley.members.zarr"))
    assert len(stores) == 3
    assert {open_members(path).sizes["member"] for path in stores} == {4}
    assert "emberformer-ensemble" in (results / "scores" / "scores.csv").read_text()

    assert {"copy", "pixel"} <= set(pd.read_csv(results / "foresight" / "probe.csv").source)
    found = pd.read_csv(results / "detection" / "scores.csv").set_index(["method", "windows"])
    assert {("detector-seed-0", "all"), ("detector-seed-0", "next")} < set(found.index)
    assert ("pieces of emberformer-seed-0", "next") in found.index
    assert list(tmp_path.glob("results/**/test-valley.gpkg"))

    page = (results / "report.html").read_text()
    for told in ("An ensemble of futures", "correlated noise", "How far ahead features can be foreseen"):
        assert told in page
    assert run.snakemake("ensemble", "foresight", "detection", "all") == {}

    more = run.changed(ensemble={"members": 6})  # another number of members trains nothing anew
    jobs = more.snakemake("ensemble", "--dry-run")
    assert jobs == {"ensemble_hindcast": 1, "ensemble_rival": 2, "ensemble_evaluate": 1}
    other = run.changed(foresight={"seed": 1})  # another study trains no network for fire anew
    jobs = other.snakemake("foresight", "--dry-run")
    assert "train" not in jobs
    assert jobs["foresight_predict"] == 1
    asked = run.changed(detection={"asking": {"minimum_score": 0.1}})  # asking otherwise trains no detector anew
    assert asked.snakemake("detection", "--dry-run") == {"detection_detect": 1, "detection_evaluate": 1}


def test_a_detector_of_camera_images_needs_no_fires(tmp_path):
    annotations, images = write_camera_set(tmp_path / "set", count=4)
    cameras = {"sets": [{"annotations": str(annotations), "images": str(images)}], "side": 56}
    content = {"name": "cameras", "features": CONTENT["features"], "detection": {"cameras": cameras, "tail": {}}}
    run = Run(tmp_path, content)
    features = run.folder / run.layout.camera_images / "zarr.json"
    features.parent.mkdir(parents=True)
    features.write_text("of annotations that were edited since")
    os.utime(features, (10**9, 10**9))
    jobs = run.snakemake("--dry-run")
    assert jobs == dict.fromkeys(("detection_images", "detection_train", "detection_detect", "detection_evaluate"), 1)
