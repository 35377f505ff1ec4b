"""Recipes of containers: what can be held without building one. `make lint` runs hadolint on the Dockerfile."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
APPTAINER = (ROOT / "apptainer.def").read_text()


def test_what_is_copied_is_there_and_git_sees_no_change():
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)]
    assert copied == [["constraints.txt"], ["."]]
    assert (ROOT / "constraints.txt").exists()
    assert re.findall(r"%files\n    (\S+)", APPTAINER) == ["constraints.txt"]
    # A tracked file that is left out of the build context would make the version one of a changed tree.
    left_out = (ROOT / ".dockerignore").read_text().splitlines()[1:]
    command = [
        "git",
        "ls-files",
        "--",
        *(f":(glob){one}" for one in left_out),
        *(f":(glob){one}/**" for one in left_out),
    ]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode == 0:  # in a clone
        assert tracked.stdout == ""
    assert ".git" not in left_out


def test_both_recipes_stand_on_the_same_python_and_the_same_pins():
    (python,) = re.findall(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert f"\nFrom: python:{python}\n" in APPTAINER
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert python.startswith(project["requires-python"].removeprefix(">=") + ".")
    for recipe in (DOCKERFILE, APPTAINER):
        (extras,) = re.findall(r"(?i)extras=([\w,]+)$", recipe, re.MULTILINE)
        assert set(extras.split(",")) <= set(project["optional-dependencies"])
        assert re.search(r"pip install .*--constraint \S*constraints.txt --requirement /tmp/emberformer.txt", recipe)
    assert re.search(r"^torch==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


def test_the_image_runs_as_no_root_and_starts_the_command():
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["1000"]
    assert re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE) == ['["emberformer"]']
