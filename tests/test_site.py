"""The documentation site builds strictly and loads nothing from elsewhere; its notebooks print what they show."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from emberformer.settings import Settings
from tests.documented_commands import help_texts

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
NOWHERE = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "HTTP", "HTTPS")}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; whatever wants to fetch something meets a proxy that is not there."""
    folder = tmp_path_factory.mktemp("site")
    command = [BIN / "mkdocs", "build", "--strict", "--site-dir", folder]
    told = {**os.environ, **NOWHERE, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    built = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_a_reader_loads_nothing_from_elsewhere(site):
    pages = [path.read_text() for path in site.rglob("*.html")]
    assert len(pages) > 30
    for page in pages:
        assert not re.findall(
            r"<(?:script|img|iframe)[^>]* src=\"?https?:|<link[^>]* rel=\"?stylesheet[^>]*https?:", page
        )


def test_the_reference_holds_every_verb_and_every_key(site):
    verbs = (site / "cli.html").read_text()
    for name, _ in help_texts():
        for word in name.removeprefix("emberformer").split():
            assert word in verbs
    keys = (site / "configuration.html").read_text()
    models = Settings.model_json_schema()["$defs"]
    for name, model in models.items():
        assert f'id="{name}"' in keys
        assert all(f"<code>{key}</code>" in keys for key in model["properties"])


def words(texts: list[str]) -> list[list[str]]:
    """Words of each text, sorted: dimensions of a data set are printed in any order."""
    return [sorted(re.findall(r"[\w#]+", text)) for text in texts]


def printed(notebook) -> list[str]:
    """What each cell prints, without its numbers, which another processor rounds otherwise."""
    texts = [
        "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    return [re.sub(r"\s+", " ", re.sub(r"-?\d+(\.\d+)?", "#", text)) for text in texts]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_it_shows(path, monkeypatch):
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    shown = printed(notebook)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert words(printed(notebook)) == words(shown), "run `make notebooks`"
