"""Rasters opened again: place, values, no data, tags, and the layout of a Cloud-Optimised GeoTIFF."""

import json

import numpy as np
import pytest
import rasterio
import xarray as xr
from rio_cogeo.cogeo import cog_validate

from emberformer.outputs.arrival import arrival_time
from emberformer.outputs.fire_forecast import north_up
from emberformer.outputs.rasters import write_arrival_time, write_burned, write_percent, write_probability
from tests.outputs.forecasts import ATTRIBUTES, KINDS, example, forecast_of, spreading


def lies_on(raster: rasterio.DatasetReader, forecast: xr.Dataset) -> None:
    """Centres of the raster's pixels are the forecast's coordinates, to within a thousandth of a pixel."""
    upright = north_up(forecast)
    x, _ = raster.transform * (np.arange(raster.width) + 0.5, 0.5)
    _, y = raster.transform * (0.5, np.arange(raster.height) + 0.5)
    np.testing.assert_allclose(x, upright.x, atol=1e-3 * raster.res[0])
    np.testing.assert_allclose(y, upright.y, atol=1e-3 * raster.res[1])
    assert raster.transform.e < 0
    assert raster.crs == forecast.rio.crs


@pytest.mark.parametrize("kind", KINDS)
def test_a_probability_raster_is_the_forecast(kind, tmp_path):
    forecast, path = example(kind), tmp_path / "p.tif"
    write_probability(forecast, 1, path)
    assert cog_validate(path, strict=True, quiet=True)[0]
    with rasterio.open(path) as raster:
        lies_on(raster, forecast)
        np.testing.assert_array_equal(raster.read(1), north_up(forecast).probability[0].values)
        assert np.isnan(raster.nodata)
        assert raster.dtypes == ("float32",)


def test_tags_say_what_when_and_by_what(tmp_path):
    write_probability(forecast_of(*spreading()), 2, tmp_path / "p.tif")
    with rasterio.open(tmp_path / "p.tif") as raster:
        tags = raster.tags()
        assert (tags["init_time"], tags["valid_time"]) == ("2023-03-30T12:30:00Z", "2023-03-30T13:30:00Z")
        assert (tags["model_hash"], tags["method"], tags["lead"]) == ("0123456789ab", "by hand", "2")
        assert json.loads(tags["provenance"]) == ATTRIBUTES["provenance"]
        assert tags["TIFFTAG_DATETIME"] == "2023:03:30 12:30:00"
        assert raster.units == ("1",)
        assert "probability" in raster.descriptions[0]


def test_percent_is_rounded_and_knows_the_unknown(tmp_path):
    probability = np.array([[[0.0, 0.004, 0.006], [0.994, 1.0, np.nan]]], np.float32)
    write_percent(forecast_of(probability, np.zeros((2, 3), np.uint8)), 1, tmp_path / "c.tif")
    with rasterio.open(tmp_path / "c.tif") as raster:
        assert raster.read(1).tolist() == [[0, 0, 1], [99, 100, 255]]
        assert (raster.nodata, raster.units) == (255, ("%",))


def test_burned_and_arrival_time(tmp_path):
    forecast = example("unknown parts")
    write_burned(forecast, tmp_path / "b.tif")
    write_arrival_time(forecast, 0.5, tmp_path / "t.tif")
    with rasterio.open(tmp_path / "b.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), forecast.burned)
        assert raster.nodata == 255
    with rasterio.open(tmp_path / "t.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), arrival_time(forecast))
        assert (raster.units, raster.tags()["threshold"]) == (("s",), "0.5")
        assert np.isnan(raster.nodata)
    for name in ("b.tif", "t.tif"):
        assert cog_validate(tmp_path / name, strict=True, quiet=True)[0]


def test_overviews_of_large_rasters_are_means_majorities_and_single_pixels(tmp_path):
    rows, columns = np.indices((300, 280))
    burned = ((rows % 2 == 0) & (columns % 2 == 0)).astype(np.uint8)  # one pixel of four
    probability = np.where(burned == 1, 1, 0.2)[None].astype(np.float32)
    forecast = forecast_of(probability, burned)
    write_probability(forecast, 1, tmp_path / "p.tif")
    write_burned(forecast, tmp_path / "b.tif")
    write_arrival_time(forecast, 0.5, tmp_path / "t.tif")
    first = {}
    for name in ("p", "b", "t"):
        assert cog_validate(tmp_path / f"{name}.tif", strict=True, quiet=True)[0]
        with rasterio.open(tmp_path / f"{name}.tif") as raster:
            assert raster.overviews(1)[0] == 2
        with rasterio.open(tmp_path / f"{name}.tif", overview_level=0) as raster:
            first[name] = raster.read(1)
    np.testing.assert_allclose(first["p"], 0.4, rtol=1e-6)
    assert (first["b"] == 0).all()
    assert np.isin(first["t"][np.isfinite(first["t"])], [0]).all()
