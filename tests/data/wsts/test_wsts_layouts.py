"""The two layouts of WildfireSpreadTS, as files written here byte for byte: what is read, and what is refused."""

import h5py
import numpy as np
import pytest
import rasterio

from emberformer.data.wsts.bands import BANDS, CONDITIONS, PLACE, TERRAIN
from emberformer.data.wsts.geotiff import open_geotiff_fire
from emberformer.data.wsts.hdf5 import open_hdf5_fire, place_about
from emberformer.errors import InputError
from tests.wsts_files import LEFT, TOP, dates_from, in_hours, made_days, write_geotiffs, write_hdf5

DATES = dates_from("2018-06-11", 3)


def _dates(fire):
    return [str(date) for date in fire.dates]


def test_order_of_the_bands():
    numbers = {name: PLACE[name] for name in ("viirs_m11", "wind_speed", "wind_direction", "elevation", "landcover")}
    assert numbers == {"viirs_m11": 0, "wind_speed": 6, "wind_direction": 7, "elevation": 14, "landcover": 16}
    assert [band.name for band in BANDS][17:] == [
        *("forecast_precipitation", "forecast_wind_speed", "forecast_wind_direction"),
        *("forecast_temperature", "forecast_specific_humidity", "active_fire_hour"),
    ]
    assert len(BANDS) == 23
    assert {*TERRAIN, *CONDITIONS} == {band.name for band in BANDS}
    assert len(CONDITIONS) == 19


def test_forecast_wind_direction_is_no_angle():
    """Its quadrant is lost: 45 and 225 degrees stand as one number, so it must not be turned as an angle is."""
    kinds = {band.name: band.kind for band in BANDS}
    assert [name for name, kind in kinds.items() if kind == "angle"] == ["wind_direction", "aspect_deg"]
    assert kinds["forecast_wind_direction"] == "continuous"


