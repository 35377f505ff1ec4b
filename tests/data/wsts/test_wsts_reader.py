"""From files of WildfireSpreadTS to the fires store: what stands in it, gaps, duplicates, files that are no fires."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from emberformer.data.fires import fire_crs, fire_on_map, fire_rows, fire_transform, open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.data.wsts.bands import CONDITIONS, PLACE
from emberformer.data.wsts.geotiff import open_geotiff_fire
from emberformer.data.wsts.reader import NO_DAY, days_of_frames, read_wsts
from emberformer.data.wsts.survey import mean_wind
from emberformer.errors import InputError
from emberformer.wsts_settings import WildfireSpreadTSSettings
from tests.wsts_files import LEFT, TOP, dates_from, in_hours, made_days, write_geotiffs, write_hdf5

SMALL, LARGE = made_days(3, (6, 8), seed=1), made_days(4, (9, 7), seed=2)


def _write_two_fires(root):
    write_geotiffs(root, "2018/fire_7", dates_from("2018-06-11", 3), SMALL)
    write_geotiffs(root, "2019/fire_30", dates_from("2019-08-30", 4), LARGE, crs="EPSG:32612")
    return root


def _ingest(root, path, **changes):
    write_fires(path / "fires.zarr", read_wsts("small", WildfireSpreadTSSettings(root=root, **changes)))
    return open_fires(path / "fires.zarr")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("wsts")
    return _ingest(_write_two_fires(path / "source"), path)


def test_store_of_two_fires(stored):
    assert stored.fire_id.values.tolist() == ["2018_fire_7", "2019_fire_30"]
    assert (stored.sizes["frame"], stored.sizes["y"], stored.sizes["x"]) == (7, 9, 8)
    assert (stored.attrs["fire_kind"], stored.attrs["cell_m"]) == ("active", 375)
    assert stored.attrs["seconds_per_frame"] == 86400
    assert stored.band.values.tolist() == ["elevation", "slope_deg", "aspect_deg", "landcover"]
    units = WildfireSpreadTSSettings(root=Path("anywhere")).band_units
    assert dict(zip(stored.band.values, stored.band_unit.values, strict=True)) == units
    assert stored.band_kind.values.tolist() == ["continuous", "continuous", "angle", "categorical"]
    assert stored.condition.values.tolist() == list(CONDITIONS)
    assert stored.valid_time.values[3:].astype("datetime64[D]").astype(str).tolist() == dates_from("2019-08-30", 4)
    assert stored.attrs["provenance"]["place"] == "of the GeoTIFFs"


def test_values_stand_where_they_lay_and_the_rest_is_unknown(stored):
    np.testing.assert_array_equal(stored.burned[1, :6], ~np.isnan(SMALL[1, 22]))
    assert (stored.burned[1, 6:] == 255).all()
    np.testing.assert_array_equal(stored.burned[5, :, :7], ~np.isnan(LARGE[2, 22]))
    assert (stored.burned[5, :, 7:] == 255).all()
    for name in ("viirs_m11", "wind_direction", "pdsi", "forecast_specific_humidity"):
        values = stored.conditions[5].sel(condition=name).values
        np.testing.assert_array_equal(values[:, :7], LARGE[2, PLACE[name]])
        assert np.isnan(values[:, 7:]).all()
    np.testing.assert_array_equal(stored.terrain[1].sel(band="elevation").values[:, :7], LARGE[0, 14])
    np.testing.assert_array_equal(stored.terrain[0].sel(band="landcover").values[:6], SMALL[0, 16])
    assert np.isnan(stored.terrain[0].sel(band="landcover").values[6:]).all()


def test_each_fire_has_its_own_place(stored):
    zones = [rasterio.CRS.from_wkt(fire_crs(stored, fire_id)).to_epsg() for fire_id in stored.fire_id.values]
    assert zones == [32610, 32612]
    assert fire_transform(stored, "2019_fire_30")[:6] == (375, 0, LEFT, 0, -375, TOP)
    on_map = fire_on_map(stored, "2019_fire_30")
    assert (float(on_map.x[2]), float(on_map.y[1])) == (LEFT + 2.5 * 375, TOP - 1.5 * 375)


def test_both_layouts_fill_equal_stores(stored, tmp_path):
    write_hdf5(tmp_path / "source", "2018/fire_7", dates_from("2018-06-11", 3), in_hours(SMALL))
    write_hdf5(tmp_path / "source", "2019/fire_30", dates_from("2019-08-30", 4), in_hours(LARGE))
    other = _ingest(tmp_path / "source", tmp_path)
    for name in ("burned", "conditions", "terrain", "weather", "valid_time", "fire_id", "frame_digest"):
        np.testing.assert_array_equal(other[name].values, stored[name].values)
    assert other.attrs["provenance"]["place"].startswith("approximate")


def test_wind_is_the_mean_of_vectors():
    """2 m/s from 350 degrees and 2 m/s from 10 degrees, one pixel unknown: 2 cos 10 m/s towards the south."""
    bands = np.zeros((23, 1, 4), "float32")
    bands[6] = [2, 2, np.nan, 5]
    bands[7] = [350, 10, 90, np.nan]
    np.testing.assert_allclose(mean_wind(bands), [0, -2 * np.cos(np.deg2rad(10))], atol=1e-6)
    bands[7] = 270  # from the west
    assert mean_wind(bands)[0] == pytest.approx(3)
    bands[6], bands[7] = [2, -2, 2, 2], [350, 350, 10, 400]  # neither a negative speed nor 400 degrees is a wind
    np.testing.assert_allclose(mean_wind(bands), [0, -2 * np.cos(np.deg2rad(10))], atol=1e-6)
    bands[6] = np.nan
    assert np.isnan(mean_wind(bands)).all()


def test_wind_of_the_store(stored):
    """Of the frame's own day: the last frame has one too, and none tells of the day after."""
    angle = np.deg2rad(LARGE[:, 7].astype(float))
    speed = LARGE[:, 6].astype(float)
    expected = np.stack([np.nanmean(-speed * part, (1, 2)) for part in (np.sin(angle), np.cos(angle))], 1)
    np.testing.assert_allclose(stored.weather[3:], expected, rtol=1e-4)
    settings = WildfireSpreadTSSettings(root=Path("anywhere"))
    assert (settings.foresees_wind, settings.tells_target_wind) == (False, False)


