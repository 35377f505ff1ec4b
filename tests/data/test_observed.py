import re
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
from rasterio import Affine
from rasterio.warp import transform as move

from emberformer.data.fires import fire_crs, fire_on_map, fire_rows, fire_transform, open_fires
from emberformer.data.observed import read_observed
from emberformer.data.reading import ingest
from emberformer.dataset_settings import ObservedSettings
from emberformer.errors import InputError
from tests.new_fires import (
    CRS,
    TRANSFORM,
    grow,
    outlines,
    plane,
    times,
    write_frames,
    write_images,
    write_raster,
    write_weather,
)

ARKADIA = Path(__file__).parents[3] / "shared" / "data" / "real" / "arkadia2011"
EAST = TRANSFORM @ Affine.translation(400, 0)  # 12 km to the east
ZONE_18 = "EPSG:32718"  # the zone beside it
LEVEL = {"elevation": {"file": "120", "kind": "continuous", "unit": "m"}}


def settings(root: Path, **changes) -> ObservedSettings:
    content = {"source": "observed", "root": root, "minutes_per_frame": 30, "window": 32, "bands": LEVEL} | changes
    return ObservedSettings.model_validate(content)


def read(tmp_path: Path, root: Path, **changes):
    ingest("seen", settings(root, **changes), tmp_path / "fires.zarr")
    return open_fires(tmp_path / "fires.zarr")


def write_fires(root: Path) -> Path:
    """Two fires as folders of GeoTIFFs: at home, and to the east, where it is a frame shorter."""
    write_frames(root / "fires" / "home", grow(4), tags=())
    write_frames(root / "fires" / "east", grow(3), transform=EAST)
    return root


def write_table(root: Path) -> Path:
    """The same fires in one table of polygons with times."""
    parts = [outlines(grow(4), times(4)).assign(incident="home")]
    parts.append(outlines(grow(3), times(3), transform=EAST).assign(incident="east"))
    root.mkdir(parents=True)
    geopandas.GeoDataFrame(pd.concat(parts), crs=CRS).to_file(root / "all.gpkg")
    return root


