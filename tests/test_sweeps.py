"""Sweeps: shipped files fit, keys are checked before anything runs, and a stopped sweep goes on."""

import itertools
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pandas as pd
import pytest
import yaml
from optuna.trial import FrozenTrial, TrialState
from wandb.sdk.launch.sweeps import utils as agent

from emberformer import sweeping
from emberformer.errors import InputError
from emberformer.layout import Layout
from emberformer.overrides import changed, nested, parse_changes
from emberformer.settings import load_settings, parse_settings
from emberformer.sweeping import grid_of, run_sweep
from emberformer.sweeps import Parameter, Sweep, load_sweep
from tests.tiny import tiny_settings

ROOT = Path(__file__).parents[1]
SHIPPED = [ROOT / "config" / "sweep.yaml", *sorted((ROOT / "config" / "sweeps").glob("*.yaml"))]
RUNS = {"1": 40, "2": 20, "3": 20, "4": 12}
METRIC = {"name": "val/new_f1", "goal": "maximize"}


@pytest.fixture
def settings(tmp_path):
    source = tiny_settings(tmp_path / "raw").model_dump(mode="json")
    return parse_settings({"name": "tiny", "results": str(tmp_path), "datasets": {"tiny": source}})


@pytest.fixture
def trained(monkeypatch):
    """Trainings that were asked for, as values of (heads, learning rate); no network is trained."""
    asked = []

    def train(settings, layout, seed, device, threads):
        folder = layout.model(seed)
        folder.mkdir(parents=True)
        for source in (layout.split, *(layout.fires(name) / "zarr.json" for name in settings.datasets)):
            source.parent.mkdir(parents=True, exist_ok=True)
            if not source.exists():
                source.touch()
        heads, rate = settings.model.heads, settings.training.learning_rate
        asked.append((heads, rate))
        rows = f"0,0.9,0.5,{0.1 * heads}\n1,0.8,0.6,{0.1 * heads - rate}\n"
        (folder / "metrics.csv").write_text("epoch,val/loss,val/new_ap,val/new_f1\n" + rows)
        (folder / "model.ckpt").touch()

    monkeypatch.setattr(sweeping, "train", train)
    return asked


def sweep_of(method: str, parameters: dict, **changes: object) -> Sweep:
    return Sweep.model_validate({"method": method, "metric": METRIC, "parameters": parameters, **changes})


GRID = sweep_of("grid", {"model.heads": {"values": [1, 2, 4]}, "training.learning_rate": {"values": [0.01, 0.02]}})


@pytest.mark.parametrize("config", ["portillo", "demo"])
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_sweeps_fit_the_shipped_configurations(path, config):
    sweep = load_sweep(path, load_settings(ROOT / "config" / f"{config}.yaml"))
    assert sweep.name is not None
    assert len(grid_of(sweep)) or sweep.run_cap == RUNS[sweep.name[0]]
    assert sweep.method != "grid" or len(grid_of(sweep)) == RUNS[sweep.name[0]]


def test_an_agent_of_weights_and_biases_calls_the_verb_with_keys_it_reads(settings):
    content = yaml.safe_load(SHIPPED[0].read_text())
    values = {"model.d_model": 64, "training.learning_rate": 1e-05, "model.decoder": "unet"}
    given = agent.create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
    words = agent.create_sweep_command(content["command"])
    assert words[1:3] == ["emberformer", "train"]
    words = [given["args_json"][0] if word == "${args_json}" else word for word in words]
    texts = [text for option, text in itertools.pairwise(words) if option == "--set"]
    changes = parse_changes(texts)
    assert changes["logging.wandb"] == "online"
    chosen = changed(settings, changes)
    assert (chosen.model.d_model, chosen.model.decoder, chosen.training.learning_rate) == (64, "unet", 1e-05)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"model.d_modle": {"values": [64]}}, r"parameters\.model\.d_modle(.|\n)*Extra inputs"),
        ({"model.decoder": {"values": ["minimal", "maximal"]}}, "maximal"),
        ({"training.learning_rate": {"min": -1.0, "max": 1.0}}, "greater than 0"),
        ({"training.learning_rate": {"distribution": "log_uniform_values", "min": 0, "max": 1}}, "above 0"),
        ({"model.heads": {"values": [1], "min": 1, "max": 2}}, "give one of"),
        ({"model.heads": {"distribution": "normal", "min": 1, "max": 2}}, "distribution"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_keys_and_values_are_checked_before_anything_runs(settings, tmp_path, parameters, named):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"method": "random", "metric": METRIC, "parameters": parameters}))
    with pytest.raises(InputError, match=named):
        load_sweep(path, settings)


