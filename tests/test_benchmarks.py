"""The benchmarks' own arithmetic, on hand-made numbers; what they measure is measured by `make bench`."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import xarray as xr

from benchmarks import extraction
from benchmarks.__main__ import merged, read_record, store, table
from benchmarks.goals import GOALS, Goal
from benchmarks.machine import describe_machine, in_a_line, processor
from benchmarks.modules import FOLDER, measure_apart, module_names
from benchmarks.picture import draw
from benchmarks.ratios import interleaved, ratio_of
from emberformer.settings import FeatureSettings


class Clock:
    """A clock that only actions move."""

    def __init__(self):
        self.now, self.order = 0.0, ""

    def action(self, name: str, times: list[float]):
        """Takes one of the times after the other; the first call is the warming."""
        left = iter(times)

        def act() -> None:
            self.now += next(left)
            self.order += name

        return act


def test_actions_run_in_turns_and_the_first_of_each_is_not_counted():
    clock = Clock()
    a, b = clock.action("a", [50, 2, 2, 2, 2]), clock.action("b", [9, 1, 1, 1, 1])
    ratio = interleaved(a, b, 4, lambda: clock.now)
    assert clock.order == "ab" + "abbaabba"
    assert (ratio.median_a, ratio.median_b, ratio.ratio, ratio.low, ratio.high) == (2, 1, 2, 2, 2)


def test_a_machine_that_slows_down_slows_both():
    """The second half of the run is ten times slower; the ratio is 3 throughout, and so is its interval."""
    times_b = np.array([1.0, 1.0, 1.0, 1.0, 10.0, 10.0, 10.0])
    ratio = ratio_of(3 * times_b, times_b)
    assert (ratio.ratio, ratio.low, ratio.high) == pytest.approx((3, 3, 3))


def test_one_disturbed_turn_moves_nothing():
    ratio = ratio_of([4, 4, 400, 4, 4, 4, 4, 4, 4], [2] * 9)
    assert (ratio.ratio, ratio.low) == (2, 2)
    assert ratio.high == 2


def test_times_that_scatter_widen_the_interval():
    rng = np.random.default_rng(0)
    calm, wild = (ratio_of(2 + spread * rng.random(30), 1 + spread * rng.random(30)) for spread in (0.01, 1.0))
    assert calm.high - calm.low < 0.02 < wild.high - wild.low
    for ratio in (calm, wild):
        assert ratio.low <= ratio.ratio <= ratio.high
        assert ratio.ratio == ratio.median_a / ratio.median_b


@pytest.mark.parametrize(
    ("goal", "figure", "reached", "good"),
    [(Goal("<=", 1.3), 1.3, True, 1), (Goal("<=", 1.3), 2.6, False, 0.5), (Goal("<", 20), 20, False, 1),
     (Goal(">=", 6), 9, True, 1.5), (Goal(">=", 6), 3, False, 0.5)],
)  # fmt: skip
def test_goals(goal, figure, reached, good):
    assert goal.reached(figure) is reached
    assert goal.times_as_good(figure) == pytest.approx(good)


def machine(cores: int) -> dict:
    return {"cores": cores, "processor": "A", "memory_gb": 8, "gpu": None, "versions": {"torch": "2"}}


def test_figures_measured_elsewhere_keep_their_machine():
    record = merged({"machines": {}, "figures": {}}, {"a": 1.0, "b": 2.0}, machine(2))
    record = merged(record, {"b": 3.0}, machine(16))
    assert record["figures"]["a"] == {"value": 1.0, "machine": "2 cores, A, 8 GB"}
    assert record["figures"]["b"] == {"value": 3.0, "machine": "16 cores, A, 8 GB"}
    assert record["machines"]["16 cores, A, 8 GB"] == machine(16)
    assert list(merged(record, {"a": 4.0}, machine(16))["machines"]) == ["16 cores, A, 8 GB"]


def test_the_table_shows_here_reference_and_goal_and_marks_what_is_missed():
    name = "write a block / plain file"
    reference = merged({"machines": {}, "figures": {}}, {name: 1.2}, machine(2))
    header, met, other, below = table({name: 1.25, "other": 3.0}, reference)
    assert [cell.strip() for cell in header.split("|")] == ["figure", "here", "reference", "goal"]
    assert [cell.strip() for cell in met.split("|")] == [name, "1.25", "1.2", "<= 1.3"]
    assert [cell.strip() for cell in other.split("|")] == ["other", "3.0", "-", "-"]
    assert below == "reference: 2 cores, A, 8 GB"
    assert table({name: 1.35}, reference)[1].endswith("<= 1.3 *")


def test_figures_are_stored_with_a_picture(tmp_path):
    record = merged({"machines": {}, "figures": {}}, dict.fromkeys(GOALS, 1.0), machine(2))
    store(record, tmp_path / "new" / "figures.json", tmp_path / "figures.png")
    assert read_record(tmp_path / "new" / "figures.json") == record
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_a_bar_for_each_figure_with_a_goal():
    goals = {"slow": Goal("<=", 1.0), "fast": Goal(">=", 2.0), "count": Goal("<=", 0)}
    (axes,) = draw({"slow": 2.0, "fast": 8.0, "without": 5.0, "count": 0.0}, goals, "here").axes
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]  # pyright: ignore[reportAttributeAccessIssue]
    assert ends == pytest.approx([0.5, 4.0])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["slow", "fast"]


def test_the_machine_is_described_without_its_name(tmp_path):
    told = describe_machine()
    assert isinstance(told["cores"], int)
    assert set(told) == {"cores", "processor", "memory_gb", "gpu", "versions"}
    assert in_a_line({**told, "gpu": "G"}).endswith(", G")
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Some CPU @ 2 GHz\n"
    )
    assert processor(tmp_path / "cpuinfo") == "Some CPU @ 2 GHz"
    assert processor(tmp_path / "missing")


def test_only_modules_that_measure_are_run():
    names = module_names()
    assert {"reading", "extraction"} <= set(names)
    assert not {"__main__", "ratios", "picture", "goals", "modules", "machine"} & set(names)
    for name in names:
        parsed = ast.parse((FOLDER / f"{name}.py").read_text())
        (measure,) = (one for one in parsed.body if isinstance(one, ast.FunctionDef) and one.name == "measure")
        assert len(measure.args.args) == len(measure.args.defaults), name  # it is called without arguments


def test_extraction_is_measured_on_the_cpu_also_where_there_is_a_gpu(monkeypatch, tmp_path):
    """Figures, goals and the plain loop are of a CPU."""
    devices = []

    def begin(store, fires, settings, device, *further):
        devices.append(device)
        return SimpleNamespace(backbone=SimpleNamespace(device=device))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(extraction, "make_plan", lambda *told: None)
    monkeypatch.setattr(extraction, "begin_store", begin)
    extraction.Extraction(tmp_path, xr.Dataset(), FeatureSettings(weights="random"))
    assert devices == [torch.device("cpu")]


@pytest.mark.slow
def test_a_module_that_fails_is_told_of_and_the_others_go_on(tmp_path, monkeypatch, capfd):
    package = tmp_path / "measuring"
    package.mkdir()
    (package / "good.py").write_text("def measure():\n    return {'a': 1.0}\n")
    (package / "bad.py").write_text("def measure():\n    raise ValueError('no such luck')\n")
    (package / "dead.py").write_text("import os\ndef measure():\n    os._exit(9)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [measure_apart(name, "measuring") for name in ("bad", "dead", "good")] == [{}, {}, {"a": 1.0}]
    told = capfd.readouterr().out
    assert "bad failed" in told
    assert "no such luck" in told
    assert "dead failed" in told


def test_the_reference_names_the_machine_of_every_figure():
    record = json.loads((Path(__file__).parents[1] / "benchmarks" / "reference.json").read_text())
    assert {entry["machine"] for entry in record["figures"].values()} == set(record["machines"])
