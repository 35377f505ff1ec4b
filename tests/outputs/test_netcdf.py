"""NetCDF: equal when read again, described by CF attributes, placed for GDAL."""

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr

from emberformer.outputs.fire_forecast import open_fire_forecast
from emberformer.outputs.grid import grid_of
from emberformer.outputs.netcdf import write_netcdf, write_zarr
from tests.outputs.forecasts import example


@pytest.mark.parametrize("kind", ["one lead", "unknown parts", "south up", "degrees", "no CRS", "no wind"])
def test_round_trip(kind, tmp_path):
    forecast = example(kind)
    write_netcdf(forecast, tmp_path / "f.nc")
    read = open_fire_forecast(tmp_path / "f.nc")
    xr.testing.assert_equal(read, forecast)
    assert {name: read.attrs[name] for name in forecast.attrs} == forecast.attrs
    assert read.rio.crs == forecast.rio.crs
    assert all(read[name].dtype == forecast[name].dtype for name in read.variables)
    write_netcdf(read, tmp_path / "again.nc")
    xr.testing.assert_identical(open_fire_forecast(tmp_path / "again.nc"), read)


@pytest.mark.parametrize("kind", ["one lead", "unknown parts", "south up", "degrees", "no CRS", "no wind"])
def test_a_zarr_store_says_the_same(kind, tmp_path):
    forecast = example(kind)
    write_netcdf(forecast, tmp_path / "f.nc")
    write_zarr(forecast, tmp_path / "f.zarr")
    xr.testing.assert_identical(open_fire_forecast(tmp_path / "f.zarr"), open_fire_forecast(tmp_path / "f.nc"))


@pytest.mark.parametrize(("write", "engine"), [(write_netcdf, "h5netcdf"), (write_zarr, "zarr")])
@pytest.mark.parametrize("kind", ["ordinary", "degrees"])
def test_attributes_of_the_conventions(kind, write, engine, tmp_path):
    write(example(kind), tmp_path / "f")
    raw = xr.open_dataset(tmp_path / "f", engine=engine, decode_cf=False)
    assert raw.attrs["Conventions"] == "CF-1.11"
    assert raw.probability.attrs["grid_mapping"] == raw.burned.attrs["grid_mapping"] == "spatial_ref"
    assert (
        raw.spatial_ref.attrs["grid_mapping_name"]
        == {
            "ordinary": "transverse_mercator",
            "degrees": "latitude_longitude",
        }[kind]
    )
    assert raw.init_time.attrs["standard_name"] == "forecast_reference_time"
    assert raw.valid_time.attrs["standard_name"] == "time"
    axis = {"ordinary": ("projection_x_coordinate", "metre"), "degrees": ("longitude", "degrees_east")}[kind]
    assert (raw.x.attrs["standard_name"], raw.x.attrs["units"]) == axis
    assert list(raw.burned.attrs["flag_values"]) == [0, 1, 255]
    for name, variable in raw.variables.items():
        assert name == "spatial_ref" or {"long_name", "standard_name"} & set(variable.attrs), name
    assert "_FillValue" not in raw.x.attrs


@pytest.mark.parametrize("kind", ["ordinary", "south up", "degrees"])
def test_gdal_finds_its_place(kind, tmp_path):
    forecast = example(kind)
    write_netcdf(forecast, tmp_path / "f.nc")
    with rasterio.open(f"netcdf:{tmp_path / 'f.nc'}:probability") as raster:
        np.testing.assert_allclose(list(raster.transform), list(grid_of(forecast).transform), rtol=1e-9)
        assert raster.crs == forecast.rio.crs
        assert raster.count == 3


def test_pixels_are_packed_a_lead_a_chunk(tmp_path):
    write_netcdf(example("ordinary"), tmp_path / "f.nc")
    with h5py.File(tmp_path / "f.nc") as opened:
        stored = opened["probability"]
        assert isinstance(stored, h5py.Dataset)
        assert (stored.chunks, stored.compression) == ((1, 24, 30), "gzip")