def test_days_of_a_geotiff_fire(tmp_path):
    bands = made_days(3)
    fire = open_geotiff_fire(write_geotiffs(tmp_path, "2018/fire_7", DATES, bands))
    assert (fire.fire_id, fire.year, fire.days, fire.shape) == ("2018_fire_7", 2018, 3, (6, 8))
    assert _dates(fire) == DATES
    assert fire.transform == (375, 0, LEFT, 0, -375, TOP)
    assert rasterio.CRS.from_wkt(fire.crs_wkt).to_epsg() == 32610
    for number in range(3):
        day = fire.read(number)
        np.testing.assert_array_equal(day.bands[:22], bands[number, :22])
        np.testing.assert_array_equal(day.burned, ~np.isnan(bands[number, 22]))
        np.testing.assert_array_equal(day.bands[22], np.nan_to_num(bands[number, 22]) // 100)


def test_both_layouts_give_the_same_days(tmp_path):
    bands = made_days(3)
    tifs = open_geotiff_fire(write_geotiffs(tmp_path, "2018/fire_7", DATES, bands))
    one = open_hdf5_fire(write_hdf5(tmp_path, "2018/fire_7", DATES, in_hours(bands)))
    assert (one.fire_id, one.days, one.shape, _dates(one)) == ("2018_fire_7", 3, (6, 8), _dates(tifs))
    for number in range(3):
        for expected, found in zip(tifs.read(number), one.read(number), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_detection_in_the_first_hour_of_a_day(tmp_path):
    """00:42 is a fire of hour 0 in the GeoTIFFs; in the HDF5 files it cannot be told from none."""
    bands = made_days(1)
    bands[0, 22] = np.nan
    bands[0, 22, 2, 3] = 42
    tif = open_geotiff_fire(write_geotiffs(tmp_path, "2018/fire_7", DATES[:1], bands)).read(0)
    one = open_hdf5_fire(write_hdf5(tmp_path, "2018/fire_7", DATES[:1], in_hours(bands))).read(0)
    assert (tif.burned.sum(), tif.burned[2, 3], tif.bands[22].max()) == (1, 1, 0)
    assert one.burned.sum() == 0


def test_centre_of_the_raster_gives_its_approximate_place(tmp_path):
    folder = write_geotiffs(tmp_path, "2018/fire_7", DATES, made_days(3))
    with rasterio.open(next(folder.iterdir())) as raster:
        crs_wkt, transform = place_about(raster.lnglat(), raster.shape, folder)
        assert rasterio.CRS.from_wkt(crs_wkt) == raster.crs  # where the fire lies within its zone
    np.testing.assert_allclose(transform, (375, 0, LEFT, 0, -375, TOP), atol=0.01)


@pytest.mark.parametrize(
    ("longitude", "latitude", "epsg"), [(-117.0, 39.0, 32611), (-117.1, 39, 32611), (3, -1, 32731)]
)
def test_zone_of_a_longitude(longitude, latitude, epsg):
    crs_wkt, transform = place_about((longitude, latitude), (2, 4), "a file")
    assert rasterio.CRS.from_wkt(crs_wkt).to_epsg() == epsg
    if longitude == -117.0:  # central meridian of zone 11, at 500 km
        assert transform[2] == pytest.approx(500_000 - 2 * 375, abs=0.01)


def test_dates_with_the_ending_of_a_file(tmp_path):
    path = write_hdf5(tmp_path, "2018/fire_7", [f"{date}.tif" for date in DATES], in_hours(made_days(3)))
    assert _dates(open_hdf5_fire(path)) == DATES


def test_dates_as_bytes(tmp_path):
    path = write_hdf5(tmp_path, "2018/fire_7", DATES, in_hours(made_days(3)))
    with h5py.File(path, "a") as file:
        file["data"].attrs["img_dates"] = np.array(DATES, "S14")
    assert _dates(open_hdf5_fire(path)) == DATES


def test_hdf5_without_attributes_read_all_the_same(tmp_path):
    bands = in_hours(made_days(3))
    path = write_hdf5(tmp_path, "2018/fire_7", None, bands, centre=None)
    with h5py.File(path, "a") as file:
        file["data"].attrs.clear()
    fire = open_hdf5_fire(path, "unknown")
    assert (fire.dates, fire.crs_wkt, fire.transform) == (None, "", (375, 0, 0, 0, -375, 0))
    np.testing.assert_array_equal(fire.read(1).bands, bands[1])


def _refused(message):
    return pytest.raises(InputError, match=f"(?s){message}")


def test_geotiff_of_22_bands(tmp_path):
    folder = write_geotiffs(tmp_path, "2018/fire_7", DATES, made_days(3))
    write_geotiffs(tmp_path, "2018/fire_7", DATES[1:2], made_days(1)[:, :22])
    fire = open_geotiff_fire(folder)
    with _refused(r"2018-06-12\.tif.*22 bands.*the 23 bands.*on_error: skip"):
        fire.read(1)


def test_first_geotiff_of_22_bands(tmp_path):
    with _refused(r"2018-06-11\.tif.*22 bands"):
        open_geotiff_fire(write_geotiffs(tmp_path, "2018/fire_7", DATES, made_days(3)[:, :22]))


def test_geotiff_of_another_size(tmp_path):
    folder = write_geotiffs(tmp_path, "2018/fire_7", DATES[:2], made_days(2))
    write_geotiffs(tmp_path, "2018/fire_7", DATES[2:], made_days(1, (6, 9)))
    with _refused(r"2018-06-13\.tif.*6 x 9 pixels.*6 x 8"):
        open_geotiff_fire(folder).read(2)


def test_truncated_geotiff(tmp_path):
    folder = write_geotiffs(tmp_path, "2018/fire_7", DATES, made_days(3))
    path = folder / "2018-06-12.tif"
    path.write_bytes(path.read_bytes()[:2000])
    with _refused(r"2018-06-12\.tif.*raster that GDAL reads.*get the file again"):
        open_geotiff_fire(folder).read(1)


def test_names_of_geotiffs(tmp_path):
    folder = write_geotiffs(tmp_path, "2018/fire_7", DATES, made_days(3))
    (folder / "2018-06-11.tif.aux.xml").write_text("")
    (folder / ".2018-06-11.tif").write_text("")
    (folder / "2018-06-13.tif").rename(folder / "2018-06-13_us.tif")
    assert _dates(open_geotiff_fire(folder)) == DATES
    (folder / "2018-06-12.tif").rename(folder / "2018-13-12.tif")
    with _refused(r"2018-13-12\.tif.*no date.*2018-06-11\.tif.*rename"):
        open_geotiff_fire(folder)
    (folder / "2018-13-12.tif").rename(folder / "2018-06-13.tif")
    with _refused(r"fire_7.*2018-06-13\.tif and 2018-06-13_us\.tif.*one file a day"):
        open_geotiff_fire(folder)


def test_empty_folder(tmp_path):
    (tmp_path / "2018" / "fire_7").mkdir(parents=True)
    with _refused(r"fire_7.*no TIF"):
        open_geotiff_fire(tmp_path / "2018" / "fire_7")


def test_pixels_of_another_size(tmp_path):
    folder = write_geotiffs(tmp_path, "2018/fire_7", DATES, made_days(3))
    with rasterio.open(folder / "2018-06-11.tif", "r+") as raster:
        raster.transform = rasterio.Affine(30, 0, LEFT, 0, -30, TOP)
    with _refused(r"2018-06-11\.tif, transform.*30\.0.*north-up pixels of 375 m"):
        open_geotiff_fire(folder)


def test_bands_in_another_order(tmp_path):
    bands = made_days(3)
    bands[:, [14, 16]] = bands[:, [16, 14]]
    folder = write_geotiffs(tmp_path, "2018/fire_7", DATES, bands)
    with _refused(r"2018-06-11\.tif.*in band landcover.*classes from 0 to 17.*own order"):
        open_geotiff_fire(folder).read(0)


def test_hdf5_with_times_instead_of_hours(tmp_path):
    path = write_hdf5(tmp_path, "2018/fire_7", DATES, np.nan_to_num(made_days(3), nan=0.0))
    with _refused(r"fire_7\.hdf5, day 0.*in band active fire.*hours from 0 to 23"):
        open_hdf5_fire(path).read(0)


def test_hdf5_of_22_bands(tmp_path):
    path = write_hdf5(tmp_path, "2018/fire_7", DATES, made_days(3)[:, :22])
    with _refused(r"fire_7\.hdf5.*22 bands"):
        open_hdf5_fire(path)


def test_hdf5_of_something_else(tmp_path):
    path = write_hdf5(tmp_path, "2018/fire_7", DATES, made_days(3)[:, 0])
    with _refused(r"fire_7\.hdf5.*shape \(3, 6, 8\).*\[day, band, y, x\]"):
        open_hdf5_fire(path)
    with h5py.File(path, "w") as file:
        file["images"] = 1
    with _refused(r"fire_7\.hdf5.*entries \['images'\].*`data`"):
        open_hdf5_fire(path)


@pytest.mark.parametrize(
    ("dates", "centre", "missing"),
    [(None, (-121.5, 39.7), "img_dates"), (DATES, None, "lnglat"), (None, None, "img_dates and lnglat")],
)
def test_hdf5_without_attributes(tmp_path, dates, centre, missing):
    path = write_hdf5(tmp_path, "2018/fire_7", dates, in_hours(made_days(3)), centre)
    with _refused(
        rf"fire_7\.hdf5\n.*without the attribute {missing}\n.*CreateHDF5Dataset\.py.*missing_attributes: unknown"
    ):
        open_hdf5_fire(path)


def test_truncated_hdf5(tmp_path):
    path = write_hdf5(tmp_path, "2018/fire_7", DATES, in_hours(made_days(3)))
    path.write_bytes(path.read_bytes()[:3000])
    with _refused(r"fire_7\.hdf5.*truncated.*get the file again"):
        open_hdf5_fire(path)


def test_dates_that_do_not_fit(tmp_path):
    path = write_hdf5(tmp_path, "2018/fire_7", DATES[:2], in_hours(made_days(3)))
    with _refused(r"fire_7\.hdf5, img_dates.*2 dates for 3 days"):
        open_hdf5_fire(path)
    path = write_hdf5(tmp_path, "2018/fire_7", ["yesterday", *DATES[1:]], in_hours(made_days(3)))
    with _refused(r"fire_7\.hdf5, img_dates.*yesterday.*2018-06-11"):
        open_hdf5_fire(path)


def test_centre_outside_the_earth(tmp_path):
    path = write_hdf5(tmp_path, "2018/fire_7", DATES, in_hours(made_days(3)), centre=(39.7, -121.5))
    with _refused(r"fire_7\.hdf5, lnglat.*39\.7, -121\.5.*longitude and latitude"):
        open_hdf5_fire(path)
