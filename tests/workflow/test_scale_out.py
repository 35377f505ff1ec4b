"""The workflow on a cluster: dry runs of the shipped profiles, and whole extractions through the commands of a cluster.

The clusters are of one node and made here; Snakemake, its executor plugins and the jobs are the real ones.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from emberformer.layout import Layout
from emberformer.settings import parse_settings
from tests.tiny import write_tiny_dataset
from tests.workflow.kubernetes_here import install_kubernetes, submitted_to_kubernetes
from tests.workflow.running import ROOT, printed
from tests.workflow.slurm_here import install_slurm, submitted_to_slurm

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_commands")]

EXTRACTION = {"ingest", "features_plan", "features_extract", "features_index"}


def needs(executor: str) -> pytest.MarkDecorator:
    missing = find_spec(f"snakemake_executor_plugin_{executor}") is None
    return pytest.mark.skipif(missing, reason=f"Snakemake's executor plugin {executor} is not installed")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A working folder with a data set, its configuration and the profiles."""
    folder = tmp_path / "cluster"
    source = write_tiny_dataset(folder / "source", fires=3, frames=3)
    content = {
        "name": "tiny",
        "datasets": {"tiny": source.model_dump(mode="json") | {"root": "source"}},
        "features": {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32"},
        "shards": 1,
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content))
    (folder / "profiles").symlink_to(ROOT / "profiles")
    return folder


def with_profile(folder: Path, profile: str, *arguments: str, path: Path | None = None) -> str:
    """What Snakemake prints with one of the profiles; the cluster's commands are in `path`."""
    # The clusters' processes and job.py find their Python where the shell of a user who activated it would.
    fixed = ("--workflow-profile", folder / "profiles" / profile, "--snakefile", ROOT / "Snakefile")
    fixed += ("--directory", folder, "--configfile", folder / "tiny.yaml")
    return printed("snakemake", *arguments, *fixed, path=str(path or ""))


def has_features(folder: Path) -> bool:
    layout = Layout(parse_settings(yaml.safe_load((folder / "tiny.yaml").read_text())))
    return (folder / layout.features("tiny") / "zarr.json").exists()


@pytest.mark.parametrize(
    "profile",
    [pytest.param("slurm", marks=needs("slurm")), pytest.param("kubernetes", marks=needs("cluster_generic"))],
)
def test_profile_plans_the_whole_workflow(profile, folder):
    plan = with_profile(folder, profile, "--dry-run")
    assert all(f"\n{rule} " in plan for rule in [*EXTRACTION, "train", "hindcast", "report"])
    assert "gpu=1" not in (ROOT / "profiles" / profile / "profile.yaml").read_text()  # not one job at a time


def test_under_slurm_all_rules_that_ask_for_a_gpu_go_where_the_gpus_are():
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    parts = re.split(r"^(?:use )?rule (\w+)", rules, flags=re.MULTILINE)[1:]
    asks = {
        name: found[0]
        for name, body in zip(parts[::2], parts[1::2], strict=True)
        if (found := re.findall(r"^ +gpu=(.+),", body, re.M))
    }
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text())
    partitions = {rule: told["slurm_partition"] for rule, told in profile["set-resources"].items()}
    assert partitions == dict.fromkeys(asks, "gpu") | {"ensemble_rival": partitions["ensemble_rival"]}
    for rival in ("dropout", "correlated"):  # the only rule that asks now and then
        drawn = {"wildcards": SimpleNamespace(rival=rival)}
        wants = eval(asks["ensemble_rival"], drawn)(drawn["wildcards"])
        assert eval(partitions["ensemble_rival"], drawn) == ("gpu" if wants else "main")


@needs("slurm")
def test_extraction_through_slurm(folder, tmp_path):
    slurm = tmp_path / "slurm"
    install_slurm(slurm)
    with_profile(folder, "slurm", "extract_features", "--slurm-init-seconds-before-status-checks", "1", path=slurm)
    jobs = submitted_to_slurm(slurm)
    assert set(jobs) == EXTRACTION
    extract = jobs["features_extract"]
    assert "--gpus=1" in extract
    assert [extract[extract.index(option) + 1] for option in ("-p", "-t", "--mem")] == ["gpu", "240", "8000"]
    assert not [word for word in jobs["ingest"] if "gpu" in word]
    assert has_features(folder)
    assert "Nothing to be done" in with_profile(folder, "slurm", "extract_features", "--dry-run")


@needs("cluster_generic")
def test_extraction_through_kubernetes(folder, tmp_path, monkeypatch):
    kubernetes = tmp_path / "kubernetes"
    install_kubernetes(kubernetes)
    monkeypatch.setenv("EMBERFORMER_IMAGE", "registry/emberformer:1")
    monkeypatch.setenv("EMBERFORMER_CLAIM", "fires")
    with_profile(folder, "kubernetes", "extract_features", "--seconds-between-status-checks", "1", path=kubernetes)
    containers = submitted_to_kubernetes(kubernetes)
    assert set(containers) == EXTRACTION
    assert containers["features_extract"]["resources"] == {
        "requests": {"cpu": "8", "memory": "8000M"},
        "limits": {"memory": "8000M", "nvidia.com/gpu": "1"},
    }
    assert "nvidia.com/gpu" not in containers["ingest"]["resources"]["limits"]
    assert {container["image"] for container in containers.values()} == {"registry/emberformer:1"}
    assert has_features(folder)
    assert "Nothing to be done" in with_profile(folder, "kubernetes", "extract_features", "--dry-run")
