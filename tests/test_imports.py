"""Files behind a module: those it imports anywhere, and nothing of what is left out."""

import ast
import sys

import pytest

from emberformer import imports
from emberformer.imports import imported_files


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "stage").mkdir()
    files = {
        "errors.py": "",
        "top.py": "from emberformer.stage import inner\nfrom emberformer import __version__\nimport numpy\n",
        "stage/__init__.py": "",
        "stage/inner.py": "from emberformer.errors import InputError\ndef f():\n    from emberformer.late import g\n",
        "late.py": "from emberformer.top import x\n",
        "alone.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(imports, "PACKAGE", tmp_path)
    return tmp_path


def names(package, module, leave_out=()):
    return [str(path.relative_to(package)) for path in imported_files(module, leave_out)]


def test_follows_imports_also_inside_functions_and_round_a_circle(package):
    assert names(package, "top") == ["errors.py", "late.py", "stage/inner.py", "top.py"]
    assert names(package, "alone") == ["alone.py"]


def test_leaves_out_modules_and_packages_but_not_their_namesakes(package):
    assert names(package, "top", ["errors", "late"]) == ["stage/inner.py", "top.py"]
    assert names(package, "top", ["stage"]) == ["top.py"]
    assert "late.py" in names(package, "top", ["lat"])


def test_unknown_module_is_an_error(package):
    with pytest.raises(ValueError, match=r"emberformer\.nowhere"):
        imported_files("nowhere")


def parsed(file):
    """What a file imports, by Python's own parser."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("emberformer."):
            source = str(node.module).partition(".")[2]
            within = [f"{source}.{alias.name}".lstrip(".") for alias in node.names]
            names |= {inner if imports._file(inner) else source for inner in within}
    return names - {""}


def test_reads_the_imports_of_every_file_as_python_does():
    files = sorted(imports.PACKAGE.rglob("*.py"))
    assert len(files) > 300
    assert {file: imports._imported(file) for file in files} == {file: parsed(file) for file in files}


def test_finds_what_python_imports():
    """The workflow lists files of `emberformer.layout`; Python itself says which those are."""
    import emberformer.layout  # noqa: F401

    found = {f"emberformer.{path.stem}" for path in imported_files("layout")}
    stages = (
        "settings",
        "dataset_settings",
        "data_settings",
        "ndws_settings",
        "detection_settings",
        "ensemble_settings",
        "feature_settings",
        "foresight_settings",
        "sim2real_settings",
        "wsts_settings",
        "model_settings",
        "training_settings",
        "protocols",
        "stage",
    )
    settings = {f"emberformer.{name}" for name in stages}
    assert found == {"emberformer.layout", "emberformer.feature_key", "emberformer.errors", *settings}
    assert found <= set(sys.modules)
