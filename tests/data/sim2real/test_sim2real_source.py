"""Sim2Real-Fire as fires: both trees, scenes, rasters by name; genuine fires against another reading."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from pyproj import Proj

from emberformer.data.fires import Window, fire_crs, fire_rows, fire_transform, open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.data.sim2real.layers import layer_of
from emberformer.data.sim2real.source import read_sim2real
from emberformer.errors import InputError
from emberformer.sim2real_settings import Sim2RealSettings
from tests.sim2real_scenes import (
    RASTERS,
    SHAPE,
    spread,
    weather_lines,
    write_code,
    write_lines,
    write_mask,
    write_published,
    write_raster,
)

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "real" / "sim2realfire_minimal"


def _settings(root, **changes):
    return Sim2RealSettings.model_validate({"root": root} | changes)


def _ingest(root, tmp_path, **changes):
    write_fires(tmp_path / "fires.zarr", read_sim2real("scenes", _settings(root, **changes)))
    return open_fires(tmp_path / "fires.zarr")


@pytest.fixture
def root(tmp_path):
    """One scene, two fires of three and four masks."""
    return write_published(tmp_path / "source" / "0001", {"0001_00001": 3, "0001_00002": 4}).parent


def test_scene_of_the_published_tree(root, tmp_path):
    fires = _ingest(root, tmp_path)
    assert fires.fire_id.values.tolist() == ["0001_00001", "0001_00002"]
    assert fires.row_size.values.tolist() == [3, 4]
    np.testing.assert_array_equal(fires.burned, spread(3) + spread(4))
    assert (fires.attrs["fire_kind"], fires.attrs["cell_m"], fires.attrs["seconds_per_frame"]) == (
        "cumulative",
        30,
        3600,
    )
    assert fires.attrs["shrinkage_check"] == {"steps": 0, "pixels": 0}
    assert fires.rio.crs.to_epsg() == 5070


def test_terrain_in_si(root, tmp_path):
    settings = _settings(root, layers=[*_settings(root).layers, "vegetation_type", "vegetation_departure"])
    fires = _ingest(root, tmp_path, layers=settings.layers)
    of = dict(zip(fires.band.values.tolist(), fires.terrain[0].values, strict=True))
    np.testing.assert_array_equal(of["elevation"], RASTERS["Topography_Map/Elevation.tif"])
    assert {name: of[name][0, 0] for name in ("slope_deg", "fuel_model", "canopy_cover", "vegetation_type")} == {
        **{"slope_deg": 30, "fuel_model": 102, "canopy_cover": 45, "vegetation_type": 7016}
    }
    np.testing.assert_allclose([of["canopy_height"][0, 0], of["canopy_base_height"][0, 0]], [17.5, 0.9])
    np.testing.assert_allclose(of["canopy_bulk_density"][0, 0], 0.13)
    assert np.isnan(of["aspect_deg"]).all()  # -1: flat
    assert np.isnan(of["vegetation_departure"]).all()  # a code above 100
    units = dict(zip(fires.band.values.tolist(), fires.band_unit.values.tolist(), strict=True))
    assert (units["canopy_height"], units["canopy_bulk_density"], units["slope_deg"]) == ("m", "kg m-3", "deg")
    assert units == settings.band_units


def test_slope_in_percent(root, tmp_path):
    write_raster(root / "0001" / "Topography_Map" / "Slope.tif", np.full(SHAPE, 100))
    fires = _ingest(root, tmp_path, slope_unit="percent", layers=["slope_deg"])
    np.testing.assert_allclose(fires.terrain, 45)


def test_line_n_of_the_weather_drives_the_step_from_mask_n(root, tmp_path):
    fires = _ingest(root, tmp_path)
    assert fires.weather_variable.values.tolist() == [
        *("wind_u", "wind_v", "temperature", "relative_humidity", "precipitation", "cloud_cover")
    ]
    np.testing.assert_allclose(fires.weather[:3, 0] / 0.44704, [1, 2, np.nan], rtol=1e-6)
    times = np.array(["2023-07-24T01", "2023-07-24T02", "2023-07-24T03"], "datetime64[s]")
    np.testing.assert_array_equal(fires.valid_time[:3], times)
    past = _ingest(root, tmp_path, row_offset=-1)
    np.testing.assert_allclose(past.weather[:3, 0] / 0.44704, [0, 1, 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "foresees", "tells"),
    [({}, True, True), ({"row_offset": -1}, False, False), ({"weather": False}, True, False)],
)
def test_what_is_known_of_the_wind(changes, foresees, tells):
    settings = _settings(".", **changes)
    assert (settings.foresees_wind, settings.tells_target_wind) == (foresees, tells)


def test_masks_before_the_fire_are_left_out_and_keep_their_hours(root, tmp_path):
    folder = root / "0001" / "Satellite_Images_Mask" / "0001_00002"
    write_mask(folder / "out1.jpg", np.zeros(SHAPE))
    fires = _ingest(root, tmp_path)
    assert fires.row_size.values.tolist() == [3, 3]
    np.testing.assert_allclose(fires.weather[3:, 0] / 0.44704, [2, 3, np.nan], rtol=1e-6)


def test_scenes_are_grounds_and_smaller_ones_are_padded(root, tmp_path):
    wide = {name: values[:8].repeat(2, 1) for name, values in RASTERS.items()}
    write_published(root / "0002", {"0002_00001": 2}, wide)
    fires = _ingest(root, tmp_path)
    assert (fires.sizes["ground"], fires.sizes["y"], fires.sizes["x"]) == (2, 12, 32)
    assert fires.ground_index.values.tolist() == [0, 0, 1]
    first, second = (fires.isel(frame=fire_rows(fires, name)) for name in ("0001_00001", "0002_00001"))
    np.testing.assert_array_equal(first.burned[:, :, :16], spread(3))
    assert (first.burned[:, :, 16:] == 255).all()
    np.testing.assert_array_equal(second.burned[:, :8], spread(2, (8, 32)))
    assert (second.burned[:, 8:] == 255).all()
    terrain = fires.terrain.sel(band="elevation").values
    np.testing.assert_array_equal(np.isnan(terrain[0]), first.burned[0] == 255)
    np.testing.assert_array_equal(np.isnan(terrain[1]), second.burned[0] == 255)
    assert fire_transform(fires, "0002_00001")[:3] == (30, 0, -1_154_025)
    assert "5070" in fire_crs(fires, "0002_00001")


@pytest.mark.parametrize("layout", ["simulation", "in folders"])
def test_numbers_and_folders_of_the_published_picture(root, tmp_path, layout):
    """1.1 Topography_Map, 1.4 Weather_Data/<fire>/<file>, 1.5 Satellite_Images/simulation/<fire>."""
    scene = root / "0001"
    for number, name in enumerate(["Topography_Map", "Vegetation_Map", "Fuel_Map", "Weather_Data"], 1):
        (scene / name).rename(scene / f"1.{number} {name}")
    (scene / "1.5 Satellite_Images" / "original").mkdir(parents=True)
    (scene / "Satellite_Images_Mask").rename(scene / "1.5 Satellite_Images" / "simulation_images")
    if layout == "in folders":
        weather = scene / "1.4 Weather_Data"
        for path in list(weather.iterdir()):
            (weather / path.stem).mkdir()
            path.rename(weather / path.stem / "hourly.wxs")
    fires = _ingest(root, tmp_path)
    assert fires.fire_id.values.tolist() == ["0001_00001", "0001_00002"]
    np.testing.assert_allclose(fires.weather[0, 0] / 0.44704, 1, rtol=1e-6)


def test_tree_of_the_code(tmp_path):
    root = write_code(tmp_path / "source", {"0001_00001": "train", "0001_00007": "val"})
    fires = _ingest(root, tmp_path, layout="code")
    names = ["train_FIR0001_00001_ArrivalTime", "val_FIR0001_00007_ArrivalTime"]
    assert fires.fire_id.values.tolist() == names
    assert fires.attrs["provenance"]["published_splits"] == {"train": names[:1], "val": names[1:]}
    np.testing.assert_array_equal(fires.burned, spread(3) * 2)
    np.testing.assert_allclose(fires.weather[3, 0] / 0.44704, 1, rtol=1e-6)


def test_scenes_of_the_code_s_tree_stand_before_the_names(tmp_path):
    for scene in ("a", "b"):
        write_code(tmp_path / "source" / scene, {"0001_00001": "test"})
    fires = _ingest(tmp_path / "source", tmp_path, layout="code")
    assert fires.fire_id.values.tolist() == [f"{scene}_test_FIR0001_00001_ArrivalTime" for scene in "ab"]


def test_observed_fires_go_by_their_days(root, tmp_path, caplog):
    folder = root / "0001" / "Satellite_Images_Mask" / "0001_00001"
    shutil.rmtree(folder)
    for day, burned in zip(("0801", "0731", "0805"), (1, 0, 2), strict=True):
        write_mask(folder / f"sentinel_2018{day}.png", spread(3)[burned])
    with caplog.at_level(logging.WARNING):
        fires = _ingest(root, tmp_path, minutes_per_frame=1440)
    np.testing.assert_array_equal(fires.burned[:3], spread(3))
    np.testing.assert_array_equal(np.diff(fires.valid_time[:3].values), np.array([1, 4], "timedelta64[D]"))
    assert "the times of 2 fires (first 0001_00001) are not 1440 minutes a frame" in caplog.text
    assert np.isnan(fires.weather[:3]).all()  # the lines are of 2023
    assert "0001_00001.txt: no wind for 2 of 2 steps" in caplog.text
    hours = [
        f"2018 {7 if h < 24 else 8} {31 if h < 24 else h // 24} {h % 24:02d}00 50 32 0 {h} 270 75" for h in range(96)
    ]
    write_lines(root / "0001" / "Weather_Data" / "0001_00001.txt", hours)
    wind = _ingest(root, tmp_path, minutes_per_frame=1440).weather[:3, 0].values / 0.44704
    np.testing.assert_allclose(wind, [np.arange(24).mean(), np.arange(24, 96).mean(), np.nan], rtol=1e-6)
    past = _ingest(root, tmp_path, minutes_per_frame=1440, row_offset=-1).weather[:3, 0].values / 0.44704
    np.testing.assert_allclose(past, [np.nan, *wind[:2]], rtol=1e-6)


def test_a_fire_with_an_hour_that_is_not_known_counts_its_times(root, tmp_path):
    write_lines(root / "0001" / "Weather_Data" / "0001_00001.txt", ["#", *weather_lines(8)[1:]])
    fires = _ingest(root, tmp_path)
    hours = np.array(["1970-01-01T00", "1970-01-01T01", "1970-01-01T02"], "datetime64[s]")
    np.testing.assert_array_equal(fires.valid_time[:3], hours)


def test_rasters_used_and_left_out_are_recorded(root, tmp_path):
    provenance = _ingest(root, tmp_path).attrs["provenance"]
    assert provenance["rasters"]["0001"][:4] == ["Elevation.tif", "Slope.tif", "Aspect.tif", "FBFM40.tif"]
    assert provenance["rasters_left_out"]["0001"] == [
        *("Existing_Vegetation_Type.tif", "FBFM13.tif", "Vegetation_Departure.tif.tif")
    ]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("Fuel_Vegetation_Cover.tif", "fuel_vegetation_cover"),
        ("Existing Vegetation Cover.tif", "vegetation_cover"),
        ("LC22_SlpD_220.tif", "slope_deg"),
        ("US_230CC.tif", "canopy_cover"),
        ("LC22_VCC_220.tif", "vegetation_condition"),
        ("lf_asp.tif", "aspect_deg"),
        ("F40_23.tif", "fuel_model"),
        ("catch.tif", None),
        ("elevation_slope.tif", None),
    ],
)
def test_names_of_rasters(name, layer):
    assert layer_of(name) == layer


def test_raster_whose_name_tells_nothing(root, tmp_path):
    topography = root / "0001" / "Topography_Map"
    (topography / "Elevation.tif").rename(topography / "band_1.tif")
    with pytest.raises(InputError, match=r"(?s)0001, layer elevation.*0 rasters.*files: {elevation: <file>}"):
        read_sim2real("scenes", _settings(root))
    fires = _ingest(root, tmp_path, files={"elevation": "band_1.tif"})
    np.testing.assert_array_equal(fires.terrain[0, 0], RASTERS["Topography_Map/Elevation.tif"])
    with pytest.raises(ValidationError):
        _settings(root, layers=["height"])


def test_mid_greys_are_said(root, tmp_path, caplog):
    grey = spread(3)[2].astype(int)
    grey[0, :2] = [100, 150]
    write_mask(root / "0001" / "Satellite_Images_Mask" / "0001_00001" / "out3.png", grey)
    (root / "0001" / "Satellite_Images_Mask" / "0001_00001" / "out3.jpg").unlink()
    with caplog.at_level(logging.WARNING):
        fires = _ingest(root, tmp_path)
    assert "2 pixels of 1 fires (first 0001_00001) are mid-grey" in caplog.text
    assert fires.burned[2, 0, :2].values.tolist() == [0, 1]


@pytest.mark.parametrize("scene", ["0001", "0002"])
def test_genuine_fires_against_another_reading(scene, tmp_path):
    """`deepcrown` was made of `raw` elsewhere, without masks of fewer than 6 pixels and the hour after the weather."""
    raw, converted = SHARED / "raw" / "MinimalDataset" / scene, SHARED / "deepcrown" / scene
    if not raw.is_dir():
        pytest.skip(f"no data at {raw}")
    fires = _ingest(raw, tmp_path)
    sequences = sorted((converted / "fire_frames").iterdir())
    assert fires.sizes["fire"] == len(sequences)
    tables = sorted((converted / "landscape" / "Weathers").iterdir())
    for fire_id, sequence, table in zip(fires.fire_id.values.tolist(), sequences, tables, strict=True):
        own = fires.isel(frame=fire_rows(fires, fire_id))
        first = int((own.burned.values.sum((1, 2)) >= 6).argmax())
        paths = sorted(sequence.iterdir())
        theirs = np.stack([np.asarray(Image.open(path))[..., 1] == 231 for path in paths])
        np.testing.assert_array_equal(own.burned[first : first + len(paths)] == 1, theirs)
        assert own.sizes["frame"] - first - len(paths) in (0, 1)
        speed, direction = np.loadtxt(table, delimiter=",", skiprows=1, usecols=(2, 3)).T
        wind = own.weather[first : first + len(paths), :2].values / 0.44704
        np.testing.assert_allclose(np.hypot(*wind.T), speed[: len(paths)], atol=1e-4)
        along = wind @ [np.sin(np.deg2rad(direction[0])), np.cos(np.deg2rad(direction[0]))]
        np.testing.assert_allclose(along[0], -speed[0], atol=1e-4)
    assert fires.attrs["shrinkage_check"] == {"steps": 0, "pixels": 0}


@pytest.mark.parametrize("scene", ["0001", "0002"])
def test_genuine_aspect_counts_from_true_north(scene, tmp_path):
    """It points downslope, turned against the grid by the convergence of the meridian: 7.5 and 10.8 degrees here."""
    raw = SHARED / "raw" / "MinimalDataset" / scene
    if not raw.is_dir():
        pytest.skip(f"no data at {raw}")
    ground = read_sim2real("scene", _settings(raw)).grounds[0]
    elevation, slope, aspect = ground.terrain(Window(0, 0, 100, 200))[:3]
    south, east = np.gradient(elevation, 30)
    turn = (aspect - np.rad2deg(np.arctan2(-east, south)) + 180) % 360 - 180
    at = Proj(5070)(ground.transform[2] + 3000, ground.transform[5] - 1500, inverse=True)
    assert np.nanmedian(turn) == pytest.approx(Proj(5070).get_factors(*at).meridian_convergence, abs=0.5)
    assert np.median(np.abs(np.rad2deg(np.arctan(np.hypot(south, east))) - slope)) < 1  # degrees
