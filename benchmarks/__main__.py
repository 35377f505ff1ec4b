"""`python -m benchmarks`: how far EmberFormer is from what the machine can do, and from the plain way.

Every module beside this file that has a `measure() -> dict[str, float]` is run, in a process of its own. Most figures
are ratios of two times measured in one run, so that they hold on other machines too. Figures go to
`results/benchmarks`; `--write` puts them into the reference (`benchmarks/reference.json`, `docs/benchmarks.png`)
instead. A figure that misses its goal fails nothing.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.goals import GOALS
from benchmarks.machine import describe_machine, in_a_line
from benchmarks.modules import FOLDER, measure_apart, module_names
from benchmarks.picture import draw, save

REFERENCE = FOLDER / "reference.json"
PICTURE = FOLDER.parent / "docs" / "benchmarks.png"
RESULTS = Path("results") / "benchmarks"


def read_record(path: Path) -> dict:
    """Figures that were stored, each with the machine that it was measured on; empty where nothing is stored."""
    return json.loads(path.read_text()) if path.exists() else {"machines": {}, "figures": {}}


def merged(record: dict, figures: Mapping[str, float], machine: dict) -> dict:
    """A record with figures measured anew; the others stay, and so do the machines that they name."""
    name = in_a_line(machine)
    kept = record["figures"] | {figure: {"value": value, "machine": name} for figure, value in figures.items()}
    used = {entry["machine"] for entry in kept.values()}
    machines = {line: told for line, told in (record["machines"] | {name: machine}).items() if line in used}
    return {"machines": machines, "figures": kept}


def table(figures: Mapping[str, float], reference: dict) -> list[str]:
    """Lines of figure | here | reference | goal; a star marks a goal that is missed here."""
    width = max(map(len, figures), default=6)
    lines = [f"{'figure':{width}s} | {'here':>8s} | {'reference':>9s} | goal"]
    for name, value in figures.items():
        goal, told = GOALS.get(name), reference["figures"].get(name, {}).get("value", "-")
        mark = "" if goal is None or goal.reached(value) else " *"
        lines.append(f"{name:{width}s} | {value:8} | {told!s:>9s} | {goal or '-'}{mark}")
    machines = {reference["figures"][name]["machine"] for name in figures if name in reference["figures"]}
    return [*lines, *(f"reference: {machine}" for machine in sorted(machines))]


def store(record: dict, path: Path, picture: Path) -> None:
    """Write figures as JSON and as a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    values = {name: entry["value"] for name, entry in record["figures"].items()}
    drawn_from = dict.fromkeys(entry["machine"] for name, entry in record["figures"].items() if name in GOALS)
    save(draw(values, GOALS, "\n".join(drawn_from)), picture)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the figures beside the reference and the goals, and store them."""
    names = module_names()
    os.environ |= {"TQDM_DISABLE": "1", "THP_MEM_ALLOC_ENABLE": "1"}  # the second as `emberformer` sets it
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put what is measured now into the reference")
    parser.add_argument("--only", choices=names, action="append", help="run this module only; may be given again")
    asked = parser.parse_args(arguments)
    figures: dict[str, float] = {}
    for name in asked.only or names:
        print(f"{name} ...", flush=True)
        figures |= measure_apart(name)
    machine, reference = describe_machine(), read_record(REFERENCE)
    print("\n".join(table(figures, reference)))
    print(f"here: {in_a_line(machine)}")
    if not figures:
        return
    if asked.write:
        store(merged(reference, figures, machine), REFERENCE, PICTURE)
    else:
        store(merged(read_record(RESULTS / "figures.json"), figures, machine), RESULTS / "figures.json",
              RESULTS / "figures.png")  # fmt: skip


if __name__ == "__main__":
    main()
