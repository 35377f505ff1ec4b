"""One new fire from its files to the store: equal in every form, and every note and misfit told."""

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.features import shapes
from shapely.geometry import shape

from emberformer.data.fires import Band, Window, fire_on_map, open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.data.new_fire import read_new_fire
from emberformer.data.terrain_given import KNOWN_BANDS
from emberformer.errors import InputError
from tests.new_fires import (
    SHAPE,
    START,
    TRANSFORM,
    grow,
    outlines,
    plane,
    times,
    write_frames,
    write_images,
    write_netcdf,
    write_raster,
    write_weather,
)

BANDS = [KNOWN_BANDS[name] for name in ("fuel_model", "elevation", "slope_deg", "aspect_deg")]
PORTILLO = Path(__file__).parents[3] / "shared" / "data" / "portillo"


@pytest.fixture
def dem(tmp_path):
    return write_raster(tmp_path / "dem.tif", plane(TRANSFORM, SHAPE, 0.3, -0.2))


@pytest.fixture
def read(dem):
    """Reads perimeters over a plane with one fuel and a west wind, with changes."""

    def with_changes(perimeters, **changes):
        options: dict[str, Any] = {"minutes": 30.0, "bands": BANDS, "terrain": [f"elevation={dem}", "fuel_model=101"]}
        wind: dict[str, Any] = {"wind_speed": 10.0, "wind_direction": 270.0}
        return read_new_fire(perimeters, **(options | ({} if "weather" in changes else wind) | changes))

    return with_changes


def test_store_of_a_new_fire(tmp_path, read):
    fire = read(write_frames(tmp_path / "fire", grow()), start="2024-01-31T12:00", leads=3, name="ridge")
    write_fires(tmp_path / "fires.zarr", fire.source)
    fires = open_fires(tmp_path / "fires.zarr")
    assert (fires.burned.values == grow()).all()
    assert (fires.valid_time.values == times()).all()
    np.testing.assert_allclose(fires.weather, [[10, 0]] * 4, atol=1e-5)
    np.testing.assert_allclose(fire.lead_weather, [[10, 0]] * 3, atol=1e-5)
    assert fires.attrs["cell_m"] == 30
    assert fires.attrs["seconds_per_frame"] == 1800
    assert fires.attrs["provenance"]["notes"] == list(fire.notes)
    assert list(fires.band.values) == [band.name for band in BANDS]
    on_map = fire_on_map(fires, "ridge")
    assert on_map.rio.crs.to_epsg() == 32719
    assert float(on_map.x[0]) == TRANSFORM.c + 15
    (fuel,) = np.unique(fires.terrain[0, 0])
    assert fuel == 101
    np.testing.assert_allclose(fires.terrain[0, 1], plane(TRANSFORM, SHAPE, 0.3, -0.2))


def test_every_form_is_the_same_fire(tmp_path, read, dem):
    write_raster(tmp_path / "bands.tif", *grow(), tags=[{"time": str(time)} for time in times()])
    outlines(grow(), times()).to_file(tmp_path / "fire.gpkg")
    outlines(grow(), times()).to_crs(4326).to_file(tmp_path / "fire.geojson")
    write_netcdf(tmp_path / "fire.nc", burned=(("time", "y", "x"), grow()), time=("time", times()))
    forms = [
        (write_frames(tmp_path / "rasters", grow()), {"start": "2024-01-31T12:00"}),
        (write_images(tmp_path / "images", grow()), {"start": "2024-01-31T12:00"}),
        (tmp_path / "bands.tif", {}),
        (tmp_path / "fire.nc", {}),
        (tmp_path / "fire.gpkg", {"template": dem}),
        (tmp_path / "fire.geojson", {"template": dem}),
    ]
    first, *others = [read(perimeters, **options).source for perimeters, options in forms]
    for other in others:
        assert (np.stack([f.burned for f in other.frames]) == np.stack([f.burned for f in first.frames])).all()
        assert (other.fires[0].valid_time == first.fires[0].valid_time).all()
        np.testing.assert_array_equal(other.terrain(other.fires[0].window), first.terrain(first.fires[0].window))
        places = [(of.grounds[0].transform, of.grounds[0].crs_wkt) for of in (other, first)]
        assert places[0] == places[1]


def test_notes_tell_everything_that_was_done(tmp_path, read, dem):
    shrinking = grow()
    shrinking[2, 11, 13] = 0
    fire = read(write_frames(tmp_path / "fire", shrinking), window=40)
    for part in (
        "4 frames are taken to be 30 minutes apart", "tell no time", "1 pixels", "a window of 40 x 40",
        "880 pixels of the window lie beyond", "fuel_model is 101", "dem.tif covers 45 % of the fire's grid",
        "slope_deg is derived", "aspect_deg is derived", "10.0 m/s (36 km/h) from 270 degrees",
    ):  # fmt: skip
        assert [note for note in fire.notes if part in note], f"{part} is not in {fire.notes}"
    assert fire.source.fires[0].window == Window(0, 0, 40, 40)


