"""How jobs go to Kubernetes and are ended, by the commands of the profile as the executor plugin calls them."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from emberformer.deployment import deploy
from tests.workflow.kubernetes_here import install_kubernetes

ROOT = Path(__file__).parents[1]
JOB = ROOT / "profiles" / "kubernetes" / "job.py"


@pytest.fixture
def job(monkeypatch):
    """The commands as a module, asking again without a pause."""
    monkeypatch.syspath_prepend(JOB.parent)
    module = importlib.import_module("job")
    monkeypatch.setattr(module, "PAUSES_S", (0, 0, 0))
    yield module
    del sys.modules["job"]


def test_a_deployed_profile_cancels_all_its_jobs(tmp_path):
    deploy(tmp_path / "mine")
    install_kubernetes(tmp_path / "kubernetes")
    for name in ("a", "b"):
        (tmp_path / "kubernetes" / f"{name}.json").write_text("{}")
    profile = yaml.safe_load((tmp_path / "mine/profiles/kubernetes/profile.yaml").read_text())
    path = os.pathsep.join([str(tmp_path / "kubernetes"), str(Path(sys.executable).parent), os.environ["PATH"]])
    # As `cancel_jobs` of snakemake_executor_plugin_cluster_generic does: one program, no shell, and 2 s in the plugin.
    command = [profile["cluster-generic-cancel-cmd"], "job.batch/a", "job.batch/b"]
    subprocess.check_call(command, shell=False, timeout=60, cwd=tmp_path / "mine", env=os.environ | {"PATH": path})
    assert not list((tmp_path / "kubernetes").glob("*.json"))


def test_a_cancelled_job_is_not_waited_for(job, monkeypatch):
    asked = []
    monkeypatch.setattr(job, "kubectl", lambda *words: asked.append(words))
    job.main("cancel", "job.batch/a")
    assert asked == [("delete", "--wait=false", "job.batch/a")]


def test_the_wait_for_a_gpu_is_no_run_time(job, monkeypatch):
    monkeypatch.setenv("EMBERFORMER_IMAGE", "emberformer:1")
    monkeypatch.setenv("EMBERFORMER_CLAIM", "fires")
    spec = job.manifest("train", "8", "8000", "240", "1", "job.sh")["spec"]
    assert spec["template"]["spec"]["activeDeadlineSeconds"] == 240 * 60
    assert "activeDeadlineSeconds" not in spec


@pytest.mark.parametrize("silent", [0, 3])
def test_a_server_that_is_silent_for_a_while_ends_nothing(job, monkeypatch, silent):
    calls = []

    def kubectl(*words):
        calls.append(words)
        if len(calls) <= silent:
            raise subprocess.CalledProcessError(1, "kubectl")
        return json.dumps({"status": {"conditions": [{"type": "Complete", "status": "True"}]}})

    monkeypatch.setattr(job, "kubectl", kubectl)
    assert job.status("job.batch/a") == "success"
    assert calls == [("get", "job.batch/a", "--output", "json")] * (silent + 1)


def test_a_server_that_stays_silent_is_an_error(job, monkeypatch):
    monkeypatch.setattr(job.subprocess, "run", lambda *_, **__: subprocess.check_call("exit 1", shell=True))
    with pytest.raises(subprocess.CalledProcessError):
        job.status("job.batch/a")
