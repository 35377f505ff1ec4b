"""The deep_crown reader: what it finds in tiny, simulated and observed fires."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emberformer.data.fires import fire_on_map, open_fires
from emberformer.data.reading import ingest
from emberformer.settings import load_settings
from tests.tiny import TOP, tiny_settings, write_frame, write_tiny_dataset

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


def _ingest(root, tmp_path, **changes):
    ingest("tiny", tiny_settings(root, **changes), tmp_path / "fires.zarr")
    return open_fires(tmp_path / "fires.zarr")


def _frame(root, sequence=2, frame=1, kind="fire"):
    folder = {"fire": "fire_frames", "iso": "isochrones"}[kind]
    return root / folder / f"sequence_{sequence:03d}" / f"{kind}_{frame:03d}.png"


def test_tiny_dataset(tiny_fires):
    assert dict(tiny_fires.sizes) == {
        **{"frame": 30, "fire": 6, "ground": 1, "coefficient": 6, "terrain": 6, "band": 5, "weather_variable": 5},
        **{"y": 28, "x": 42},
    }
    assert tiny_fires.band.values.tolist() == ["fuel_model", "elevation", "slope_deg", "aspect_deg", "burnable"]
    assert tiny_fires.band_unit.values.tolist() == ["1", "m", "deg", "deg", "1"]
    assert tiny_fires.weather_variable.values.tolist() == ["wind_u", "wind_v", "WS", "WD", "TMP"]
    assert tiny_fires.attrs["target_kind"] == "same_as_burned"
    assert tiny_fires.attrs["shrinkage_check"] == {"steps": 0, "pixels": 0}
    assert tiny_fires.attrs["seconds_per_frame"] == 1800
    assert (np.diff(tiny_fires.burned.sum(("y", "x")).values.reshape(6, 5)) > 0).all()
    assert str(tiny_fires.valid_time.values[1]) == "2023-03-30T12:30:00"


def test_tiny_fires_run_downwind_and_stay_off_the_lake(tiny_fires):
    drifts = []
    for fire in range(6):
        rows = slice(5 * fire, 5 * fire + 5)
        y, x = (np.array([np.nonzero(area)[axis].mean() for area in tiny_fires.burned[rows].values]) for axis in (0, 1))
        u, v = tiny_fires.weather[rows, :2].mean("frame").values
        drifts.append(((x[-1] - x[0]) * u - (y[-1] - y[0]) * v) / np.hypot(u, v))
        lake = np.isnan(tiny_fires.terrain[int(tiny_fires.terrain_index[fire])].sel(band="burnable"))
        assert not (tiny_fires.burned[rows].values.astype(bool) & lake.values).any()
    assert np.mean(drifts) > 1


def test_terrain_agrees_with_the_gradient_of_elevation(tiny_fires):
    terrain = tiny_fires.terrain[0]
    south, east = np.gradient(terrain.sel(band="elevation").values, 30.0)
    inside = (slice(1, -1), slice(1, -1))
    slope = np.rad2deg(np.arctan(np.hypot(south, east)))
    np.testing.assert_allclose(terrain.sel(band="slope_deg").values[inside], slope[inside], atol=0.01)
    downslope = np.rad2deg(np.arctan2(-east, south))
    turn = (terrain.sel(band="aspect_deg").values - downslope + 180) % 360 - 180
    assert np.abs(turn[inside]).max() < 1


def test_frames_lie_where_their_window_is(tiny_fires, tiny_original):
    windows = json.loads((tiny_original / "landscape" / "indices.json").read_text())
    fire = fire_on_map(tiny_fires, "sequence_003")
    assert float(fire.y[0]) == TOP - 30 * (windows["3"][0] + 0.5)


def test_any_padding_sorted_as_integers(tiny_root, tmp_path):
    for folder in ("fire_frames", "isochrones"):
        (tiny_root / folder / "sequence_001").rename(tiny_root / folder / "sequence_10")
        (tiny_root / folder / "sequence_002").rename(tiny_root / folder / "sequence_0009")
    indices = tiny_root / "landscape" / "indices.json"
    windows = json.loads(indices.read_text())
    indices.write_text(json.dumps(windows | {"10": windows["1"], "9": windows["2"]}))
    with (tiny_root / "landscape" / "WeatherHistory.csv").open("a") as history:
        history.write("x/Weathers/Weather1.csv\n" * 4)
    fires = _ingest(tiny_root, tmp_path)
    expected = ["sequence_003", "sequence_004", "sequence_005", "sequence_006", "sequence_0009", "sequence_10"]
    assert fires.fire_id.values.tolist() == expected


def test_more_frames_than_the_padding_counts(tmp_path):
    write_tiny_dataset(tmp_path / "long", fires=1, frames=12, window=(40, 50), landscape=(40, 50))
    for folder, kind in [("fire_frames", "fire"), ("isochrones", "iso")]:
        for frame in range(12):
            path = tmp_path / "long" / folder / "sequence_001" / f"{kind}_{frame:03d}.png"
            path.rename(path.with_name(f"{kind}_{frame}.png"))
    sizes = _ingest(tmp_path / "long", tmp_path).burned.sum(("y", "x")).values
    assert (np.diff(sizes) >= 0).all()  # as text, fire_10 comes before fire_2


def test_foreign_files_do_not_count(tiny_root, tmp_path):
    (tiny_root / "fire_frames" / ".DS_Store").write_text("")
    (tiny_root / "fire_frames" / "sequence_001" / "Thumbs.db").write_text("")
    (tiny_root / "fire_frames" / "sequence_001" / ".fire_009.png").write_text("")
    assert _ingest(tiny_root, tmp_path).sizes["frame"] == 30


def test_fire_of_one_frame_is_skipped(tiny_root, tmp_path, caplog):
    for frame in range(1, 5):
        _frame(tiny_root, 2, frame).unlink()
    with caplog.at_level(logging.WARNING):
        fires = _ingest(tiny_root, tmp_path)
    assert fires.sizes["fire"] == 5
    skipped = {"fire_id": "sequence_002", "reason": "1 frame(s); a forecast needs two"}
    assert fires.attrs["fires_skipped"] == [skipped]
    assert "tiny: sequence_002 is skipped: 1 frame(s)" in caplog.text


def test_source_without_weather_and_isochrones(tiny_root, tmp_path):
    shutil.rmtree(tiny_root / "isochrones")
    shutil.rmtree(tiny_root / "landscape" / "Weathers")
    (tiny_root / "landscape" / "WeatherHistory.csv").unlink()
    fires = _ingest(tiny_root, tmp_path, weather=None, isochrones=False)
    assert fires.weather_variable.values.tolist() == ["wind_u", "wind_v"]
    assert np.isnan(fires.weather).all()
    assert fires.attrs["target_kind"] == "same_as_burned"
    assert fires.attrs["isochrone_check"] == {}
    assert str(fires.valid_time.values[1]) == "1970-01-01T00:30:00"


def test_rings_are_recognised(tiny_root, tmp_path):
    for sequence in range(1, 7):
        areas = [np.asarray(Image.open(_frame(tiny_root, sequence, k)))[..., 1] == 231 for k in range(5)]
        for frame in range(1, 5):
            write_frame(_frame(tiny_root, sequence, frame, "iso"), areas[frame] & ~areas[frame - 1])
    fires = _ingest(tiny_root, tmp_path)
    assert fires.attrs["target_kind"] == "increment"
    assert fires.attrs["isochrone_check"]["target_ring"] == 1
    assert fires.isochrone.shape == fires.burned.shape


def test_shrinking_fire_is_kept_measured_and_said(tiny_root, tmp_path, caplog):
    shutil.copy(_frame(tiny_root, 2, 0), _frame(tiny_root, 2, 3))
    shutil.copy(_frame(tiny_root, 2, 0), _frame(tiny_root, 2, 3, "iso"))
    with caplog.at_level(logging.WARNING):
        fires = _ingest(tiny_root, tmp_path)
    assert fires.attrs["shrinkage_check"]["steps"] == pytest.approx(1 / 24)
    np.testing.assert_array_equal(fires.burned[8], fires.burned[5])
    assert "burned pixels go out in 4.17 %" in caplog.text


def test_only_the_edited_fire_changes_its_digest(tiny_root, tiny_fires, tmp_path):
    burned = tiny_fires.burned[9].values.copy()
    burned[0, 0] ^= 1
    write_frame(_frame(tiny_root, 2, 4), burned)
    write_frame(_frame(tiny_root, 2, 4, "iso"), burned)
    fires = _ingest(tiny_root, tmp_path)
    assert np.flatnonzero(fires.fire_digest.values != tiny_fires.fire_digest.values).tolist() == [1]
    assert np.flatnonzero(fires.frame_digest.values != tiny_fires.frame_digest.values).tolist() == [9]


def test_moved_source_makes_the_same_store(tiny_root, tiny_store, tmp_path):
    _ingest(tiny_root, tmp_path)
    assert (tmp_path / "fires.zarr" / "zarr.json").read_bytes() == (tiny_store / "zarr.json").read_bytes()


def test_times_that_contradict_the_settings_are_said(tiny_root, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        _ingest(tiny_root, tmp_path, minutes_per_frame=60)
    assert "the times of 6 fires (first sequence_001) are not 60 minutes a frame" in caplog.text


def test_bands_left_out_are_said(tiny_root, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        fires = _ingest(tiny_root, tmp_path, bands={"elevation": {"kind": "continuous", "unit": "m"}})
    assert fires.attrs["provenance"]["bands_left_out"] == ["fuels", "slope", "saz", "burnable"]
    assert "fuels, slope, saz, burnable" in caplog.text


def _real(name, tmp_path, **changes):
    root = SHARED / name
    if not root.is_dir():
        pytest.skip(f"no data at {root}")
    return _ingest(root, tmp_path, **changes)


def _first_fires(source, root, fires):
    """A data set of links to the first fires of another one, on its whole landscape."""
    for folder in ("fire_frames", "isochrones"):
        (root / folder).mkdir(parents=True)
        for sequence in sorted((source / folder).iterdir())[:fires]:
            (root / folder / sequence.name).symlink_to(sequence)
    (root / "landscape").symlink_to(source / "landscape")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fires", "window"), [("portillo", 20, 400), ("dogrib", 103, 200)])
def test_simulated_fires_on_real_landscapes(name, fires, window, tmp_path):
    if not (SHARED / name).is_dir():
        pytest.skip(f"no data at {SHARED / name}")
    _first_fires(SHARED / name, tmp_path / name, fires)
    settings = load_settings(ROOT / "config" / f"{name}.yaml").datasets[name]
    ingest(name, settings.model_copy(update={"root": tmp_path / name}), tmp_path / "fires.zarr")
    store = open_fires(tmp_path / "fires.zarr")
    frames = len(list((tmp_path / name / "fire_frames").glob("*/*.png")))
    assert (store.sizes["fire"], store.sizes["frame"], store.sizes["y"]) == (fires, frames, window)
    assert store.attrs["target_kind"] == "same_as_burned"
    assert store.attrs["shrinkage_check"] == {"steps": 0, "pixels": 0}
    terrain = store.terrain[0].sel(band=["elevation", "slope_deg", "aspect_deg"]).values
    south, east = np.gradient(terrain[0], store.attrs["cell_m"])
    turn = (terrain[2] - np.rad2deg(np.arctan2(-east, south)) + 180) % 360 - 180
    assert np.nanmedian(np.abs(turn)) < 5  # downslope; the sources took other differences than np.gradient
    wind = store.weather[:, :2].values
    assert np.isfinite(wind[store.step.values[1:].nonzero()[0]]).all()


@pytest.mark.parametrize(("scene", "fires", "frames"), [("0001", 5, 331), ("0002", 3, 192)])
def test_sim2real_fire(scene, fires, frames, tmp_path):
    bands = {
        "FBFM40": {"name": "fuel_model", "kind": "categorical"},
        "Slope": {"name": "slope_deg", "kind": "continuous", "unit": "deg"},
        "Aspect": {"name": "aspect_deg", "kind": "angle"},
    }
    changes = {"minutes_per_frame": 60, "weather": {"speed_unit": "mph"}, "bands": bands}
    store = _real(f"real/sim2realfire_minimal/deepcrown/{scene}", tmp_path, **changes)
    assert (store.sizes["fire"], store.sizes["frame"], store.sizes["terrain"]) == (fires, frames, 1)
    assert store.rio.crs.to_epsg() == 5070


def test_observed_fire(tmp_path):
    bands = {"elevation": {"kind": "continuous", "unit": "m"}}
    store = _real("real/arkadia2011/deepcrown", tmp_path, bands=bands, weather=None)
    assert store.burned.sum(("y", "x")).values.tolist() == [423, 708, 1728]
    assert store.attrs["cell_m"] == pytest.approx(100.79, abs=0.01)
