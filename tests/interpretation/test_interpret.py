"""A tiny trained network looked into from end to end: files, what they say, the same bytes again, and the report."""

import json

import pandas as pd
import pytest

from emberformer.baselines import write_baseline
from emberformer.errors import InputError
from emberformer.evaluate.tables import evaluate
from emberformer.hindcast import hindcast
from emberformer.interpretation import attribution
from emberformer.interpretation.run import interpret
from emberformer.interpretation.subject import band_channels, open_subject
from emberformer.layout import Layout
from emberformer.report import write_report
from emberformer.training import train
from tests.stores import MODEL, prepare, tiny_experiment

pytestmark = pytest.mark.slow


def evaluated(folder, **changes):
    """A configuration, trained, forecast and scored."""
    settings, layout = tiny_experiment(
        folder, evaluation={"baselines": ["persistence"], "replicates": 100},
        training={"epochs": 1}, **changes,
    )  # fmt: skip
    prepare(settings, layout)
    for one in layout.trained.values():
        train(one.layout.settings, one.layout, 0, "cpu")
        hindcast(one.layout.settings, one.layout, 0, "tiny", "cpu")
    write_baseline(settings, layout, "persistence", "tiny")
    stores = {method: {"tiny": layout.forecasts(method, "tiny")} for method in layout.methods}
    evaluate(stores, {"tiny": layout.fires("tiny")}, layout.scores, settings.evaluation)
    return settings, layout


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """Some of the steps are attributed, which takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attribution, "STEPS", 3)
        yield


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    variants = {"unet": {"model": {"network": "unet", "channels": 8}}}
    model = {**MODEL, "layers": 2}
    settings, layout = evaluated(tmp_path_factory.mktemp("interpret"), variants=variants, model=model)
    return settings, layout, interpret(layout, None, "phase1", 0, "tiny", "test", "cpu")


def test_every_part_has_its_table_and_pictures(experiment):
    _, layout, folder = experiment
    assert folder == layout.interpretation("emberformer-seed-0", "tiny")
    shown = json.loads((folder / "pictures.json").read_text())
    parts = {picture["part"] for picture in shown}
    assert parts >= {"attention", "attribution", "importance", "features", "failures"}
    assert all((folder / picture["file"]).stat().st_size > 1000 and len(picture["alt"]) > 30 for picture in shown)
    about = json.loads((folder / "about.json").read_text())
    assert (about["split"], about["left_out"]) == ("test", {})
    assert len(pd.read_csv(folder / "failures.csv")) == about["steps"]


def test_attention_adds_up_to_one_over_lags(experiment):
    table = pd.read_csv(experiment[2] / "attention.csv")
    sums = table.groupby(["layer", "head", "place", "frames_seen"]).weight.sum()
    assert sums.tolist() == pytest.approx([1] * len(sums), abs=1e-4)
    assert set(table.layer) == {"1", "2", "rollout"}
    assert (table.lag < table.frames_seen).all()
    assert set(table.frames_seen) == {1, 2, 3}


def test_attributions_of_a_step_add_up(experiment):
    table = pd.read_csv(experiment[2] / "attribution.csv")
    sums = table.groupby(["fire_id", "step"]).agg(
        {"attribution": "sum", "forecast": "first", "baseline": "first", "residual": "first"}
    )
    assert (sums.attribution + sums.residual).tolist() == pytest.approx(
        (sums.forecast - sums.baseline).tolist(), abs=1e-2
    )
    assert (sums.residual.abs() < 0.05 * sums.forecast.abs() + 0.05).all()


def test_importance_names_every_band_wind_and_history(experiment):
    table = pd.read_csv(experiment[2] / "importance.csv")
    bands = ["fuel_model", "elevation", "slope_deg", "aspect_deg", "burnable"]
    assert set(table.permuted) == {*bands, "wind", "history"}
    assert ((table.average_precision - table.average_precision_permuted - table["drop"]).abs() < 1e-4).all()


def test_channels_of_bands_cover_what_the_network_knows_of_terrain(experiment):
    subject = open_subject(experiment[1], 0, "phase1", "tiny", "test", "cpu")
    of = band_channels(subject.sizes).values()
    assert sorted(n for band in of for n in band["terrain_patches"]) == list(range(len(subject.sizes.channels)))
    pixels = sorted(n for band in of for n in band["terrain_pixels"])
    assert pixels == list(range(len(subject.sizes.normaliser.channels) - 1))  # all but the last, 'known'


def test_a_rival_has_what_applies_and_says_what_does_not(experiment):
    _, layout, _ = experiment
    folder = interpret(layout, "unet", "phase1", 0, "tiny", "test", "cpu")
    about = json.loads((folder / "about.json").read_text())
    assert set(about["left_out"]) == {"attention", "features"}
    assert about["method"] == "unet-seed-0"
    assert "wind" in set(pd.read_csv(folder / "importance.csv").permuted)


def test_the_same_again_gives_the_same_bytes(experiment):
    _, layout, folder = experiment
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    interpret(layout, None, "phase1", 0, "tiny", "test", "cpu")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_report_shows_it(experiment):
    settings, layout, _ = experiment
    page = write_report(settings, layout).read_text(encoding="utf-8")
    for heading in ("Which inputs matter", "How far back it looks", "Where it fails", "What the features tell apart"):
        assert heading in page
    assert "EmberFormer, seed 0 on the test fires of tiny" in page
    assert "No interpretation" not in page


def test_without_an_evaluation_it_says_what_to_run(experiment, tmp_path):
    settings, layout, _ = experiment
    elsewhere = Layout(settings.model_copy(update={"name": "unscored"}))
    with pytest.raises(InputError, match="emberformer evaluate"):
        interpret(elsewhere, None, "phase1", 0, "tiny", "test", "cpu")
    with pytest.raises(InputError, match="--phase"):
        interpret(layout, None, "phase3", 0, "tiny", "test", "cpu")


def test_a_split_of_one_fire_has_no_donors_and_says_so(experiment):
    _, layout, _ = experiment
    about = json.loads((interpret(layout, "unet", "phase1", 0, "tiny", "validation", "cpu") / "about.json").read_text())
    assert about["split"] == "validation"
    assert "another fire" in about["left_out"]["importance"]
