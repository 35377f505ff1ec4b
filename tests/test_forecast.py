"""The forecast of one new fire: the same as a data set's own, and files from the command line."""

import re
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import rasterio
import typer
from typer.testing import CliRunner

import emberformer.forecast
from emberformer.checkpoint import open_landscapes
from emberformer.cli import app
from emberformer.data.fires import fire_transform, open_fires
from emberformer.data.new_fire import NewFire
from emberformer.errors import InputError
from emberformer.features.backbone import load_backbone
from emberformer.forecast import LoadedModel, forecast_files, forecast_fire, model_bands, trained_minutes
from emberformer.forecast_cli import forecast_app
from emberformer.forecast_store import open_forecasts
from emberformer.hindcast import hindcast
from emberformer.settings import ForecastSettings, Settings
from emberformer.training import train
from tests.new_fires import source_of, winds_of
from tests.stores import TRAINING, prepare, tiny_experiment

THRESHOLD = ForecastSettings(leads=2, feedback="threshold")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    settings, layout = tiny_experiment(
        tmp_path_factory.mktemp("forecast"), training={**TRAINING, "epochs": 1}, forecast=THRESHOLD.model_dump()
    )
    prepare(settings, layout)
    return settings, layout, LoadedModel.load(train(settings, layout, 0, "cpu"))


def test_a_new_fire_is_forecast_as_one_of_a_data_set(trained):
    """Whatever the length of its history; a fire of the test split is given again, frame by frame."""
    settings, layout, network = trained
    fires = open_fires(layout.fires("tiny"))
    known = open_forecasts(hindcast(settings, layout, 0, "tiny", "cpu")).load()
    chosen = np.flatnonzero((known.split == "test") & np.isfinite(known.probability[:, 1]).any(("y", "x")))
    assert {int(known.init_step[k]) for k in chosen} >= {0, 2}
    for k in chosen[:5]:
        fire_id, step = str(known.fire_id.values[k]), int(known.init_step[k])
        source = source_of(fires, fire_id, step + 1)
        found, _ = forecast_fire(network, source, winds_of(fires, fire_id, step, 2), THRESHOLD, "cpu")
        np.testing.assert_allclose(found.probability, known.probability[k], atol=1e-5)
        assert found.init_time == known.init_time[k]
        assert (found.valid_time.values == known.valid_time[k].values).all()
        corner = fire_transform(fires, fire_id) * (0.5, 0.5)
        assert (float(found.x[0]), float(found.y[0])) == pytest.approx(corner)


def test_frames_before_the_history_do_not_matter(trained):
    settings, layout, network = trained
    fires = open_fires(layout.fires("tiny"))
    fire_id = str(fires.fire_id.values[int(np.argmax(fires.row_size.values))])
    count = int(fires.row_size.max())
    whole = source_of(fires, fire_id, count)
    dropped = count - settings.model.history
    assert dropped > 0
    (fire,) = whole.fires
    cut = replace(
        whole, frames=list(whole.frames)[dropped:],
        fires=(replace(fire, weather=fire.weather[dropped:], valid_time=fire.valid_time[dropped:]),),
    )  # fmt: skip
    winds = np.array([[3.0, 1.0]])
    both = [forecast_fire(network, source, winds, THRESHOLD, "cpu")[0].probability for source in (whole, cut)]
    np.testing.assert_array_equal(*both)


def test_a_backbone_of_the_same_name_and_other_weights_is_refused(trained, monkeypatch):
    """As random weights are under another version of transformers, and those of a name on the Hub after an update."""
    settings, layout, network = trained
    fires, others = open_fires(layout.fires("tiny")), "0" * 64
    fire_id = str(fires.fire_id.values[0])
    source, winds = source_of(fires, fire_id, 2), winds_of(fires, fire_id, 1, 2)
    elsewhere = replace(network, sizes=replace(network.sizes, weights_sha256=others))
    with pytest.raises(InputError, match=r"model\.ckpt\s+found:\s+made with weights of SHA-256 000000000000"):
        forecast_fire(elsewhere, source, winds, THRESHOLD, "cpu")
    with pytest.raises(InputError, match="made with weights of SHA-256 000000000000"):
        open_landscapes(layout, elsewhere.sizes)
    open_landscapes(layout, replace(network.sizes, weights_sha256=None))  # of a checkpoint that does not tell
    now = load_backbone(settings.features)
    monkeypatch.setattr("emberformer.rollout.load_backbone", lambda *told: replace(now, weights_sha256=others))
    with pytest.raises(InputError, match=rf"(?s)SHA-256 {now.weights_sha256[:12]}.* the weights of .*, 000000000000"):
        hindcast(settings, layout, 0, "tiny", "cpu")  # feeds frames back to the backbone


def test_what_a_model_takes(trained):
    settings, _, network = trained
    bands = {band.name: (band.kind, band.unit) for band in model_bands(network)}
    of = settings.datasets["tiny"].bands
    assert set(bands) == {band.name or name for name, band in of.items()}
    assert all("percent" not in unit for _, unit in bands.values())
    assert trained_minutes(network) == settings.datasets["tiny"].minutes_per_frame