def test_window_moves_the_fire_with_its_ground(tmp_path, read):
    whole = read(write_frames(tmp_path / "fire", grow()))
    part = read(tmp_path / "fire", window=10)
    row, column = 11 - 4, 13 - 4
    for a, b in zip(whole.source.frames, part.source.frames, strict=True):
        assert (a.burned[row - 1 : row + 9, column - 1 : column + 9] == b.burned).all()
    ground = [fire.source.terrain(fire.source.fires[0].window) for fire in (whole, part)]
    np.testing.assert_allclose(ground[0][:, row - 1 : row + 9, column - 1 : column + 9], ground[1], rtol=1e-4)
    assert [note for note in part.notes if "burned pixels lie outside the window" in note]


def test_weather_table_and_longer_leads(tmp_path, read):
    path = write_weather(tmp_path / "w.csv", times(7), [36] * 7, [270, 270, 270, 270, 180, 90, 0])
    fire = read(write_frames(tmp_path / "fire", grow()), start=str(START), weather=path, leads=4)
    np.testing.assert_allclose(fire.source.fires[0].weather, [[10, 0]] * 4, atol=1e-5)
    np.testing.assert_allclose(fire.lead_weather, [[10, 0], [0, 10], [-10, 0], [0, -10]], atol=1e-5)


def test_model_without_wind_needs_none(tmp_path, read):
    fire = read(write_frames(tmp_path / "fire", grow()), wind_speed=None, wind_direction=None, needs_wind=False)
    assert np.isnan(fire.lead_weather).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wind_speed": None, "wind_direction": None}, "no wind.*--wind-speed and --wind-direction"),
        ({"wind_direction": None}, "no wind direction"),
        ({"weather": Path("w.csv"), "wind_speed": 3.0}, "a table and one wind.*leave one"),
        ({"minutes": 0.0}, "--minutes.*0.*0.0167 or more"),
        ({"leads": 0}, "--leads.*1 or more"),
        ({"cell_m": -30.0}, "--cell.*-30"),
        ({"window": 0}, "--window"),
        ({"margin_m": np.nan}, "--margin.*nan"),
        ({"start": "noon"}, "--start.*'noon'"),
        ({"terrain": ["fuel_model=101"]}, "no band elevation, slope_deg, aspect_deg"),
    ],
)
def test_what_is_asked_for_must_make_sense(tmp_path, read, options, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        read(write_frames(tmp_path / "fire", grow()), **options)


def test_empty_fire_and_fire_beyond_the_terrain(tmp_path, read):
    with pytest.raises(InputError, match=r"(?s)no burned pixel in the newest of 4"):
        read(write_frames(tmp_path / "empty", grow() * 0))
    away = outlines(grow(), times())
    away.geometry = away.geometry.translate(50_000, 0)
    away.to_file(tmp_path / "away.gpkg")
    with pytest.raises(InputError, match=r"(?s)dem\.tif.*covers 0 % of the burned pixels.*check the CRS"):
        read(tmp_path / "away.gpkg", cell_m=30.0)


@pytest.mark.skipif(not PORTILLO.is_dir(), reason="the fires of portillo are not beside the repository")
def test_a_fire_of_portillo_as_rasters_and_as_polygons(tmp_path):
    window = json.loads((PORTILLO / "landscape" / "indices.json").read_text())["7"]
    images = sorted((PORTILLO / "fire_frames").glob("sequence_007/*.png"))[:6]
    burned = np.stack([np.asarray(Image.open(path))[:, :, 1] == 231 for path in images]).astype(np.uint8)
    land = PORTILLO / "landscape" / "Input_Geotiff.tif"
    with rasterio.open(land) as raster:
        transform = raster.transform * rasterio.Affine.translation(window[2], window[0])
        ground = raster.read([1, 4], window=((window[0], window[1]), (window[2], window[3])))
    moments = START + np.arange(len(burned)) * np.timedelta64(30, "m")
    write_frames(tmp_path / "rasters", burned, transform=transform)
    found = [
        {"time": str(moment), "geometry": shape(polygon)}
        for frame, moment in zip(burned, moments, strict=True)
        for polygon, _ in shapes(frame, frame == 1, transform=transform)
    ]
    geopandas.GeoDataFrame(found, crs="EPSG:32719").to_file(tmp_path / "fire.gpkg")
    options: dict[str, Any] = {
        "minutes": 30.0,
        "bands": [Band("fuel_model", "categorical", "Kitral"), *BANDS[1:]],
        "terrain": [f"fuel_model={land}:fuels", f"elevation={land}", f"slope_deg={land}:slope@percent",
                    f"aspect_deg={land}:saz"],
        "wind_speed": 5.0,
        "wind_direction": 137.0,
    }  # fmt: skip
    rasters = read_new_fire(tmp_path / "rasters", start=str(START), **options)
    polygons = read_new_fire(tmp_path / "fire.gpkg", template=tmp_path / "rasters" / "fire_000.tif", **options)
    for fire in (rasters, polygons):
        assert (np.stack([frame.burned for frame in fire.source.frames]) == burned).all()
        assert (fire.source.fires[0].valid_time == moments).all()
        terrain = fire.source.terrain(fire.source.fires[0].window)
        assert (terrain[:2] == np.where(ground == -9999, np.nan, ground))[~np.isnan(terrain[:2])].all()
        assert np.nanmax(terrain[2]) < 90
    assert not [note for note in rasters.notes if "warped" in note or "covers" in note]