def _frames(folder: Path, *names: str, **options) -> Path:
    for name, frame in zip(names, grow(len(names)), strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        write_raster(folder / f"{name}.tif", frame, **options)
    return folder


def test_folders_and_a_table_hold_the_same_fires(tmp_path):
    folders = read(tmp_path / "a", write_fires(tmp_path / "raw"))
    table = read(tmp_path / "b", write_table(tmp_path / "table"), fires="all.gpkg", fire_column="incident", cell_m=30)
    for store in (folders, table):
        assert store.fire_id.values.tolist() == ["east", "home"]
        assert store.row_size.values.tolist() == [3, 4]
        assert store.burned.shape == (7, 32, 32)
        assert store.attrs["cell_m"] == 30
    np.testing.assert_array_equal(folders.burned, table.burned)
    for name, frames in (("home", grow(4)), ("east", grow(3))):
        assert fire_transform(folders, name) == fire_transform(table, name)
        found = folders.burned[fire_rows(folders, name)].values
        assert (found.sum((1, 2)) == frames.sum((1, 2))).all()


def test_a_fire_lies_where_it_burned(tmp_path):
    """The disc's centre is the pixel (11, 13) of its own raster, and the middle of the window."""
    store = read(tmp_path, write_fires(tmp_path / "raw"))
    for name, own in (("home", TRANSFORM), ("east", EAST)):
        fire = fire_on_map(store, name)
        burned = fire.burned[0].values == 1
        x, y = own @ (13.5, 11.5)
        assert np.isclose(fire.x.values[burned.any(0)].mean(), x)
        assert np.isclose(fire.y.values[burned.any(1)].mean(), y)
        assert fire.rio.crs == CRS
        assert abs(np.argwhere(burned).mean(0) - 15.5).max() <= 0.5


def test_later_perimeters_do_not_move_the_window(tmp_path):
    """A fire that runs east has the window of one that stays: a forecast must not see where it will go."""
    row, column = np.indices((24, 30))
    runs = grow(4)
    runs[3] |= ((abs(row - 11) < 2) & (column >= 13) & (column < 28)).astype(np.uint8)
    places = []
    for name, burned in (("stays", grow(4)), ("runs", runs)):
        write_frames(tmp_path / name / "fires" / "one", burned)
        store = read(tmp_path / f"of_{name}", tmp_path / name)
        places.append(fire_transform(store, "one"))
        assert (store.burned[3].values == 1).sum() == burned[3].sum()
    assert places[0] == places[1]


def test_what_the_window_cuts_off_is_said(tmp_path, caplog):
    write_frames(tmp_path / "raw" / "fires" / "one", grow(8))
    store = read(tmp_path, tmp_path / "raw", window=14)
    outside = int(grow(8)[7].sum()) - int((store.burned[7].values == 1).sum())
    assert outside > 0
    assert f"one: {outside} burned pixels of the last frame lie outside" in caplog.text


def test_terrain_of_each_fire_in_its_own_grid(tmp_path):
    """One raster of all, and one a fire in another CRS; slope and aspect follow from elevation."""
    root = write_fires(tmp_path / "raw")
    wide = TRANSFORM @ Affine.translation(-20, -20)
    write_raster(root / "dem.tif", plane(wide, (80, 500), 0.1, 0.0), transform=wide)
    for name, own in (("home", TRANSFORM), ("east", EAST)):
        (x,), (y,) = move(CRS, ZONE_18, [own.c], [own.f])[:2]
        at = Affine(30, 0, x - 1500, 0, -30, y + 1500)
        write_raster(root / f"{name}.tif", np.full((130, 130), len(name), np.uint8), transform=at, crs=ZONE_18)
    bands = {
        "elevation": {"file": "dem.tif", "kind": "continuous", "unit": "m"},
        "slope_deg": {"kind": "continuous", "unit": "deg"},
        "aspect_deg": {"kind": "angle", "unit": "deg"},
        "fuel_model": {"file": "{fire}.tif", "kind": "categorical", "unit": "hand"},
        "moisture": {"file": "0.25", "kind": "continuous"},
    }
    store = read(tmp_path, root, bands=bands)
    assert store.band.values.tolist() == list(bands)
    for name in ("home", "east"):
        fire = fire_on_map(store, name)
        elevation, slope, aspect, fuel, moisture = fire.terrain.values
        expected = 1000 + 0.1 * (fire.x.values - TRANSFORM.c)
        np.testing.assert_allclose(elevation, np.broadcast_to(expected, (32, 32)), atol=0.01)
        np.testing.assert_allclose(slope, np.degrees(np.arctan(0.1)), atol=0.01)
        np.testing.assert_allclose(aspect, 270, atol=0.1)  # it rises to the east, and falls to the west
        assert (fuel == len(name)).all()
        assert (moisture == 0.25).all()


def test_wind_of_each_step_and_none_after_the_last_frame(tmp_path):
    root = write_table(tmp_path / "raw")
    (root / "weather").mkdir()
    for name, speed in (("home", 36.0), ("east", 18.0)):
        write_weather(root / "weather" / f"{name}.csv", times(4), np.full(4, speed), np.full(4, 270.0))
    store = read(tmp_path, root, fires="all.gpkg", fire_column="incident", cell_m=30, weather="weather/{fire}.csv")
    assert store.weather_variable.values.tolist() == ["wind_u", "wind_v"]
    for name, speed in (("home", 10.0), ("east", 5.0)):
        wind = store.weather[fire_rows(store, name)].values
        np.testing.assert_allclose(wind[:-1], np.broadcast_to([speed, 0.0], wind[:-1].shape), atol=1e-5)
        assert np.isnan(wind[-1]).all()


def test_a_fire_without_its_terrain_is_left_out(tmp_path):
    root = write_fires(tmp_path / "raw")
    write_raster(root / "home.tif", np.full((24, 30), 7, np.uint8))
    bands = {"fuel_model": {"file": "{fire}.tif", "kind": "categorical", "unit": "hand"}}
    with pytest.raises(InputError, match=r"east\.tif"):
        read(tmp_path, root, bands=bands)
    store = read(tmp_path, root, bands=bands, on_error="skip")
    assert store.fire_id.values.tolist() == ["home"]
    assert "east.tif" in store.attrs["fires_skipped"][0]["reason"]


def test_a_fire_of_a_table_without_a_time_or_an_area_is_left_out(tmp_path):
    root, options = tmp_path / "table", {"fires": "all.gpkg", "fire_column": "incident", "cell_m": 30}
    table = geopandas.read_file(write_table(root) / "all.gpkg")
    dull = [table.iloc[[0]].assign(incident="timeless", time=None), table.iloc[[0]].assign(incident="nowhere")]
    dull[1]["geometry"] = None
    geopandas.GeoDataFrame(pd.concat([table, *dull]), crs=CRS).to_file(root / "all.gpkg")
    with pytest.raises(InputError, match=r"(?s)fire nowhere.*1 features without an area"):
        read(tmp_path, root, **options)
    store = read(tmp_path, root, **options, on_error="skip")
    assert store.fire_id.values.tolist() == ["east", "home"]
    assert [of["fire_id"] for of in store.attrs["fires_skipped"]] == ["nowhere", "timeless"]


def test_a_perimeter_that_comes_while_fires_are_read_is_noticed(tmp_path):
    source = read_observed("seen", settings(write_fires(tmp_path / "raw")))
    write_raster(tmp_path / "raw" / "fires" / "east" / "fire_003.tif", grow(4)[3], transform=EAST)
    with pytest.raises(InputError, match=r"(?s)east.*4 frames.*3, as read before.*nothing writes"):
        list(source.frames)


def test_more_frames_than_a_fire_may_have_are_refused(tmp_path):
    _frames(tmp_path / "long" / "fires" / "one", "20240131T0000", "20240202T0000")
    with pytest.raises(InputError, match=r"(?s)2881 frames, from 2024-01-31.*at most 1000.*longer minutes_per_frame"):
        read(tmp_path, tmp_path / "long", minutes_per_frame=1)
    _frames(tmp_path / "raw" / "fires" / "one", "20240131T0000", "20240131T163930")  # 999.5 steps
    assert read(tmp_path, tmp_path / "raw", minutes_per_frame=1).sizes["frame"] == 1000


def test_every_index_is_another_fire_and_time(tmp_path):
    store = read(tmp_path, write_table(tmp_path / "raw"), fires="all.gpkg", fire_column="incident", cell_m=30)
    pairs = set(zip(store.fire_index.values.tolist(), store.step.values.tolist(), strict=True))
    assert len(pairs) == store.sizes["frame"]
    for name in ("east", "home"):
        steps = np.diff(store.valid_time[fire_rows(store, name)].values)
        assert (steps == np.timedelta64(30, "m")).all()


def test_a_fire_that_cannot_be_read_stops_or_is_listed(tmp_path):
    root = write_fires(tmp_path / "raw")
    write_frames(root / "fires" / "once", grow(1))
    (root / "fires" / "broken").mkdir()
    (root / "fires" / "broken" / "fire_000.tif").write_bytes(b"no raster")
    with pytest.raises(InputError, match=r"broken/fire_000\.tif"):
        read(tmp_path, root)
    store = read(tmp_path, root, on_error="skip")
    assert store.fire_id.values.tolist() == ["east", "home"]
    told = {of["fire_id"]: of["reason"] for of in store.attrs["fires_skipped"]}
    assert sorted(told) == ["broken", "once"]
    assert "fire_000.tif" in told["broken"]
    assert "two frames, 30 minutes apart" in told["once"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fires": "nowhere/*"}, r"nowhere.*nothing.*correct `root` and `fires`"),
        ({"fires": "fires/*", "fire_column": "incident"}, r"2 entries.*one table"),
        ({"bands": {"elevation": {"file": "dem.tif", "kind": "continuous"}}}, r"elevation=.*dem\.tif.*no file"),
        ({"weather": "wind.csv"}, r"no times, but a weather table"),
        ({"weather": "../wind.csv"}, r"'\.\./wind\.csv'.*a path out of `root`"),
        ({"bands": {"elevation": {"file": "/dem.tif", "kind": "continuous"}}}, r"'/dem\.tif'.*out of `root`.*copy"),
        ({"fires": "../raw/fires/*"}, r"'\.\./raw/fires/\*'.*a path out of `root`"),
        ({"fires": "/data/feds.gpkg"}, r"'/data/feds\.gpkg'.*a path out of `root`"),
        ({"bands": {"slope_deg": {"kind": "continuous", "unit": "deg"}}}, r"no band slope_deg"),
        ({"crs": "EPSG:4326"}, r"not projected"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, changes, said):
    with pytest.raises(InputError, match=f"(?s){said}") as refused:
        read(tmp_path, write_fires(tmp_path / "raw"), **changes)
    assert_fits_a_data_set(refused.value)


def assert_fits_a_data_set(error: InputError) -> None:
    """What to do is not an option of `emberformer forecast` alone."""
    assert "--" not in error.remedy or "data set" in error.remedy or "`forecast`" in error.remedy


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (("20240131_12", "20240131_13"), {}, "an hour or a number"),
        (("20240131T1200", "b"), {}, "a time for each frame, or for none"),
        (("a20240131T1200", "b20240131T1200"), {}, "the same time as"),
        (("0", "1"), {"crs": None, "transform": Affine.identity()}, "without a coordinate reference system"),
    ],
)
def test_perimeters_that_do_not_fit_are_mended_without_options(tmp_path, names, options, said):
    _frames(tmp_path / "raw" / "fires" / "one", *names, **options)
    with pytest.raises(InputError, match=f"(?s){said}") as refused:
        read(tmp_path, tmp_path / "raw")
    assert_fits_a_data_set(refused.value)


def test_polygons_smaller_than_a_pixel_are_mended_without_options(tmp_path):
    root = write_table(tmp_path / "raw")
    with pytest.raises(InputError, match="no burned pixel") as refused:
        read(tmp_path, root, fires="all.gpkg", fire_column="incident", cell_m=3000)
    assert_fits_a_data_set(refused.value)


def test_images_are_refused_with_what_to_do_instead(tmp_path):
    """Nothing would say where they lie: a data set has no --template."""
    root = write_fires(tmp_path / "raw")
    write_images(root / "fires" / "drawn", grow(3))
    with pytest.raises(InputError, match=r"(?s)drawn/fire_000\.png.*tells no place.*gdal_translate -a_srs") as refused:
        read(tmp_path, root)
    assert "--" not in str(refused.value)
    assert read(tmp_path, root, on_error="skip").fire_id.values.tolist() == ["east", "home"]
    with pytest.raises(InputError, match=r"(?s)3 files, none of which is read.*GeoTIFFs, polygons"):
        read(tmp_path, root, fires="fires/drawn/*.png")


def test_a_table_without_the_column_or_the_cell(tmp_path):
    root = write_table(tmp_path / "raw")
    with pytest.raises(InputError, match=r"(?s)no column 'fire'.*incident.*correct fire_column"):
        read(tmp_path, root, fires="all.gpkg", fire_column="fire", cell_m=30)
    with pytest.raises(InputError, match=r"(?s)polygons, which have no pixels.*cell_m of a data set"):
        read(tmp_path, root, fires="all.gpkg", fire_column="incident")


def test_pixels_of_two_sizes(tmp_path):
    root = write_fires(tmp_path / "raw")
    write_frames(root / "fires" / "west", grow(3), transform=TRANSFORM @ Affine.scale(2))
    with pytest.raises(InputError, match=r"(?s)west.*pixels of 60 m, and of 30 m in east.*cell_m"):
        read(tmp_path, root)
    store = read(tmp_path, root, cell_m=30)
    assert store.sizes["fire"] == 3
    assert fire_crs(store, "west")


def test_observed_perimeters_of_arkadia(tmp_path):
    """Two perimeters of 2011 and a FARSITE landscape, with what docs/data-observed.md mends in them."""
    if not ARKADIA.is_dir():
        pytest.skip(f"no data at {ARKADIA}")
    shapes = [geopandas.read_file(ARKADIA / "perimeters" / f"Per{number}_utm.shp") for number in (1, 2)]
    hours = ["2011-08-26T12:00", "2011-08-26T18:00"]  # the source has the day alone
    parts = [one[["geometry"]].set_crs("EPSG:32634").assign(time=at) for one, at in zip(shapes, hours, strict=True)]
    table = geopandas.GeoDataFrame(pd.concat(parts)).assign(fire="arkadia")
    table.to_file(tmp_path / "arkadia.gpkg")
    with rasterio.open(ARKADIA / "landscape" / "CASE_7.lcp") as landscape:
        bands, place = landscape.read().astype("float32"), landscape.transform
    place = Affine(100.793608575419, 0, place.c, 0, -100.793608575419, place.f)
    write_raster(tmp_path / "land.tif", *bands, transform=place, crs="EPSG:32634")
    told = {
        "elevation": {"file": "land.tif:1", "kind": "continuous", "unit": "m"},
        "slope_deg": {"kind": "continuous", "unit": "deg"},
        "fuel_model": {"file": "land.tif:4", "kind": "categorical", "unit": "FARSITE"},
    }
    changes = {"fires": "*.gpkg", "fire_column": "fire", "minutes_per_frame": 360, "cell_m": 30, "bands": told}
    store = read(tmp_path, tmp_path, **changes, window=224)
    hectares = (store.burned == 1).sum(("y", "x")).values * 0.09
    areas = [one.geometry.area.sum() / 1e4 for one in shapes]
    union = shapes[0].geometry.union_all().union(shapes[1].geometry.union_all()).area / 1e4
    np.testing.assert_allclose(hectares, [areas[0], union], rtol=0.01)
    elevation = store.terrain[0, 0].values[store.burned[1].values == 1]
    assert (elevation > 300).all()
    assert (elevation < 1237).all()  # as the landscape file says


def _renamed(root: Path, name: str) -> dict[str, object]:
    """The table of `write_table` with another name for `home`, and how it is read."""
    table = geopandas.read_file(write_table(root) / "all.gpkg")
    table.replace({"incident": {"home": name}}).to_file(root / "all.gpkg")
    return {"fires": "all.gpkg", "fire_column": "incident", "cell_m": 30}


@pytest.mark.parametrize("name", ["Creek/Ridge", "../up", ".hidden"])
def test_a_fire_of_a_table_has_a_name_that_a_file_can_have(tmp_path, name):
    changes = _renamed(tmp_path / "raw", name)
    with pytest.raises(InputError, match=rf"(?s)all\.gpkg.*{re.escape(name)}.*rename it"):
        read(tmp_path, tmp_path / "raw", **changes)
    store = read(tmp_path, tmp_path / "raw", **changes, on_error="skip")
    assert store.fire_id.values.tolist() == ["east"]
    assert [of["fire_id"] for of in store.attrs["fires_skipped"]] == [name]


@pytest.mark.parametrize("name", ["", "  "])
def test_polygons_of_no_fire_are_not_one(tmp_path, name):
    changes = _renamed(tmp_path / "raw", name)
    with pytest.raises(InputError, match=r"(?s)column 'incident'.*no fire in \d+ of \d+ features.*fill it in"):
        read(tmp_path, tmp_path / "raw", **changes, on_error="skip")