def test_missing_days_are_unknown(tmp_path):
    write_geotiffs(tmp_path / "source", "2018/fire_7", dates_from("2018-06-29", 3, missing=[1, 2]), SMALL)
    fires = _ingest(tmp_path / "source", tmp_path)
    assert fires.valid_time.values.astype("datetime64[D]").astype(str).tolist() == dates_from("2018-06-29", 5)
    assert (fires.burned[1:3] == 255).all()
    assert np.isnan(fires.conditions[1:3]).all()
    assert np.isnan(fires.weather[1:3]).all()
    for frame, day in enumerate([0, None, None, 1, 2]):
        if day is not None:
            np.testing.assert_array_equal(fires.conditions[frame].sel(condition="ndvi"), SMALL[day, 3])
            assert np.isfinite(fires.weather[frame]).all()


def test_missing_days_are_skipped(tmp_path, caplog):
    dates = dates_from("2018-06-29", 3, missing=[1, 2])
    write_geotiffs(tmp_path / "source", "2018/fire_7", dates, SMALL)
    fires = _ingest(tmp_path / "source", tmp_path, missing_days="skip")
    assert "minutes a frame" not in caplog.text  # gaps are what was asked for
    assert fires.valid_time.values.astype("datetime64[D]").astype(str).tolist() == dates
    np.testing.assert_array_equal(fires.conditions[1].sel(condition="ndvi"), SMALL[1, 3])


def test_days_across_the_end_of_a_month_and_year(tmp_path):
    write_geotiffs(tmp_path / "source", "2018/fire_7", ["2018-12-30", "2019-01-01"], SMALL[:2])
    (one,) = read_wsts("small", WildfireSpreadTSSettings(root=tmp_path / "source")).fires
    assert one.valid_time.astype(str).tolist() == [f"{date}T00:00:00" for date in dates_from("2018-12-30", 3)]


