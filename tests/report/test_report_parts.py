"""Parts of the report: the verdict's words, the choice of fires, the step and the cut, light and wind on the maps."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emberformer.data.fires import open_fires
from emberformer.errors import InputError
from emberformer.forecast_store import open_forecasts
from emberformer.imports import PACKAGE
from emberformer.layout import Layout
from emberformer.report.cases import Choice, choose_fires, read_case, typical
from emberformer.report.figures import forest_plot
from emberformer.report.maps import draw_case, fuel_colours, hillshade, wind_text
from emberformer.report.methods import describe_methods, network_description
from emberformer.report.scoreboard import Estimate, method_label, read_scoreboard
from emberformer.report.tables import AT_VALIDATION, difference_rows, score_rows
from emberformer.report.verdict import interval_text, verdict
from emberformer.settings import Settings
from tests.report.synthetic import BETTER, MODEL, THRESHOLD, burned, scoreboard, write_experiment, write_tables

REPORT_RULE = PACKAGE.parent / "workflow" / "rules" / "report.smk"


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    settings, layout = write_experiment(tmp_path_factory.mktemp("parts"))
    return settings, open_fires(layout.fires("valley")), open_forecasts(layout.forecasts(MODEL, "valley"))


@pytest.fixture
def case(stores):
    _, fires, forecasts = stores
    return read_case(Choice("Best", "valley", "fire_4", 0.93), fires, forecasts, THRESHOLD)


@pytest.mark.parametrize(
    ("difference", "kind"),
    [
        ((0.1, 0.01, 0.2), "better"),
        ((0.1, -0.01, 0.2), "tied"),
        ((-0.1, -0.2, -0.01), "worse"),
        ((0.1, np.nan, np.nan), "unknown"),
    ],
)
def test_a_difference_is_judged_by_its_interval(difference, kind):
    value, low, high = difference
    assert Estimate(value, low, high).verdict == kind


def test_verdict_praises_only_what_every_interval_shows(tmp_path):
    said = verdict(scoreboard(tmp_path))
    assert said.outcome == "all"
    assert said.headline == "EmberFormer beats all 2 baselines (persistence and distance) on new fire."
    words = " ".join(said.sentences)
    assert "On 3 test fires (9 forecasts; 3.21 % of the pixels open to new fire burned in the step)" in words
    assert "AP of 0.812 (0.802 to 0.832)" in words
    assert "Every paired 95 % interval of the difference lies above zero" in words
    assert "distance on AP, +0.312 (+0.205 to +0.411)" in words


def test_verdict_flips_where_an_interval_includes_zero(tmp_path):
    said = verdict(scoreboard(tmp_path, BETTER | {"distance": (0.02, -0.01, 0.05)}))
    assert said.outcome == "some"
    assert said.headline == "EmberFormer beats persistence on new fire, but not distance."
    words = " ".join(said.sentences)
    assert "cannot be told apart (the paired interval of the difference includes zero) from distance" in words
    assert "[+0.020 (−0.010 to +0.050)]" in words
    assert "Every paired" not in words


def test_verdict_says_worse_where_the_interval_lies_below_zero(tmp_path):
    said = verdict(scoreboard(tmp_path, dict.fromkeys(BETTER, (-0.2, -0.3, -0.1))))
    assert said.outcome == "none"
    assert "does not beat persistence or distance" in said.headline
    assert "it is worse than persistence [−0.200 (−0.300 to −0.100)] and distance" in " ".join(said.sentences)


def test_verdict_claims_nothing_without_intervals(tmp_path):
    assert verdict(scoreboard(tmp_path, dict.fromkeys(BETTER, (0.5, np.nan, np.nan)))).outcome == "unknown"


def test_lower_is_better_for_brier_and_undefined_scores_are_dashes(tmp_path):
    rows = {row.label: row.cells for row in score_rows(scoreboard(tmp_path), "new", AT_VALIDATION, ["all"])}
    brier = [column.heading for column in AT_VALIDATION].index("Brier")
    assert rows["EmberFormer, seed 0"][brier].best
    assert not rows["Persistence"][brier].best
    assert rows["Distance"][brier] == ("–", "", "", False)


def test_bold_differences_are_those_surely_above_zero(tmp_path):
    board = scoreboard(tmp_path, BETTER | {"distance": (0.4, -0.01, 0.9)})
    assert [row.cells[0].best for row in difference_rows(board)] == [True, False]


def test_the_mean_over_seeds_leads_and_its_seeds_are_small(tmp_path):
    board = scoreboard(tmp_path)
    of_seed = board.scores[board.scores.method == MODEL]
    mean = of_seed.assign(method="emberformer (mean of 2 seeds)", seed_sd=0.004)
    board = replace(
        board, scores=pd.concat([board.scores, of_seed.assign(method="emberformer-seed-1", value=0.9), mean])
    )
    assert board.headline == "emberformer (mean of 2 seeds)"
    rows = score_rows(board, "new", AT_VALIDATION, ["all"])
    assert [row.label for row in rows][:3] == [
        "EmberFormer (mean of 2 seeds)",
        "EmberFormer, seed 0",
        "EmberFormer, seed 1",
    ]
    assert [row.minor for row in rows] == [False, True, True, False, False]
    assert rows[0].cells[0] == ("0.812", "0.802–0.832", "seeds ±0.004", True)


def test_few_fires_are_each_shown_once(tmp_path):
    board = scoreboard(tmp_path)
    for count, ranks in ((1, ["Best"]), (2, ["Best", "Worst"]), (3, ["Best", "Median", "Worst"])):
        chosen = choose_fires(replace(board, per_fire=board.per_fire.head(count)), MODEL)
        assert [choice.rank for choice in chosen] == ranks
        of_all = sorted((choice.average_precision for choice in chosen), reverse=True)
        assert (middle := typical(chosen)) is not None
        assert middle.average_precision == of_all[count // 2]  # of two the lower one
    assert typical([]) is None


def test_the_step_of_largest_growth_is_read_and_cut_to_the_fire(case):
    assert case.step == 1
    assert case.burned.shape[0] == 2
    assert np.count_nonzero(case.observed == 1) == burned(2).sum() == 13 * 13
    height, width = case.observed.shape
    assert height == width == 30
    assert case.outcomes["hit"].sum() == 9 * 9 - 5 * 5
    assert case.outcomes["miss"].sum() == 13 * 13 - 9 * 9
    assert case.outcomes["false alarm"].sum() == 0
    assert case.elapsed_s == case.step_s == 1800
    assert str(case.valid_time) == "2021-02-03T11:00:00"


def test_where_fires_go_out_what_burns_on_is_a_hit(stores):
    _, fires, forecasts = stores
    active = fires.assign_attrs(fire_kind="active")
    case = read_case(Choice("Best", "valley", "fire_4", 0.93), active, forecasts, THRESHOLD)
    assert case.step == 2  # 15 x 15 pixels burn from there, also those 13 x 13 that burn on
    assert {name: int(of.sum()) for name, of in case.outcomes.items()} == {"hit": 225, "miss": 0, "false alarm": 64}
    _, _, forecast, outcome = draw_case(case, {})
    assert not {"burned before"} & {key.text for key in [*forecast.keys, *outcome.keys]}
    assert "front" in {key.text for key in outcome.keys}


def test_the_page_is_made_anew_when_a_part_of_it_is_edited():
    pattern = re.findall(r'PACKAGE / "report"\)\.glob\("(.*?)"\)', REPORT_RULE.read_text())
    assert len(pattern) == 1
    parts = {path.name for path in PACKAGE.joinpath("report").glob(pattern[0])}
    page = PACKAGE.joinpath("report", "template.html").read_text()
    assert parts >= {"template.html", "player.js", *re.findall(r'{% (?:from|include|import) "(.*?)"', page)}
    assert not [name for name in parts if name.endswith(".py")]


def test_a_number_below_what_is_shown_is_a_plain_zero():
    assert interval_text(Estimate(-0.0002, -0.0104, 0.0004), signed=True) == "+0.000 (−0.010 to +0.000)"


def test_north_is_up_and_east_is_right_on_a_north_up_raster(case):
    np.testing.assert_allclose(case.compass, [[1, 0], [0, -1]])
    np.testing.assert_allclose(np.asarray(case.wind) @ case.compass, [3, -4])  # right and up


def test_maps_of_a_fire_tell_fuels_and_counts(case):
    fuels = fuel_colours([case])
    panels = draw_case(case, fuels)
    assert list(fuels) == [183.0, 102.0] or list(fuels) == [102.0, 183.0]
    assert [panel.title for panel in panels][-1] == "What burned"
    assert [key.text for key in panels[-1].keys] == ["hits 56", "misses 88", "false alarms 0", "burned before"]
    assert "marked: from 0.30" in [key.text for key in panels[2].keys]


def test_slopes_facing_the_upper_left_are_brighter():
    row, column = np.mgrid[:10, :10] * 10.0
    hills = row + column, -row - column, np.full((4, 4), 7.0)
    towards, away, level = (np.asarray(hillshade(elevation, 30.0)) for elevation in hills)
    assert np.min(towards) > np.sqrt(0.5) > np.max(away)
    np.testing.assert_allclose(level, np.sqrt(0.5))
    assert hillshade(None, 30.0) is None
    assert hillshade(np.full((4, 4), np.nan), 30.0) is None


@pytest.mark.parametrize(
    ("wind", "text"),
    [
        ((0, 2), "2.0 m/s towards north"),
        ((1.5, 0), "1.5 m/s towards east"),
        ((-1, -1), "towards south-west"),
        ((0, 0), "no wind"),
        (None, "not known"),
    ],
)
def test_wind_in_words(wind, text):
    assert text in wind_text(wind)


def test_methods_say_what_was_fitted_and_what_they_saw(stores, tmp_path):
    board = scoreboard(tmp_path)
    board.thresholds["distance"] = {
        "threshold": -2.5,
        "fitted": {"valley": {"radius_px": 3.5, "chosen_on": ["valley"], "left_out": []}},
    }
    layout = Layout(stores[0])
    model, persistence, distance = describe_methods(board, layout, "dinov2-tiny", {MODEL: True, "distance": False})
    assert "dinov2-tiny" in model.description
    assert (model.threshold, model.wind) == ("0.300", "yes")
    assert (persistence.threshold, persistence.wind, persistence.fitted) == ("–", "not known", "nothing")
    assert (distance.threshold, distance.fitted) == ("−2.500", "radius 3.5 px")


def test_forecasts_of_others_are_said_to_be_that(stores, tmp_path):
    """A simulator, and a network of theirs with two seeds."""
    layout = Layout(stores[0])
    board = scoreboard(tmp_path)
    credits_ = {"title": "Spread of fires", "institution": "Fire Lab.", "sees_target_wind": True}
    told = {name: {"valley": {"path": f"theirs/{name}.zarr"}} for name in ("theirs-seed-0", "theirs-seed-1")}
    told["simulator"] = {"valley": {"path": "sim/valley.zarr"} | credits_}
    rows = [board.scores[board.scores.method == "distance"].assign(method=name) for name in told]
    board = replace(
        board, scores=pd.concat([board.scores, *rows]),
        thresholds=board.thresholds | {
            name: {"threshold": 0.5, "fitted": {"valley": None}, "store": of} for name, of in told.items()
        },
    )  # fmt: skip
    found = {method.label: method for method in describe_methods(board, layout, "dinov2-tiny", {})}
    simulator, network = found["Simulator"], found["Theirs, 2 seeds"]
    assert simulator.description == (
        "Scored from files of another source: sim/valley.zarr. Title: Spread of fires. Institution: Fire Lab."
    )
    assert (simulator.wind, simulator.fitted) == ("yes", "not known")
    assert network.description == "Scored from files of another source: theirs/theirs-seed-0.zarr."
    assert network.wind == "not known"


@pytest.mark.parametrize(
    "name", ["scores.csv", "differences.csv", "per_fire.csv", "reliability.csv", "thresholds.json", "protocol.json"]
)
def test_a_missing_table_is_an_error_that_names_it(tmp_path, name):
    write_tables(tmp_path, BETTER)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match=re.escape(name)):
        read_scoreboard(tmp_path)


def test_a_table_without_a_column_is_an_error_that_names_both(tmp_path):
    write_tables(tmp_path, BETTER)
    table = pd.read_csv(tmp_path / "differences.csv").drop(columns="low")
    table.to_csv(tmp_path / "differences.csv", index=False)
    with pytest.raises(InputError, match=r"differences\.csv\n.*no column low"):
        read_scoreboard(tmp_path)


def test_method_labels():
    assert method_label("emberformer-seed-3") == "EmberFormer, seed 3"
    assert method_label("persistence") == "Persistence"


PHASE2, UNET = "emberformer-phase2-seed-0", "unet (mean of 2 seeds)"


def several_networks(folder):
    """The tables of a model in two phases, of a U-Net in two seeds and its mean, and of two simple rivals."""
    board = scoreboard(folder)
    of_model = board.scores[board.scores.method == MODEL]
    named = [PHASE2, "unet-seed-0", "unet-seed-1", UNET]
    validation = [
        of_model.assign(method=name, split="validation", value=value)
        for name, value in ((MODEL, 0.9), (PHASE2, 0.7), ("unet-seed-0", 0.99))
    ]
    scores = pd.concat([board.scores, *(of_model.assign(method=name, value=0.95) for name in named), *validation])
    of_distance = board.differences[board.differences.baseline == "distance"]
    others = [of_distance.assign(baseline=name) for name in (UNET, PHASE2)]
    return replace(board, scores=scores, differences=pd.concat([board.differences, *others]))


def test_the_headline_is_the_phase_that_is_best_on_validation_not_on_test(tmp_path):
    board = several_networks(tmp_path)
    assert board.headline == MODEL
    swapped = board.scores.method.replace({MODEL: PHASE2, PHASE2: MODEL})
    assert replace(board, scores=board.scores.assign(method=swapped)).headline == PHASE2


def test_methods_stand_in_groups_and_every_network_is_compared(tmp_path):
    board = several_networks(tmp_path)
    rows = score_rows(board, "new", AT_VALIDATION, ["all"])
    assert [(row.group, row.label, row.minor) for row in rows] == [
        ("EmberFormer", "EmberFormer, seed 0", False),
        ("EmberFormer", "EmberFormer phase 2, seed 0", False),
        ("Trained rivals", "U-Net (mean of 2 seeds)", False),
        ("Trained rivals", "U-Net, seed 0", True),
        ("Trained rivals", "U-Net, seed 1", True),
        ("Simple rivals", "Persistence", False),
        ("Simple rivals", "Distance", False),
    ]
    assert board.others == [UNET, "persistence", "distance"]
    said = verdict(board)
    assert (
        said.headline
        == "EmberFormer beats all 3 rivals (U-Net (mean of 2 seeds), persistence and distance) on new fire."
    )
    assert "EmberFormer, seed 0 minus U-Net (mean of 2 seeds)" in [row.label for row in difference_rows(board)]
    assert "minus EmberFormer phase 2, seed 0 +0.312" in forest_plot(board, "average_precision").alt


def test_each_trained_network_is_described_by_its_settings(tmp_path):
    settings, _ = write_experiment(tmp_path)
    content = settings.model_dump(mode="json")
    content["variants"] = {
        "unet": {"model": {"network": "unet"}, "training": {"seeds": [0, 1]}, "phase2": None},
        "no_dino": {"model": {"fire": "stem", "terrain": "conv", "wind": False}, "phase2": None},
    }
    layout = Layout(Settings.model_validate(content | {"phase2": {"path": "pixels"}}))
    said = {name: network_description(trained, "dinov2-tiny") for name, trained in layout.trained.items()}
    assert said["emberformer"].startswith("Frozen dinov2-tiny features of the newest 6 frames")
    assert "fine-tuned (lora)" in said["emberformer-phase2"]
    assert said["unet"] == "A U-Net on the pixels of the newest frames, terrain and wind."
    assert "dinov2" not in said["no_dino"]
    assert "without the wind" in said["no_dino"]
