"""The simulated data set: laws of its fires, and the files as a reader of the deep_crown layout finds them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from PIL import Image

from emberformer.data import simulate
from emberformer.data.simulate import count_frames, simulate_dataset
from emberformer.data.spread import spread
from emberformer.data.valley import Terrain
from emberformer.data_settings import DeepCrownSettings, SimulationSettings
from emberformer.errors import InputError
from emberformer.settings import load_settings

SETTINGS = SimulationSettings(fires=5, frames=6, window=56, landscape=90, cell_m=30.0, seed=3)
MINUTES = 15.0
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "raw"
    simulate_dataset(SETTINGS, root, MINUTES)
    return root


def sequences(root: Path) -> list[int]:
    return [int(folder.name.removeprefix("sequence_")) for folder in sorted((root / "fire_frames").iterdir())]


def frames(root: Path, sequence: int, kind: str = "fire_frames") -> np.ndarray:
    """Pictures of one fire, uint8 [frame, y, x, RGBA]."""
    return np.stack(
        [np.asarray(Image.open(path)) for path in sorted((root / kind / f"sequence_{sequence:03d}").iterdir())]
    )


def burned(root: Path, sequence: int) -> np.ndarray:
    return frames(root, sequence)[..., 1] == 231


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_every_file_of_the_layout_is_there(root):
    assert sequences(root) == [1, 2, 3, 4, 5]
    expected = {"meta.json", "arrival_time.npz"}
    expected |= {f"landscape/{name}" for name in ("Input_Geotiff.tif", "indices.json", "WeatherHistory.csv")}
    for sequence in sequences(root):
        count = len(frames(root, sequence))
        expected |= {f"fire_frames/sequence_{sequence:03d}/fire_{frame:03d}.png" for frame in range(count)}
        expected |= {f"isochrones/sequence_{sequence:03d}/iso_{frame:03d}.png" for frame in range(count)}
        expected |= {f"landscape/Weathers/Weather{sequence}.csv"}
    assert set(contents(root)) == expected
    assert [path.name for path in root.parent.iterdir()] == [root.name]


def test_pictures_have_the_two_colours_and_isochrones_equal_frames(root):
    for sequence in sequences(root):
        pictures = frames(root, sequence)
        assert pictures.shape[1:] == (56, 56, 4)
        fire = pictures[..., 1] == 231
        assert (pictures[fire] == (253, 231, 36, 255)).all()
        assert (pictures[~fire] == (68, 1, 84, 255)).all()
        np.testing.assert_array_equal(frames(root, sequence, "isochrones"), pictures)


def test_fires_grow_in_every_step_and_keep_off_the_edge(root):
    for sequence in sequences(root):
        fire = burned(root, sequence)
        assert 3 <= len(fire) <= SETTINGS.frames
        assert fire[0].sum() == 13
        assert (fire[1:] >= fire[:-1]).all()
        assert (np.diff(fire.sum(axis=(1, 2))) > 0).all()
        assert not fire[:, [0, -1]].any()
        assert not fire[:, :, [0, -1]].any()


def test_some_fires_of_the_default_size_are_shorter(tmp_path):
    simulate_dataset(SimulationSettings.model_validate({"fires": 12}), tmp_path / "raw", 30.0)
    counts = [len(frames(tmp_path / "raw", sequence)) for sequence in sequences(tmp_path / "raw")]
    assert max(counts) == 8
    assert min(counts) < 8
    assert np.median(counts) >= 6


def test_landscape_is_a_georeferenced_raster_of_named_bands(root):
    with rasterio.open(root / "landscape" / "Input_Geotiff.tif") as raster:
        bands = dict(zip(raster.descriptions, raster.read(masked=True), strict=True))
        assert list(bands) == ["fuel_model", "elevation", "slope_deg", "aspect_deg", "canopy_cover", "burnable"]
        assert raster.shape == (90, 90)
        assert set(raster.dtypes) == {"float32"}
        assert raster.nodata == -9999
        assert raster.crs.is_projected
        assert raster.crs.linear_units == "metre"
        assert raster.res == (30, 30)
        assert raster.transform.e == -30  # north is up
    assert (bands["burnable"].compressed() == 1).all()
    np.testing.assert_array_equal(bands["burnable"].mask, np.isin(bands["fuel_model"], [98, 99]))


def test_windows_lie_inside_the_landscape_and_fires_on_what_burns(root):
    windows = json.loads((root / "landscape" / "indices.json").read_text())
    assert list(windows) == [str(sequence) for sequence in sequences(root)]
    with rasterio.open(root / "landscape" / "Input_Geotiff.tif") as raster:
        burnable = ~raster.read(6, masked=True).mask
    for sequence, (top, bottom, left, right) in windows.items():
        assert bottom - top == right - left == SETTINGS.window
        assert 0 <= top < bottom <= 90
        assert 0 <= left < right <= 90
        assert burnable[top:bottom, left:right][burned(root, int(sequence))[-1]].all()


def test_weather_has_a_row_for_every_step(root):
    history = pd.read_csv(root / "landscape" / "WeatherHistory.csv", header=None)[0]
    assert len(history) == SETTINGS.fires
    for sequence, path in zip(sequences(root), history, strict=True):
        table = pd.read_csv(root / "landscape" / "Weathers" / Path(path).name, parse_dates=["datetime"])
        assert list(table.columns) == ["Scenario", "datetime", "WS", "WD"]
        assert len(table) >= len(frames(root, sequence)) - 1
        assert table.WS.between(2, 40).all()
        assert table.WD.between(0, 359).all()
        assert (table.datetime.diff().dropna() == pd.Timedelta(minutes=MINUTES)).all()


def test_fires_can_be_computed_again_from_the_files(root):
    """Row k drives frame k -> k + 1, WS is in km/h and WD says where the wind comes from."""
    meta = json.loads((root / "meta.json").read_text())
    arrival_times = np.load(root / "arrival_time.npz")
    with rasterio.open(root / "landscape" / "Input_Geotiff.tif") as raster:
        bands = raster.read()
    for truth in meta["sequences"]:
        sequence, (top, bottom, left, right) = truth["sequence"], truth["window"]
        fire = burned(root, sequence)
        weather = pd.read_csv(root / "landscape" / "Weathers" / f"Weather{sequence}.csv").iloc[: len(fire) - 1]
        wind = [
            (-ws / 3.6 * np.sin(np.radians(wd)), -ws / 3.6 * np.cos(np.radians(wd)))
            for ws, wd in zip(weather.WS, weather.WD, strict=True)
        ]
        terrain = Terrain(*bands[:5, top:bottom, left:right], cell_m=30.0)
        arrival_time = spread(terrain, fire[0], wind, MINUTES * 60, truth["moisture"])
        np.testing.assert_allclose(arrival_time, arrival_times[f"sequence_{sequence:03d}"], rtol=1e-6)
        for frame in range(len(fire)):
            np.testing.assert_array_equal(fire[frame], arrival_time <= frame * MINUTES * 60)
        np.testing.assert_array_equal(np.argwhere(fire[0]).mean(axis=0), truth["ignition_row_col"])


def test_the_same_settings_write_the_same_bytes(root, tmp_path):
    simulate_dataset(SETTINGS, tmp_path / "elsewhere", MINUTES)
    assert contents(tmp_path / "elsewhere") == contents(root)


def test_another_seed_gives_other_fires_and_more_fires_leave_the_first_as_they_are(root, tmp_path):
    simulate_dataset(SETTINGS.model_copy(update={"seed": 4}), tmp_path / "other", MINUTES)
    assert (burned(tmp_path / "other", 1)[0] != burned(root, 1)[0]).any()
    simulate_dataset(SETTINGS.model_copy(update={"fires": 2}), tmp_path / "fewer", MINUTES)
    whole = contents(root)
    for name, content in contents(tmp_path / "fewer").items():
        if "sequence_" in name or "Weathers" in name or name.endswith(".tif"):
            assert whole[name] == content


def test_an_earlier_simulation_is_replaced(root, tmp_path):
    simulate_dataset(SETTINGS.model_copy(update={"fires": 1, "seed": 9}), tmp_path / "raw", MINUTES)
    (tmp_path / "raw" / "fire_frames" / "sequence_777").mkdir()
    simulate_dataset(SETTINGS, tmp_path / "raw", MINUTES)
    assert contents(tmp_path / "raw") == contents(root)
    assert sequences(tmp_path / "raw") == sequences(root)


def test_empty_folders_may_be_in_the_way_but_nobodys_files(tmp_path):
    (tmp_path / "prepared" / "landscape").mkdir(parents=True)  # as a workflow makes them for its outputs
    simulate_dataset(SETTINGS.model_copy(update={"fires": 1}), tmp_path / "prepared", MINUTES)
    (tmp_path / "precious" / "fire_frames").mkdir(parents=True)
    (tmp_path / "precious" / "fire_frames" / "fire_000.png").write_bytes(b"observed")
    before = contents(tmp_path / "precious")
    with pytest.raises(InputError, match="files that no simulation wrote"):
        simulate_dataset(SETTINGS, tmp_path / "precious", MINUTES)
    assert contents(tmp_path / "precious") == before


def test_a_failure_leaves_the_earlier_simulation(root, tmp_path, monkeypatch):
    simulate_dataset(SETTINGS, tmp_path / "raw", MINUTES)
    monkeypatch.setattr(simulate, "ATTEMPTS", 3)
    with pytest.raises(InputError, match="window of 56 pixels at 100000 minutes a frame"):
        simulate_dataset(SETTINGS, tmp_path / "raw", 1e5)
    assert contents(tmp_path / "raw") == contents(root)


def test_a_window_larger_than_the_landscape_is_refused(tmp_path):
    with pytest.raises(InputError, match="at most the landscape's 90"):
        simulate_dataset(SETTINGS.model_copy(update={"window": 91}), tmp_path / "raw", MINUTES)


@pytest.mark.parametrize(
    ("minutes", "frames"),
    [
        ([0, 60, 120, 180], 4),  # grows in every step
        ([0, 60, 60, 60], 2),  # ends when it stops
        ([0, 60, np.nan, 180], 2),  # also if it went on later
        ([0, 61, 119, 120], 1),  # nothing in the first step
    ],
)
def test_frames_until_the_growth_ends(minutes, frames):
    arrival_time = np.full((6, 6), np.nan)
    arrival_time[2, 1:5] = minutes
    assert count_frames(arrival_time, 60.0, 4) == frames


def test_frames_until_the_edge():
    arrival_time = np.full((5, 5), np.nan)
    arrival_time[2] = [np.nan, 0, 50, 110, 170]
    assert count_frames(arrival_time, 60.0, 8) == 3


def test_the_demo_configuration_describes_the_simulated_data():
    settings = load_settings(REPOSITORY / "config" / "demo.yaml")
    demo = settings.datasets["demo_valley"]
    assert settings.name == "demo"
    assert settings.features.weights == "random"
    assert isinstance(demo, DeepCrownSettings)
    assert demo.simulation is not None
    assert list(demo.bands) == ["fuel_model", "elevation", "slope_deg", "aspect_deg", "canopy_cover", "burnable"]
    assert demo.band_units["canopy_cover"] == "percent"  # and not degrees, as a slope in percent would be
    assert demo.root.is_relative_to(settings.results)
