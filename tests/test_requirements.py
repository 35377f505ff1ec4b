"""The table of requirements: every row names a module, its keys and a test, and all of them exist."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "requirements.md"
NO_SUCH_ROWS = {
    f"X{n}" for n in (33, 34, 35, 39, 45, 59, 66, 67, 68, 69, 73)
}  # numbers that the list of contradictions leaves out
WANTED = {
    f"{letter}{n}"
    for letter, last in (("A", 75), ("B", 62), ("C", 57), ("D", 13), ("E", 35), ("X", 77))
    for n in range(1, last + 1)
} - NO_SUCH_ROWS


def _rows() -> dict[str, list[str]]:
    """Row -> cells: what, module, key, test; a line may be of several rows."""
    found = {}
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        for row in cells[0].split(", ") if re.match(r"[ABCDEX]\d", cells[0]) else ():
            assert row not in found, f"{row} stands twice"
            found[row] = cells[1:]
    return found


ROWS = _rows()


def _quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _keys(schema: dict, of: dict, prefix: str = "") -> set[str]:
    """Dotted keys of a JSON schema."""
    options = [of, *of.get("anyOf", []), *of.get("oneOf", [])]
    options += [schema["$defs"][option["$ref"].split("/")[-1]] for option in options if "$ref" in option]
    found = set()
    for option in options:
        for name, inner in option.get("properties", {}).items():
            found |= {prefix + name} | _keys(schema, inner, f"{prefix}{name}.")
        named = [option.get("additionalProperties"), *option.get("patternProperties", {}).values()]  # by the user
        for inner in (part for part in named if isinstance(part, dict)):
            found |= _keys(schema, inner, prefix)
    return found


def _tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_row_stands_once():
    assert set(ROWS) == WANTED, f"missing {sorted(WANTED - set(ROWS))}, unknown {sorted(set(ROWS) - WANTED)}"


@pytest.mark.parametrize("row", sorted(ROWS))
def test_what_a_row_names_exists(row):
    what, module, key, test = ROWS[row]
    assert what
    assert "planned" not in " ".join(ROWS[row]).lower()
    assert _quoted(module), f"{row} names no module"
    for path in _quoted(module):
        assert (ROOT / path).exists(), f"{row}: no file {path}"
    schema = json.loads((ROOT / "config" / "config.schema.json").read_text())
    known = _keys(schema, schema)
    for name in _quoted(key):
        assert name in known, f"{row}: no key {name}"
    assert _quoted(test), f"{row} names no test"
    for name in _quoted(test):
        path, _, function = name.partition("::")
        assert function in _tests(ROOT / path), f"{row}: no test {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "experiments").rglob("*.yaml")), ids=lambda path: path.stem)
def test_rows_that_an_experiment_serves_name_it(path):
    served = yaml.safe_load(path.read_text()).get("rows", [])
    assert [row for row in served if f"`{path.relative_to(ROOT)}`" not in ROWS[row][1]] == []
