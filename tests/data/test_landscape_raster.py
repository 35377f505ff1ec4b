"""The landscape raster: units, angles and no data by hand; every misfit says where it is."""

import json
import logging

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin

from emberformer.data.fires import Window
from emberformer.data.landscape_raster import check_one_grid, check_windows, open_landscape, read_windows
from emberformer.data_settings import BandSettings
from emberformer.errors import InputError

TRANSFORM = from_origin(340_000, 6_160_000, 30, 30)


def _write(
    path, crs: str | None = "EPSG:32719", transform=TRANSFORM, nodata: float | None = -9999.0, dtype="float32", **bands
):
    values = [np.atleast_2d(np.array(band, dtype)) for band in bands.values()]
    height, width = values[0].shape
    profile = {"height": height, "width": width, "count": len(values), "dtype": dtype}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, nodata=nodata, **profile) as raster:
        for number, (name, band) in enumerate(zip(bands, values, strict=True), 1):
            raster.write(band, number)
            raster.set_band_description(number, "" if name.startswith("nameless") else name)
    return path


def _read(path, **bands):
    landscape = open_landscape(path, {key: BandSettings.model_validate(band) for key, band in bands.items()})
    return landscape, landscape.read(Window(0, 0, *landscape.shape))


CONTINUOUS = {"kind": "continuous"}


def test_slope_in_percent_becomes_degrees(tmp_path):
    path = _write(tmp_path / "a.tif", slope=[0, 100, 100 * np.sqrt(3), -9999], cover=[0, 100, 50, 20])
    percent = {"kind": "continuous", "unit": "percent"}
    landscape, values = _read(path, slope=percent | {"name": "slope_deg"}, cover=percent)
    np.testing.assert_allclose(values[0, 0], [0, 45, 60, np.nan], rtol=1e-6)
    np.testing.assert_allclose(values[1, 0], [0, 100, 50, 20])  # a canopy cover has no angle
    assert [source.band.unit for source in landscape.sources] == ["deg", "percent"]
    assert values.dtype == np.float32


def test_slope_needs_its_unit(tmp_path):
    path = _write(tmp_path / "a.tif", slope=[0, 100])
    with pytest.raises(InputError, match=r"(?s)bands\.slope\.unit.*'1'.*'deg' or 'percent'"):
        _read(path, slope=CONTINUOUS | {"name": "slope_deg"})


def test_angles_point_downslope_and_flat_ground_has_none(tmp_path):
    path = _write(tmp_path / "a.tif", down=[0, 90, 350, 360, -1, -9999], up=[0, 90, 350, 360, -1, -9999])
    landscape, values = _read(path, down={"kind": "angle"}, up={"kind": "angle", "points": "upslope"})
    np.testing.assert_allclose(values[0, 0], [0, 90, 350, 0, np.nan, np.nan])
    np.testing.assert_allclose(values[1, 0], [180, 270, 170, 180, np.nan, np.nan])
    assert {source.band.unit for source in landscape.sources} == {"deg"}


def test_angle_above_360_is_no_angle(tmp_path):
    path = _write(tmp_path / "a.tif", height=[1500, 1600])
    with pytest.raises(InputError, match=r"(?s)a\.tif, band 'height'.*1600.*0 to 360"):
        _read(path, height={"kind": "angle"})


def test_no_data_of_the_raster_and_of_the_settings(tmp_path):
    path = _write(tmp_path / "a.tif", fuels=[0, 7, -9999])
    np.testing.assert_allclose(_read(path, fuels={"kind": "categorical"})[1][0, 0], [0, 7, np.nan])
    settings = {"kind": "categorical", "nodata_value": 0}
    np.testing.assert_allclose(_read(path, fuels=settings)[1][0, 0], [np.nan, 7, np.nan])


def test_whole_numbers_are_read_as_float(tmp_path):
    path = _write(tmp_path / "a.tif", dtype="int16", nodata=-1, fuels=[3, -1])
    np.testing.assert_allclose(_read(path, fuels={"kind": "categorical"})[1][0, 0], [3, np.nan])


def test_window_is_cut_where_it_says(tmp_path):
    path = _write(tmp_path / "a.tif", elevation=np.arange(20).reshape(4, 5))
    landscape, _ = _read(path, elevation=CONTINUOUS)
    np.testing.assert_array_equal(landscape.read(Window(1, 2, 2, 3))[0], [[7, 8, 9], [12, 13, 14]])


def test_bands_by_number_in_the_order_of_the_settings(tmp_path, caplog):
    path = _write(tmp_path / "a.tif", nameless_1=[1], nameless_2=[2], third=[3])
    with caplog.at_level(logging.WARNING):
        landscape, values = _read(path, third=CONTINUOUS, **{"1": CONTINUOUS})
    assert [source.band.name for source in landscape.sources] == ["third", "band_1"]
    np.testing.assert_array_equal(values[:, 0, 0], [3, 1])
    assert landscape.left_out == ("band_2",)
    assert "left out because the settings do not declare them: band_2" in caplog.text


@pytest.mark.parametrize("key", ["slope", "4", "0"])
def test_declared_band_that_the_raster_lacks(tmp_path, key):
    path = _write(tmp_path / "a.tif", fuels=[1], elevation=[2], cbh=[3])
    with pytest.raises(InputError, match=rf"(?s)band '{key}'.*0 bands.*fuels, elevation, cbh.*exactly one"):
        _read(path, **{key: CONTINUOUS})


def test_two_bands_of_one_name(tmp_path):
    path = _write(tmp_path / "a.tif", a=[1], b=[2])
    with pytest.raises(InputError, match=r"(?s)names used twice: \['same'\]"):
        _read(path, a=CONTINUOUS | {"name": "same"}, b=CONTINUOUS | {"name": "same"})


