"""The workflow on a cluster: dry runs of the shipped profiles, and whole extractions through the commands of a cluster.

The clusters are of one node and made here; Snakemake, its executor plugins and the jobs are the real ones.
"""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from emberformer.layout import Layout
from emberformer.settings import parse_settings
from tests.tiny import write_tiny_dataset
from tests.workflow.kubernetes_here import install_kubernetes, submitted_to_kubernetes
from tests.workflow.slurm_here import install_slurm, submitted_to_slurm

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
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


def printed(folder: Path, profile: str, *arguments: str, **variables: str) -> str:
    """What Snakemake prints with one of the profiles; variables are added to the environment."""
    command = [SNAKEMAKE, *arguments, "--workflow-profile", folder / "profiles" / profile]
    command += ["--snakefile", ROOT / "Snakefile", "--directory", folder, "--configfile", folder / "tiny.yaml"]
    # The clusters' processes and job.py find their Python where the shell of a user who activated it would.
    path = os.pathsep.join([*filter(None, [variables.get("PATH")]), str(SNAKEMAKE.parent), os.environ["PATH"]])
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=os.environ | variables | {"PATH": path},
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def has_features(folder: Path) -> bool:
    layout = Layout(parse_settings(yaml.safe_load((folder / "tiny.yaml").read_text())))
    return (folder / layout.features("tiny") / "zarr.json").exists()


@pytest.mark.parametrize(
    "profile",
    [pytest.param("slurm", marks=needs("slurm")), pytest.param("kubernetes", marks=needs("cluster_generic"))],
)
def test_profile_plans_the_whole_workflow(profile, folder):
    plan = printed(folder, profile, "--dry-run")
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
    printed(folder, "slurm", "extract_features", "--slurm-init-seconds-before-status-checks", "1", PATH=str(slurm))
    jobs = submitted_to_slurm(slurm)
    assert set(jobs) == EXTRACTION
    extract = jobs["features_extract"]
    assert "--gpus=1" in extract
    assert [extract[extract.index(option) + 1] for option in ("-p", "-t", "--mem")] == ["gpu", "240", "8000"]
    assert not [word for word in jobs["ingest"] if "gpu" in word]
    assert has_features(folder)
    assert "Nothing to be done" in printed(folder, "slurm", "extract_features", "--dry-run")


@needs("cluster_generic")
def test_extraction_through_kubernetes(folder, tmp_path):
    kubernetes = tmp_path / "kubernetes"
    install_kubernetes(kubernetes)
    variables = {"EMBERFORMER_IMAGE": "registry/emberformer:1", "EMBERFORMER_CLAIM": "fires"}
    printed(folder, "kubernetes", "extract_features", PATH=str(kubernetes), **variables)
    containers = submitted_to_kubernetes(kubernetes)
    assert set(containers) == EXTRACTION
    assert containers["features_extract"]["resources"] == {
        "requests": {"cpu": "8", "memory": "8000M"},
        "limits": {"memory": "8000M", "nvidia.com/gpu": "1"},
    }
    assert "nvidia.com/gpu" not in containers["ingest"]["resources"]["limits"]
    assert {container["image"] for container in containers.values()} == {"registry/emberformer:1"}
    assert has_features(folder)
    assert "Nothing to be done" in printed(folder, "kubernetes", "extract_features", "--dry-run")
