"""The workflow on a tiny data set, through the real `snakemake`: one whole run, and what each change makes stale.

Every test works on its own copy of the finished run: all paths are relative to the working folder.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from emberformer.data.fires import open_fires
from emberformer.experiments import find_experiments, plan_study
from emberformer.settings import parse_settings
from tests.tiny import write_frame, write_tiny_dataset
from tests.workflow.running import BIN, ROOT, Run, jobs_of, printed

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_commands")]

SHIPPED = ROOT / "config" / "experiments"
FIRES, FRAMES = 7, 5
ONE_BY_ONE = ("extract_features", "--set-resources", "features_extract:batch_tokens=1")
SCORED = {"evaluate": 1, "interpret": 1, "report": 1}
AFTER_TRAINING = {"train": 1, "hindcast": 1, **SCORED}


def patches(features: xr.Dataset, fire: int) -> np.ndarray:
    """Patch tokens of all frames of a fire [frame, patch_y, patch_x, feature]."""
    begin = int(features.row_start[fire])
    rows = features.frame_of.values[begin : begin + int(features.row_size[fire])]
    return features.frame_patches.values[rows]


def contents(store: Path) -> dict[str, bytes]:
    """All bytes of a feature store; without `.plan`, which says how it came about."""
    files = (path for path in store.rglob("*") if path.is_file() and ".plan" not in path.parts)
    return {str(path.relative_to(store)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    """One run of the whole workflow."""
    folder = tmp_path_factory.mktemp("finished")
    source = write_tiny_dataset(folder / "source", fires=FIRES, frames=FRAMES)
    content = {
        "name": "tiny",
        "datasets": {"tiny": source.model_dump(mode="json") | {"root": "source"}},
        "features": {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32"},
        "shards": 2,
        "model": {"d_model": 16, "d_wind": 4, "layers": 1, "heads": 2, "feedforward": 16, "history": 3}
        | {"decoder_channels": 8, "refinement_channels": 4},
        "training": {"epochs": 1, "crop": None},
        "logging": {"wandb": "disabled"},
        "evaluation": {"replicates": 100},
    }
    run = Run(folder, content)
    assert Run(folder, content, cores=2).snakemake() == {
        "ingest": 1,
        "split": 1,
        "features_plan": 1,
        "features_extract": 2,
        "features_index": 1,
        "baseline": 4,
        **AFTER_TRAINING,
    }
    return run


@pytest.fixture
def run(finished, tmp_path) -> Run:
    """A copy of the finished run, to be changed at will."""
    shutil.copytree(finished.folder, tmp_path, dirs_exist_ok=True)
    return Run(tmp_path, finished.content)


def test_whole_run_leaves_every_product(finished):
    layout = finished.layout
    assert finished.encoded()["frame"] == len(finished.images)
    scores = (finished.folder / layout.scores / "scores.csv").read_text()
    assert all(method in scores for method in layout.methods)
    assert "<html" in (finished.folder / layout.report).read_text()
    for rule in ("ingest/tiny", "split", f"train/{layout.model_key()}-seed-0", "evaluate", "interpret/tiny", "report"):
        assert (finished.folder / layout.experiment / "logs" / f"{rule}.log").exists()


def test_configuration_that_the_stages_read_is_the_one_given(finished):
    written = yaml.safe_load((finished.folder / finished.layout.config).read_text())
    assert parse_settings(written) == parse_settings(finished.content)


def test_second_run_does_nothing(run):
    assert run.snakemake() == {}


def test_touched_and_rewritten_files_do_nothing(run):
    shutil.rmtree(run.folder / "source")
    write_tiny_dataset(run.folder / "source", fires=FIRES, frames=FRAMES)
    assert run.snakemake() == {}


def test_a_network_is_kept_where_an_earlier_step_ran_and_changed_nothing(run):
    models = list((run.folder / "results").rglob("model.ckpt"))
    before = [(path.read_bytes(), path.with_name("best.ckpt").stat().st_mtime_ns) for path in models]
    made = run.snakemake("--forcerun", "ingest")
    assert {"ingest", "train", "report"} <= made.keys()
    assert [(path.read_bytes(), path.with_name("best.ckpt").stat().st_mtime_ns) for path in models] == before
    assert run.snakemake() == {}


def test_new_fire_extracts_only_its_frames_and_trains_anew(run):
    model = run.folder / run.layout.model(0) / "model.ckpt"
    before, rows, images = model.read_bytes(), xr.open_zarr(run.store).sizes["frame"], run.images
    shutil.rmtree(run.folder / "source")
    write_tiny_dataset(run.folder / "source", fires=FIRES + 1, frames=FRAMES)
    ran = run.snakemake()
    assert 0 < run.encoded()["frame"] == len(run.images - images)
    assert ran["train"] == 1
    assert model.read_bytes() != before  # trained on the new fires, not resumed at its end
    features = xr.open_zarr(run.store)
    assert features.sizes["fire"] == FIRES + 1
    assert features.sizes["observation"] == (FIRES + 1) * FRAMES
    assert features.sizes["frame"] > rows
    assert run.snakemake() == {}


def test_edited_frame_extracts_only_that_frame(run):
    before = xr.open_zarr(run.store).load()
    frame = run.folder / "source" / "fire_frames" / "sequence_003" / f"fire_{FRAMES - 1:03d}.png"
    fires = open_fires(run.folder / run.layout.fires("tiny"))
    burned = fires.burned[int(fires.row_start[2]) + FRAMES - 1].values == 1
    burned[0, 0] = True  # a spot fire
    write_frame(frame, burned)
    write_frame(Path(str(frame).replace("fire_frames", "isochrones").replace("fire_0", "iso_0")), burned)
    assert run.snakemake("extract_features") == {
        "ingest": 1,
        "features_plan": 1,
        "features_extract": 2,
        "features_index": 1,
    }
    assert run.encoded() == {"frame": 1, "terrain": 0}
    after = xr.open_zarr(run.store).load()
    for fire in range(FIRES):
        same = np.array_equal(patches(before, fire)[:-1], patches(after, fire)[:-1])
        last_same = np.array_equal(patches(before, fire)[-1], patches(after, fire)[-1])
        assert same
        assert last_same == (fire != 2)


def test_learning_rate_changes_no_features(run):
    assert run.changed(training={"learning_rate": 0.002}).snakemake("--dry-run") == AFTER_TRAINING


def test_another_seed_is_one_more_model(run):
    assert run.changed(training={"seeds": [0, 1]}).snakemake("--dry-run") == AFTER_TRAINING


@pytest.mark.parametrize("changes", [{"logging": {"wandb": "offline"}}, {"results": "./results"}], ids=str)
def test_what_decides_no_number_makes_nothing_stale(run, changes):
    assert run.changed(**changes).snakemake("--dry-run") == {}


def test_batches_and_threads_make_nothing_stale(run):
    options = ["--set-resources", "features_extract:batch_tokens=300", "--set-threads", "features_extract=1"]
    assert run.snakemake("--dry-run", *options) == {}


def test_two_experiments_share_stores_and_models(run):
    other = run.changed(name="other")
    assert other.snakemake("--dry-run") == SCORED
    assert other.snakemake("extract_features") == {}
    assert run.snakemake("--dry-run") == {}


def test_evaluation_settings_only_evaluate_anew(run):
    assert run.changed(evaluation={"replicates": 200}).snakemake("--dry-run") == SCORED


def test_deleted_sums_and_tables_are_made_again_though_the_report_stands(run):
    scores = run.folder / run.layout.scores
    for path in (next((scores / "sums").glob("*.nc")), scores / "strata.csv"):
        aside = path.rename(run.folder / path.name)
        assert run.snakemake("--dry-run") == SCORED
        aside.rename(path)


def test_settings_of_a_data_set_ingest_it_anew(run):
    source = run.content["datasets"]["tiny"] | {"minutes_per_frame": 60}
    planned = run.changed(datasets={"tiny": source}).snakemake("--dry-run")
    assert planned["ingest"] == 1


@pytest.fixture(scope="module")
def finer(finished, tmp_path_factory) -> Run:
    """A copy of the finished run, with features at twice the resolution beside the first ones."""
    folder = tmp_path_factory.mktemp("finer")
    shutil.copytree(finished.folder, folder, dirs_exist_ok=True)
    finer = Run(folder, finished.content).changed(features={"scale": 2.0}, shards=1)
    planned = finer.snakemake(*ONE_BY_ONE)
    assert planned == {"features_plan": 1, "features_extract": 1, "features_index": 1}
    return finer


def test_other_scale_is_a_new_store_beside_the_old_one(finished, finer):
    before = Run(finer.folder, finished.content)
    assert finer.store != before.store
    assert contents(before.store) == contents(finished.store)
    assert xr.open_zarr(finer.store).sizes["patch_x"] == 2 * xr.open_zarr(before.store).sizes["patch_x"]
    assert before.snakemake("--dry-run") == {}  # and going back costs nothing


def test_killed_extraction_goes_on_and_gives_the_same_store(run, finer):
    killed = Run(run.folder, finer.content)
    process = subprocess.Popen(
        [BIN / "snakemake", *killed.arguments(*ONE_BY_ONE)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    first_block = killed.store / "frame_cls" / "c" / "0"  # finished after the patches of the same block
    deadline = time.monotonic() + 600  # a busy machine may starve a session of its own
    while not any(path.is_file() for path in first_block.rglob("*")):
        assert time.monotonic() < deadline, "no block was written"
        assert process.poll() is None, "the extraction ended before it could be killed"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed.store / "zarr.json").exists()  # nothing reads an unfinished store

    killed.output("--unlock")
    killed.snakemake(*ONE_BY_ONE)
    assert killed.encoded()["frame"] < len(killed.images)
    assert contents(killed.store) == contents(finer.store)


def test_number_of_shards_extracts_and_trains_nothing(run):
    before = contents(run.store)
    other = run.changed(shards=1)
    assert other.snakemake() == {"features_extract": 1, "features_index": 1}
    assert other.encoded() == {"frame": 0, "terrain": 0}
    assert contents(run.store) == before
    assert run.changed(shards=4).snakemake("--dry-run") == {"features_extract": 4, "features_index": 1}


def test_given_configuration_replaces_the_default_one(run):
    default = run.content | {"name": "default", "datasets": {"mine": run.content["datasets"]["tiny"]}}
    (run.folder / "config").mkdir()
    (run.folder / "config" / "config.yaml").write_text(yaml.safe_dump(default))
    assert run.snakemake() == {}  # with --configfile: only its own data set
    told = run.arguments("--dry-run")
    planned = jobs_of(printed("snakemake", *told[: told.index("--configfile")]))
    assert planned["ingest"] == 1  # of the default's data set, which lies in another folder
    assert planned["features_extract"] == 2


def test_two_data_sets_train_one_model(run):
    both = {"tiny": run.content["datasets"]["tiny"], "more": run.content["datasets"]["tiny"]}
    planned = run.changed(datasets=both).snakemake("--dry-run")
    assert planned["ingest"] == 1  # of the new one
    assert planned["train"] == 1
    assert planned["hindcast"] == 2
    assert planned["baseline"] == 8


def test_variants_train_beside_the_network_and_equal_ones_once(run):
    variants = {
        "add_norm": {"model": {"fusion": "add_norm"}},
        "same": {"model": {"fusion": "concat"}},  # as the configuration itself
        "finer": {"features": {"scale": 2.0}},
        "finer_too": {"features": {"scale": 2.0}, "model": {"layers": 2}},
    }
    varied = run.changed(variants=variants)
    extraction = {"features_plan": 1, "features_extract": 2, "features_index": 1}
    planned = {"train": 3, "hindcast": 3, **SCORED}
    assert varied.snakemake("--dry-run") == extraction | planned
    assert varied.snakemake("--dry-run", "extract_features") == extraction
    small = run.changed(variants={name: variants[name] for name in ("add_norm", "same")})
    assert small.snakemake() == AFTER_TRAINING
    scores = (run.folder / small.layout.scores / "scores.csv").read_text()
    assert all(method in scores for method in small.layout.methods)
    renamed = run.changed(variants={"layer_norm": variants["add_norm"]})
    assert renamed.snakemake("--dry-run") == SCORED


def test_a_phase_goes_on_from_the_one_before_and_leaves_it_alone(run):
    phase2 = {"path": "pixels"}
    planned = run.changed(phase2=phase2).snakemake("--dry-run")
    assert planned == {"finetune": 1, "hindcast": 1, **SCORED}
    student = run.changed(distillation={"epochs": 1})
    assert student.snakemake("--dry-run") == {"distil": 1, "hindcast": 1, **SCORED}
    both = run.changed(phase2=phase2, phase3=phase2, variants={"added": {"model": {"fusion": "add_norm"}}})
    assert both.snakemake("--dry-run") == {"train": 1, "finetune": 2, "hindcast": 3, **SCORED}


def test_an_experiment_trains_what_differs_and_is_judged(run):
    hypothesis = {"claim": "It helps", "better": "added", "than": "emberformer"}
    content = {
        "title": "Fusion",
        "question": "Which?",
        "variants": {"added": {"model": {"fusion": "add_norm"}}, "same": {"training": {"epochs": 1}}},
        "hypotheses": [
            hypothesis,
            {**hypothesis, "than": "persistence", "history": "2"},
            {**hypothesis, "than": "same"},
        ],
    }
    file = run.folder / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    asked = ("ablations", "--config", f"experiments={file}")
    assert run.snakemake(*asked) == {"train": 1, "hindcast": 1, "judge": 1, "summarise": 1}
    folder = run.folder / run.layout.experiments
    verdicts = pd.read_csv(folder / "mine" / "verdicts" / "verdicts.csv")
    assert verdicts.than.tolist() == ["emberformer", "persistence", "same"]
    assert verdicts.difference[0] == verdicts.difference[2]
    assert set(verdicts.verdict) <= {"supported", "refuted", "undecided"}
    assert "| mine | It helps |" in (folder / "summary.md").read_text()
    assert run.snakemake(*asked) == {}
    assert run.snakemake("--dry-run") == {}
    file.write_text(yaml.safe_dump(content | {"title": "Another"}))
    assert run.snakemake("--dry-run", *asked) == {"judge": 1, "summarise": 1}
    assert "nowhere" in run.output("--dry-run", "ablations", "--config", "experiments=nowhere", code=1)


def test_a_sweep_trains_beside_the_workflow_and_takes_its_models(run):
    own = run.layout.settings.training.learning_rate
    sweep = {"method": "grid", "metric": {"name": "val/new_f1", "goal": "maximize"}}
    sweep["parameters"] = {"training.learning_rate": {"values": [own, 0.002]}}
    (run.folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    model = run.folder / run.layout.model(0) / "model.ckpt"
    before = model.stat().st_mtime_ns
    sweep = ("--config", "tiny.yaml", "--sweep", "sweep.yaml", "--threads", "1")
    printed("emberformer", "sweep", *sweep, cwd=run.folder)
    table = pd.read_csv(run.folder / run.layout.experiment / "sweeps" / "sweep" / "trials.csv")
    assert sorted(table["training.learning_rate"]) == [own, 0.002]
    assert table["val/new_f1"].is_monotonic_decreasing
    assert all((run.folder / folder / "model.ckpt").exists() for folder in table.model)
    assert model.stat().st_mtime_ns == before  # trained already
    assert run.snakemake("--dry-run") == {}


def test_all_shipped_experiments_share_what_is_equal(run):
    planned = run.snakemake("--dry-run", "ablations")
    studies = [plan_study(run.layout.settings, path) for path in find_experiments(SHIPPED).values()]
    networks = {one.key for study in studies for one in study.layout.trained.values()}
    assert planned["judge"] == len(studies)
    assert planned["train"] == planned["hindcast"] == len(networks) - 1  # the run's own is there
    assert planned["features_index"] == 1  # the FPN's store
    assert "ingest" not in planned
    assert run.snakemake("--dry-run", "ablations", "--config", "experiments=[wind,history]")["judge"] == 2


def test_misspelt_key_stops_before_anything_runs(run):
    printed = run.changed(training={"learning_rat": 1.0}).output("--dry-run", code=1)
    assert "training.learning_rat" in printed


def test_removed_fire_ingests_anew(run):
    for folder in ("fire_frames", "isochrones"):
        shutil.rmtree(run.folder / "source" / folder / f"sequence_{FIRES:03d}")
    assert run.snakemake("--dry-run")["ingest"] == 1


def test_frame_of_the_same_size_and_time_ingests_anew(run):
    assert run.snakemake("--dry-run") == {}
    frame = run.folder / "source" / "fire_frames" / "sequence_003" / "fire_000.png"
    before = frame.stat()
    frame.write_bytes(bytes(before.st_size))
    os.utime(frame, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run.snakemake("--dry-run")["ingest"] == 1


def test_damaged_cache_of_the_raw_files_does_nothing(run):
    (run.folder / run.layout.fires("tiny").with_name("sources.json")).write_text("damaged")
    assert run.snakemake() == {}


def test_missing_source_is_named(run):
    shutil.rmtree(run.folder / "source")
    shutil.rmtree(run.folder / "results")
    assert "source/landscape/indices.json" in run.output(code=1)


def test_features_from_elsewhere_are_not_extracted(run):
    source = run.content["datasets"]["tiny"] | {"features": "elsewhere.zarr"}
    run.store.rename(run.folder / "elsewhere.zarr")
    assert run.changed(datasets={"tiny": source}).snakemake("--dry-run") == AFTER_TRAINING


def test_results_outlive_their_source(run):
    shutil.rmtree(run.folder / "source")  # a disk that is not mounted must not empty the stores
    assert run.snakemake() == {}
    assert open_fires(run.folder / run.layout.fires("tiny")).sizes["fire"] == FIRES