def test_a_grid_needs_values():
    with pytest.raises(ValueError, match=r"a grid needs `values`; training\.learning_rate"):
        sweep_of("grid", {"training.learning_rate": {"min": 0.1, "max": 0.2}})


def test_whole_ranges_as_in_weights_and_biases():
    assert Parameter(min=1, max=4).whole
    assert not Parameter(min=1.0, max=4.0).whole
    assert not Parameter.model_validate({"min": 1, "max": 4, "distribution": "uniform"}).whole


def test_single_settings_beside_the_file(settings):
    assert nested({"a.b.c": 1, "a.b.d": 2, "e": 3}) == {"a": {"b": {"c": 1, "d": 2}}, "e": 3}
    flat = parse_changes(["model.d_model=64", '{"training.learning_rate": 1e-4, "model.decoder": "unet"}'])
    model = changed(settings, flat).model
    assert (model.d_model, model.decoder, model.heads) == (64, "unet", settings.model.heads)
    assert changed(settings, flat).training.learning_rate == 1e-4
    for text in ("model.d_model", "[1, 2]", "{", "=3"):
        with pytest.raises(InputError, match="key=value"):
            parse_changes([text])
    with pytest.raises(InputError, match=r"model\.width"):
        changed(settings, {"model.width": 3})


def test_a_grid_runs_every_point_once_and_goes_on_after_it_was_stopped(settings, trained, tmp_path, monkeypatch):
    run_sweep(settings, GRID, "grid", count=2)
    assert len(trained) == 2

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sweeping, "train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_sweep(settings, GRID, "grid")
    best = run_sweep(settings, GRID, "grid")
    assert sorted(trained) == [(heads, rate) for heads in (1, 2, 4) for rate in (0.01, 0.02)]
    table = pd.read_csv(best.parent / "trials.csv")
    assert table["val/new_f1"].tolist() == pytest.approx([0.4, 0.4, 0.2, 0.2, 0.1, 0.1])  # of the best epoch
    chosen = load_settings(best)
    assert chosen.model.heads == 4
    assert Layout(chosen).model(0) == Path(table.model[0])
    run_sweep(settings, GRID, "again")  # under another name: all is trained
    assert len(trained) == 6


@pytest.mark.parametrize("method", ["bayes", "random"])
def test_drawn_settings_stay_in_their_ranges_and_what_does_not_fit_is_passed_over(settings, trained, method):
    parameters = {
        "model.d_model": {"value": 64},
        "model.heads": {"min": 1, "max": 4},  # 3 does not divide 64
        "training.learning_rate": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
    }
    sweep = sweep_of(method, parameters, run_cap=12)
    table = pd.read_csv(run_sweep(settings, sweep, method).parent / "trials.csv")
    assert len(table) == 12
    assert [state == "unfit" for state in table.state] == [heads == 3 for heads in table["model.heads"]]
    assert all(1e-4 <= rate <= 1e-2 for rate in table["training.learning_rate"])
    assert len(set(table["training.learning_rate"])) == 12
    assert {heads for heads, _ in trained} <= {1, 2, 4}


def test_a_sweep_without_an_end_or_a_result(settings, trained):
    unfit = sweep_of("random", {"model.d_model": {"value": 64}, "model.heads": {"value": 3}})
    with pytest.raises(InputError, match="no number of trials"):
        run_sweep(settings, unfit, "endless")
    with pytest.raises(InputError, match="no trial succeeded"):
        run_sweep(settings, unfit, "unfit", count=2)


def test_another_preset_sets_what_the_file_left_to_the_first(settings):
    content = settings.model_dump(mode="json") | {"detection": {"layers": 4, "tail": {}}}
    small = changed(parse_settings(content), {"detection.preset": "small"}).detection
    assert small is not None
    assert (small.preset, small.queries, small.layers) == ("small", 50, 4)
    assert small.tail is not None
    assert small.tail.lora.rank == 2
    again = changed(parse_settings(content), {"detection.preset": "small", "detection.queries": 100}).detection
    assert again is not None
    assert again.queries == 100


def test_hours_that_are_left_are_those_of_the_middle_trial():
    study = optuna.create_study(direction="maximize")
    assert sweeping._so_far(study, 10) == "no trial yet"
    begun = datetime(2026, 1, 31)
    for number, hours in enumerate((1, 2, 30)):
        ended, score = begun + timedelta(hours=hours), 0.5 + number / 10
        trial = FrozenTrial(number, TrialState.COMPLETE, score, begun, ended, {}, {}, {}, {}, {}, number)
        study.add_trial(trial)
    assert sweeping._so_far(study, 10) == "best 0.7000, 14.0 h left for one process"