def test_missing_and_damaged_rasters(tmp_path):
    with pytest.raises(InputError, match=r"(?s)none\.tif.*raster that GDAL reads"):
        _read(tmp_path / "none.tif", a=CONTINUOUS)
    path = _write(tmp_path / "a.tif", a=np.random.default_rng(0).random((200, 200)))
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(InputError, match=r"a\.tif"):
        _read(path, a=CONTINUOUS)


def test_missing_crs_is_said_and_kept_empty(tmp_path, caplog):
    path = _write(tmp_path / "a.tif", crs=None, a=[1])
    with caplog.at_level(logging.WARNING):
        landscape, _ = _read(path, a=CONTINUOUS)
    assert landscape.crs_wkt == ""
    assert landscape.cell_m == 30
    assert "no coordinate reference system" in caplog.text


def test_cells_of_feet_and_degrees_in_metres(tmp_path):
    feet = _write(tmp_path / "feet.tif", crs="EPSG:2227", a=[1])  # California zone 3, US survey feet
    assert _read(feet, a=CONTINUOUS)[0].cell_m == pytest.approx(30 * 1200 / 3937)
    degrees = from_origin(-120, 60.0005, 0.001, 0.001)  # at 60 degrees a degree of longitude is half one of latitude
    assert _read(_write(tmp_path / "degrees.tif", crs="EPSG:4326", transform=degrees, a=[1]), a=CONTINUOUS)[
        0
    ].cell_m == pytest.approx(111.32 * np.sqrt(0.5), rel=1e-3)


def test_a_crs_that_is_told_decides_the_size_of_a_cell(tmp_path, caplog):
    feet, utm = CRS.from_epsg(2227), CRS.from_epsg(32719)
    bare, band = _write(tmp_path / "bare.tif", crs=None, a=[1]), {"a": BandSettings.model_validate(CONTINUOUS)}
    assert open_landscape(bare, band, feet).cell_m == pytest.approx(30 * 1200 / 3937)
    assert "no coordinate reference system" not in caplog.text
    own = _write(tmp_path / "own.tif", a=[1])
    assert open_landscape(own, band, utm).crs_wkt == utm.to_wkt()
    with pytest.raises(InputError, match=r"(?s)own\.tif.*the CRS EPSG:32719.*EPSG:2227, as settings `crs` say"):
        open_landscape(own, band, feet)


def test_rasters_of_one_grid_have_one_crs(tmp_path):
    band = {"a": BandSettings.model_validate(CONTINUOUS)}
    there = {code: open_landscape(_write(tmp_path / f"{code}.tif", crs=code and f"EPSG:{code}", a=[1]), band)
             for code in (32719, 32718, None)}  # fmt: skip
    check_one_grid([there[32719], there[None], there[32719]], "mend it")
    with pytest.raises(InputError, match=r"(?s)32718\.tif.*EPSG:32718.*EPSG:32719, as 32719\.tif.*mend it"):
        check_one_grid([there[32719], there[32718]], "mend it")


def test_a_fourth_byte_band_is_no_transparency_of_a_landscape(tmp_path):
    path = _write(tmp_path / "a.tif", dtype="uint8", nodata=None, a=[1], b=[2], c=[3], d=[0])
    _, values = _read(path, a=CONTINUOUS, d=CONTINUOUS)
    np.testing.assert_array_equal(values[:, 0, 0], [1, 0])


@pytest.mark.parametrize(
    "transform",
    [Affine(30, 0, 0, 0, -60, 0), Affine(30, 5, 0, 0, -30, 0), Affine(30, 0, 0, 0, 30, 0), Affine.identity()],
)
def test_other_rasters_than_north_up_squares(tmp_path, transform):
    path = _write(tmp_path / "a.tif", transform=transform, a=[[1, 2], [3, 4]])
    with pytest.raises(InputError, match=r"(?s)a\.tif, transform.*north-up square pixels.*gdal_edit"):
        _read(path, a=CONTINUOUS)


def test_windows_are_rows_then_columns(tmp_path):
    path = tmp_path / "indices.json"
    path.write_text(json.dumps({"007": [10, 40, 5, 25], "12": [0, 30, 0, 20]}))
    windows = read_windows(path)
    assert windows == {7: Window(10, 5, 30, 20), 12: Window(0, 0, 30, 20)}
    check_windows(path, [7, 12], windows, (40, 25))


@pytest.mark.parametrize(
    "text", ["[1, 2]", '{"1": [0, 4]}', '{"a": [0, 4, 0, 4]}', "{", '{"1": 5}', '{"1": [4, 0, 0, 4]}']
)
def test_malformed_windows(tmp_path, text):
    path = tmp_path / "indices.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"(?s)indices\.json.*row0, row1, column0, column1"):
        read_windows(path)


@pytest.mark.parametrize(
    ("sequences", "shape", "message"),
    [
        ([1, 3], (40, 40), r"sequence 3.*no window.*a window for every sequence"),
        ([1], (40, 24), r"sequence 1.*window \[10, 40, 5, 25\].*40 rows x 24 columns"),
        ([1], (39, 40), r"sequence 1.*window \[10, 40, 5, 25\].*39 rows x 40 columns"),
        ([1, 2], (40, 40), r"sequence 2.*20 x 20 pixels.*30 x 20, as .*data set of each window size"),
    ],
)
def test_windows_that_do_not_fit(tmp_path, sequences, shape, message):
    windows = {1: Window(10, 5, 30, 20), 2: Window(0, 0, 20, 20)}
    with pytest.raises(InputError, match=f"(?s){message}"):
        check_windows(tmp_path / "indices.json", sequences, windows, shape)
