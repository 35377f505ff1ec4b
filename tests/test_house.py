"""The house: pins agree, the schema is in step, layers hold, and each rule calls one verb."""

import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import typer.main
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from emberformer.cli import app
from emberformer.data_settings import DeepCrownSettings
from emberformer.settings import Settings, load_settings

ROOT = Path(__file__).parents[1]
RULES = {
    name: text
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    for name, text in re.findall(r"^rule (\w+):\n(.*?)(?=^rule |\Z)", path.read_text(), re.MULTILINE | re.DOTALL)
}


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def _direct_requirements() -> list[Requirement]:
    project = _project()
    extras = project["optional-dependencies"]
    return [Requirement(text) for text in [*project["dependencies"], *extras["dev"], *extras["docs"]]]


def _reachable(requirements: list[Requirement]) -> set[str]:
    """Names of all installed packages that the requirements need, directly or not."""
    todo, done = list(requirements), set()
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in done:
            continue
        done.add(key)
        try:
            needed = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:
            continue
        extras = [{"extra": extra} for extra in ("", *requirement.extras)]
        todo += [r for r in map(Requirement, needed) if r.marker is None or any(map(r.marker.evaluate, extras))]
    return {name for name, _ in done}


def test_every_dependency_is_pinned_within_its_range():
    pins = _pins()
    for requirement in _direct_requirements():
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} has no pin in constraints.txt"
        assert pin in requirement.specifier, (
            f"constraints.txt pins {requirement.name}=={pin}, pyproject.toml asks {requirement}"
        )


def test_no_pin_is_left_over():
    assert set(_pins()) <= _reachable(_direct_requirements())


def test_the_version_to_cite_is_the_newest_release_or_the_first_to_come():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    released = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    to_come = hatch["version"]["fallback-version"].removesuffix(".dev0")
    assert cited == (released[0] if released else to_come)
    assert to_come not in released, "raise fallback-version to the next release"


def test_pins_are_public_versions():
    assert not [pin for pin in _pins().values() if not re.fullmatch(r"[\w.!]+", pin)]


def test_conda_environment_installs_the_same_pins():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (through_pip,) = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    assert through_pip == ["-c constraints.txt", "-e .[dev,docs]"]
    (python,) = [
        entry.split("=")[1] for entry in dependencies if isinstance(entry, str) and entry.startswith("python=")
    ]
    assert f">={python}" == _project()["requires-python"]


def test_schema_is_in_step_with_the_settings():
    schema = json.loads((ROOT / "config" / "config.schema.json").read_text())
    assert schema == Settings.model_json_schema(), "run `make schema`"


@pytest.mark.parametrize(
    "path", sorted(set((ROOT / "config").glob("*.yaml")) - {ROOT / "config" / "sweep.yaml"}), ids=lambda path: path.name
)
def test_shipped_configurations_are_valid(path):
    settings = load_settings(path)
    assert (
        Settings.model_validate(settings.model_dump(mode="json")) == settings
    )  # what the workflow hands to the stages


def _verbs() -> dict[str, set[str]]:
    """Options of every verb of the command line, under its full name."""
    group = typer.main.get_command(app)
    commands = {}
    for name, command in group.commands.items():  # pyright: ignore[reportAttributeAccessIssue]
        below = getattr(command, "commands", None)
        commands |= {f"{name} {sub}": c for sub, c in below.items()} if below else {name: command}
    return {name: {option for p in command.params for option in p.opts} for name, command in commands.items()}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_calls_one_verb_with_options_it_has(rule):
    (shell,) = re.findall(r'shell:\n\s+"""(.*?)"""', RULES[rule], re.DOTALL)
    assert shell.count("emberformer ") == 1
    words = shell.replace("\\\n", " ").split()
    grouped = words[1] in ("features", "ensemble", "foresight", "detection")
    verb = " ".join(words[1 : 3 if grouped else 2])
    assert verb.replace(" ", "_") == rule
    assert {word for word in words if word.startswith("--")} <= _verbs()[verb]


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_says_what_it_does_and_logs_it(rule):
    assert RULES[rule].startswith('    """')
    for directive in ("log:", "benchmark:", "resources:", "message:", "output:"):
        assert re.search(rf"^    {directive}", RULES[rule], re.MULTILINE), f"rule {rule} has no {directive}"


def test_layers_hold():
    found = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


def test_files_stay_small():
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / "emberformer").rglob("*.py")}
    assert not {str(path): length for path, length in lengths.items() if length > 320}


def test_no_machine_and_no_account_is_written_into_the_package():
    """Data, accounts and encodings are settings; the package names no home folder and no entity."""
    for path in [*(ROOT / "emberformer").rglob("*.py"), *(ROOT / "workflow").rglob("*.smk")]:
        found = re.findall(r"/home/|/Users/|~/data|entity=['\"]", path.read_text())
        assert not found, f"{path.name}: {found}"
    settings = load_settings(ROOT / "config" / "demo.yaml")
    demo = settings.datasets["demo_valley"]
    assert isinstance(demo, DeepCrownSettings)
    encoding = demo.encoding
    assert encoding is not None
    assert (encoding.channel, encoding.value) == (1, 231)
    assert settings.logging.entity is None


def test_help_shows_every_verb():
    shown = CliRunner().invoke(app, ["--help"])
    assert shown.exit_code == 0, shown.exception
    group = typer.main.get_command(app)
    for name in group.commands:  # type: ignore[attr-defined]
        assert f"  {name} " in shown.output