def test_several_fuel_models_and_several_steps_must_be_told_apart(trained):
    _, _, network = trained
    codes = {"fuel_model|FBP": (1, 2), "fuel_model|Kitral": (1, 2, 3)}
    normaliser = replace(network.sizes.normaliser, codes=codes)
    both = replace(network, sizes=replace(network.sizes, normaliser=normaliser))
    with pytest.raises(InputError, match="FBP, Kitral"):
        model_bands(both)
    told = {band.name: band.unit for band in model_bands(both, ["fuel_model=fuel.tif@Kitral"])}
    assert told["fuel_model"] == "Kitral"
    content = network.settings.model_dump(mode="json")
    content["datasets"]["other"] = {**content["datasets"]["tiny"], "minutes_per_frame": 7}
    two = replace(network, settings=Settings.model_validate(content))
    with pytest.raises(InputError, match="--minutes"):
        trained_minutes(two)
    content["split"]["test_landscapes"] = ["other"]
    assert trained_minutes(replace(network, settings=Settings.model_validate(content))) == trained_minutes(network)


@pytest.fixture(scope="module")
def given(trained, tmp_path_factory):
    """Files of a fire, as an analyst has them."""
    _, layout, network = trained
    fires, folder = open_fires(layout.fires("tiny")), tmp_path_factory.mktemp("given")
    fire_id = str(fires.fire_id.values[0])
    source, transform = source_of(fires, fire_id, 3), fire_transform(fires, fire_id)
    (folder / "frames").mkdir()
    profile = {"driver": "GTiff", "height": fires.sizes["y"], "width": fires.sizes["x"], "transform": transform,
               "crs": str(fires.crs_wkt.values[0]) or "EPSG:32719"}  # fmt: skip
    for number, frame in enumerate(source.frames):
        path = folder / "frames" / f"perimeter_{number}.tif"
        with rasterio.open(path, "w", count=1, dtype="uint8", nodata=255, **profile) as raster:
            raster.write(frame.burned, 1)
    terrain = source.terrain(source.fires[0].window)
    with rasterio.open(
        folder / "terrain.tif", "w", count=len(terrain), dtype="float32", nodata=np.nan, **profile
    ) as raster:
        raster.write(terrain)
        raster.descriptions = tuple(band.name for band in source.bands)
    return network.checkpoint, folder


def run(checkpoint, folder, *more):
    words = ["forecast", "--perimeters", folder / "frames", "--terrain", folder / "terrain.tif", "--device", "cpu"]
    return CliRunner().invoke(app, [*map(str, words), "--model", str(checkpoint), *map(str, more)])


def test_a_forecast_from_files(given, tmp_path):
    checkpoint, folder = given
    done = run(
        checkpoint, folder, "--wind-speed", 5, "--wind-direction", 270, "--out", tmp_path / "out", "--leads", 2,
        "--start", "2026-01-31T12:00", "--name", "Ridge",
    )  # fmt: skip
    assert done.exit_code == 0, done.exception or done.output
    written = dict(line.split(": ", 1) for line in done.output.splitlines() if ": /" in line)
    with rasterio.open(written["probability_lead02"]) as raster, rasterio.open(folder / "terrain.tif") as ground:
        assert raster.transform.almost_equals(ground.transform)
        assert raster.crs == ground.crs
        assert (np.nanmin(raster.read(1)), np.nanmax(raster.read(1))) >= (0, 1)
    assert "Ridge" in written["map"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--wind-speed", 5], "no wind direction"),
        ([], "--wind-speed and --wind-direction"),
        (["--wind-speed", 5, "--wind-direction", 270, "--config", "config/demo.yaml"], "both"),
    ],
)
def test_what_is_missing_is_named(given, tmp_path, more, said):
    done = run(*given, "--out", tmp_path / "out", *more)
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there(given, tmp_path):
    _, folder = given
    done = run(tmp_path / "none.ckpt", folder, "--out", tmp_path / "out", "--wind-speed", 5, "--wind-direction", 270)
    assert isinstance(done.exception, InputError)
    assert "emberformer train" in str(done.exception)


def test_options_of_the_guide_are_those_of_the_command():
    """What docs/new-fire.md lists for a command line can be said on it."""
    table = Path("docs/new-fire.md").read_text().split("## Options")[1].split("##")[0]
    told = set(re.findall(r"`(--[a-z-]+)`", table))
    options = {name for one in typer.main.get_command(forecast_app).params for name in one.opts}
    assert told
    assert told <= options


def test_what_cannot_be_written_is_refused_before_the_forecast(given, tmp_path, monkeypatch):
    monkeypatch.setattr(emberformer.forecast, "forecast_fire", lambda *_: pytest.fail("it was forecast"))
    wind = ("--wind-speed", 5, "--wind-direction", 270)
    done = run(*given, "--out", tmp_path / "out", *wind, "--format", "tiff")
    assert isinstance(done.exception, InputError)
    assert "geotiff" in str(done.exception)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").touch()
    done = run(*given, "--out", tmp_path / "notes", *wind)
    assert "mine.txt" in str(done.exception)


def test_foreign_files_where_members_would_go_are_refused_before_anything_is_computed(tmp_path):
    (tmp_path / "out_members").mkdir()
    (tmp_path / "out_members" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"out_members\n.*notes\.txt"):
        forecast_files(
            Mock(spec=LoadedModel), Mock(spec=NewFire), THRESHOLD, tmp_path / "out", ensemble=tmp_path / "model.ckpt"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["out_members"]