def test_numbers_of_days_are_what_frames_show(tmp_path):
    folder = write_geotiffs(tmp_path, "2018/fire_7", dates_from("2018-06-29", 3, missing=[1]), SMALL)
    shown, times = days_of_frames(open_geotiff_fire(folder), True)
    assert shown.tolist() == [0, NO_DAY, 1, 2]
    assert len(times) == 4


def test_duplicates_by_content_are_listed_once(tmp_path, caplog):
    root = _write_two_fires(tmp_path / "source")
    shutil.copytree(root / "2018" / "fire_7", root / "2019" / "fire_900")
    with caplog.at_level(logging.WARNING):
        fires = _ingest(root, tmp_path)
    assert fires.fire_id.values.tolist() == ["2018_fire_7", "2019_fire_30"]
    skipped = {"fire_id": "2019_fire_900", "reason": "same content as 2018_fire_7"}
    assert fires.attrs["fires_skipped"] == [skipped]
    assert "2019_fire_900 is skipped: same content as 2018_fire_7" in caplog.text


def test_duplicate_file_of_another_name_and_without_attributes(tmp_path):
    write_hdf5(tmp_path / "source", "2018/fire_7", dates_from("2018-06-11", 3), in_hours(SMALL))
    write_hdf5(tmp_path / "source", "2018/fire_7 (1)", None, in_hours(SMALL), centre=None)
    settings = WildfireSpreadTSSettings(root=tmp_path / "source", missing_attributes="unknown")
    source = read_wsts("small", settings)
    assert [fire.fire_id for fire in source.fires] == ["2018_fire_7"]
    assert source.fires_skipped == {"2018_fire_7 (1)": "same content as 2018_fire_7"}


def test_other_hdf5_files_are_no_fires(tmp_path, caplog):
    write_hdf5(tmp_path / "source", "2018/fire_7", dates_from("2018-06-11", 3), in_hours(SMALL))
    write_hdf5(tmp_path / "source", "2018/statistics", dates_from("2018-06-11", 4), in_hours(LARGE))
    with caplog.at_level(logging.WARNING):
        source = read_wsts("small", WildfireSpreadTSSettings(root=tmp_path / "source"))
    assert [fire.fire_id for fire in source.fires] == ["2018_fire_7"]
    assert source.provenance["left_out"] == ["2018/statistics.hdf5"]
    assert "2018/statistics.hdf5" in caplog.text


def test_hdf5_without_attributes_read_all_the_same(tmp_path, caplog):
    write_hdf5(tmp_path / "source", "2018/fire_7", None, in_hours(SMALL), centre=None)
    with caplog.at_level(logging.WARNING):
        fires = _ingest(tmp_path / "source", tmp_path, missing_attributes="unknown")
    assert str(fires.valid_time.values[2]) == "1970-01-03T00:00:00"
    assert fire_crs(fires, "2018_fire_7") == ""
    assert fires.attrs["provenance"]["fires_without_dates"] == ["2018_fire_7"]
    assert "1 fires (first 2018_fire_7) have no dates" in caplog.text
    assert "1 fires (first 2018_fire_7) have no place" in caplog.text


def test_broken_fire_stops_or_is_skipped(tmp_path, caplog):
    root = _write_two_fires(tmp_path / "source")
    write_geotiffs(root, "2018/fire_7", ["2018-06-12"], SMALL[:1, :22])
    with pytest.raises(InputError, match=r"(?s)2018-06-12\.tif.*22 bands.*on_error: skip"):
        read_wsts("small", WildfireSpreadTSSettings(root=root))
    with caplog.at_level(logging.WARNING):
        fires = _ingest(root, tmp_path, on_error="skip")
    assert fires.fire_id.values.tolist() == ["2019_fire_30"]
    ((skipped),) = fires.attrs["fires_skipped"]
    assert skipped["fire_id"] == "2018_fire_7"
    expected = "2018/fire_7/2018-06-12.tif: 22 bands instead of the 23 bands of WildfireSpreadTS"
    assert skipped["reason"] == expected
    assert "2018_fire_7 is skipped" in caplog.text


