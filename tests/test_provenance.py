"""Provenance names the code that runs, and only that."""

import json
import subprocess

from emberformer import __version__
from emberformer.data import source_provenance
from emberformer.provenance import git_commit, provenance


def _git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_equal_calls_give_equal_json_and_ask_git_once(monkeypatch):
    first = provenance()
    monkeypatch.setattr(subprocess, "run", None)
    assert json.dumps(provenance()) == json.dumps(first)
    assert provenance()["emberformer"] == __version__
    assert "time" not in provenance()
    assert provenance(with_time=True)["time"].endswith("+00:00")


def test_a_commit_changes_no_fires_store(monkeypatch):
    told = set()
    for version in ("0.2.0.dev7+g1a2b3c4", "0.2.0.dev8+g5d6e7f8.d20260131", "0.2.0"):
        monkeypatch.setattr(source_provenance, "__version__", version)
        told.add(json.dumps(source_provenance.made_by("deep_crown")))
    assert len(told) == 1


def test_commit_of_a_work_tree(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "module.py").write_text("a = 1\n")
    assert git_commit(package) == ""  # no work tree
    _git(tmp_path, "init", "--quiet")
    assert git_commit(package) == ""  # in a work tree, but not of it
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "--message", "one")
    assert git_commit(package) == _git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "notes.txt").write_text("not code\n")
    assert not git_commit(package).endswith("+dirty")
    (package / "module.py").write_text("a = 2\n")
    assert git_commit(package) == _git(tmp_path, "rev-parse", "HEAD") + "+dirty"
