"""Deployment: what `emberformer init` writes, what a wheel holds, and which version git gives it."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from emberformer import __version__
from emberformer.cli import app
from emberformer.dataset_settings import SourceSettings
from emberformer.deployment import DEPLOYED

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"


def test_init_writes_what_the_repository_has_and_names_the_next_command(tmp_path):
    told = CliRunner().invoke(app, ["init", str(tmp_path / "my fires")])
    assert told.exit_code == 0, told.output
    written = {str(path.relative_to(tmp_path / "my fires")) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == set(DEPLOYED)
    for name in written - {"workflow/Snakefile"}:
        assert (tmp_path / "my fires" / name).read_bytes() == (ROOT / name).read_bytes()
    assert f"cd '{tmp_path}/my fires' && snakemake --cores all --configfile config/demo.yaml" in told.output


def test_every_source_has_a_configuration_that_init_writes():
    sources = set()
    for name in DEPLOYED:
        if re.fullmatch(r"config/\w+\.yaml", name):
            told = yaml.safe_load((ROOT / name).read_text()).get("datasets", {})
            sources |= {dataset.get("source", "deep_crown") for dataset in told.values()}
    assert sources == {one.model_fields["source"].default for one in SourceSettings.__subclasses__()}


def test_init_overwrites_nothing(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "demo.yaml").write_text("mine\n")
    told = CliRunner().invoke(app, ["init", str(tmp_path)])
    assert "demo.yaml" in str(told.exception)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "config" / "demo.yaml"]
    assert (tmp_path / "config" / "demo.yaml").read_text() == "mine\n"


def test_version_is_shown():
    told = CliRunner().invoke(app, ["--version"])
    assert told.output == f"emberformer {__version__}\n"
    assert re.match(r"\d", __version__)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The package as pip would install it: a wheel of this tree, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run([sys.executable, "-c", BUILD, folder], cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(folder / built.stdout.split()[-1]) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def files_of(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)) for path in found}


def test_a_wheel_holds_the_package_and_the_workflow(wheel):
    assert files_of(wheel / "emberformer") >= files_of(ROOT / "emberformer")
    pipeline = wheel / "emberformer" / "pipeline"
    for folder in ("workflow", "config", "profiles"):
        assert files_of(pipeline / folder) == files_of(ROOT / folder)
    assert {"report/template.html", "report/style.css", "report/player.js"} < files_of(wheel / "emberformer")
    assert (pipeline / "environment.yml").exists()


def test_an_installed_package_deploys_from_itself(wheel, tmp_path):
    code = "from pathlib import Path; from emberformer.deployment import *; deploy(Path('folder')); print(SNAKEFILE)"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(wheel)}, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert Path(told.stdout.strip()) == wheel / "emberformer" / "pipeline" / "workflow" / "Snakefile"
    assert Path(told.stdout.strip()).exists()
    assert files_of(tmp_path / "folder") == set(DEPLOYED)


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    told = subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return told.stdout.strip()


def _version(folder: Path) -> str:
    command = [sys.executable, "-m", "hatchling", "version"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_version_comes_from_git_as_far_as_git_knows(tmp_path):
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    next_release = re.findall(r'^fallback-version = "([\d.]+)\.dev0"$', (ROOT / "pyproject.toml").read_text(), re.M)[0]
    assert _version(tmp_path) == f"{next_release}.dev0"  # sources without git
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "--quiet", "--message", "one")
    commit = _git(tmp_path, "rev-parse", "--short", "HEAD")
    assert re.fullmatch(rf"{re.escape(next_release)}\.dev1\+g{commit}\w*", _version(tmp_path))  # no tag
    _git(tmp_path, "tag", "v7.8.9")
    assert _version(tmp_path) == "7.8.9"
    _git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "two")
    assert _version(tmp_path).startswith("7.8.10.dev1+g")