def test_hdf5_without_attributes_stops_or_is_skipped(tmp_path, caplog):
    root = tmp_path / "source"
    write_hdf5(root, "2018/fire_7", None, in_hours(SMALL), centre=None)
    write_hdf5(root, "2019/fire_30", dates_from("2019-08-30", 4), in_hours(LARGE))
    with pytest.raises(
        InputError, match=r"(?s)2018/fire_7\.hdf5.*img_dates and lnglat.*CreateHDF5Dataset.*on_error: skip"
    ):
        read_wsts("small", WildfireSpreadTSSettings(root=root))
    with caplog.at_level(logging.WARNING):
        fires = _ingest(root, tmp_path, on_error="skip")
    assert fires.fire_id.values.tolist() == ["2019_fire_30"]
    assert fires.attrs["provenance"]["fires_without_dates"] == []
    (skipped,) = fires.attrs["fires_skipped"]
    assert skipped["fire_id"] == "2018_fire_7"
    assert skipped["reason"].startswith("2018/fire_7.hdf5: `data` without the attribute img_dates and lnglat")
    assert "2018_fire_7 is skipped" in caplog.text


def test_nothing_left(tmp_path):
    write_geotiffs(tmp_path / "source", "2018/fire_7", ["2018-06-12"], SMALL[:1])
    with pytest.raises(InputError, match=r"(?s)source.*1 fires, none that can be used.*two days"):
        read_wsts("small", WildfireSpreadTSSettings(root=tmp_path / "source"))


def test_dates_that_do_not_rise(tmp_path):
    write_hdf5(tmp_path / "source", "2018/fire_7", ["2018-06-11", "2018-06-13", "2018-06-12"], in_hours(SMALL))
    with pytest.raises(InputError, match=r"(?s)fire_7\.hdf5.*2018-06-12 after 2018-06-13"):
        read_wsts("small", WildfireSpreadTSSettings(root=tmp_path / "source"))


def test_terrain_that_changes_is_said(tmp_path, caplog):
    changed = SMALL.copy()
    changed[2, 16] = 18 - changed[2, 16]
    write_geotiffs(tmp_path / "source", "2018/fire_7", dates_from("2018-06-11", 3), changed)
    with caplog.at_level(logging.WARNING):
        fires = _ingest(tmp_path / "source", tmp_path)
    assert "(first 2018_fire_7) have terrain that changes" in caplog.text
    np.testing.assert_array_equal(fires.terrain[0].sel(band="landcover"), changed[0, 16])


def test_years(tmp_path, caplog):
    root = _write_two_fires(tmp_path / "source")
    with caplog.at_level(logging.WARNING):
        source = read_wsts("small", WildfireSpreadTSSettings(root=root, years=(2019,)))
    assert [fire.fire_id for fire in source.fires] == ["2019_fire_30"]
    assert not caplog.records
    with pytest.raises(InputError, match=r"(?s)2021.*no such folder.*`years`"):
        read_wsts("small", WildfireSpreadTSSettings(root=root, years=(2019, 2021)))


def test_both_layouts_under_one_root(tmp_path):
    root = _write_two_fires(tmp_path / "source")
    write_hdf5(root, "2018/fire_8", dates_from("2018-06-11", 3), in_hours(SMALL))
    with pytest.raises(InputError, match=r"(?s)2 folders and 1 HDF5 files.*set its `layout`"):
        read_wsts("small", WildfireSpreadTSSettings(root=root))
    source = read_wsts("small", WildfireSpreadTSSettings(root=root, layout="hdf5"))
    assert [fire.fire_id for fire in source.fires] == ["2018_fire_8"]


def test_no_data(tmp_path):
    with pytest.raises(InputError, match=r"(?s)none.*no such folder.*`root`"):
        read_wsts("small", WildfireSpreadTSSettings(root=tmp_path / "none"))
    (tmp_path / "2018").mkdir()
    with pytest.raises(InputError, match=r"(?s)0 folders and 0 HDF5 files"):
        read_wsts("small", WildfireSpreadTSSettings(root=tmp_path))


def test_every_frame_is_a_day_of_its_own(stored):
    """No two frames show one day of one fire, and none shows another's."""
    shown = set(zip(stored.fire_index.values.tolist(), stored.valid_time.values.tolist(), strict=True))
    assert len(shown) == stored.sizes["frame"]
    assert fire_rows(stored, "2019_fire_30") == slice(3, 7)
    assert len(set(stored.frame_digest.values)) == 7
