"""The form of a forecast: what fits passes, what does not is named."""

import numpy as np
import pytest
import xarray as xr

from emberformer.errors import InputError
from emberformer.outputs.fire_forecast import check_fire_forecast, north_up, open_fire_forecast
from tests.outputs.forecasts import KINDS, example, forecast_of, spreading


def ordinary() -> xr.Dataset:
    return forecast_of(*spreading())


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_fit_the_form(kind):
    check_fire_forecast(example(kind))


def changed(**variables: np.ndarray) -> xr.Dataset:
    forecast = ordinary()
    return forecast.assign({name: (forecast[name].dims, values) for name, values in variables.items()})


def lowered(value: float, lead: int, place: tuple[int, int]) -> np.ndarray:
    probability = spreading()[0].copy()
    probability[lead, *place] = value
    return probability


def without(attribute: str) -> xr.Dataset:
    forecast = ordinary()
    del forecast.attrs[attribute]
    return forecast


WRONG = {
    "no variable wind_u": lambda: ordinary().drop_vars("wind_u"),
    "float64": lambda: ordinary().assign(probability=ordinary().probability.astype("float64")),
    "no coordinate valid_time": lambda: ordinary().drop_vars("valid_time"),
    r"leads \[0, 1, 2\]": lambda: ordinary().assign_coords(lead=[0, 1, 2]),
    "no attribute model_hash": lambda: without("model_hash"),
    "an empty fire_id": lambda: ordinary().assign_attrs(fire_id=" "),
    "seconds_per_frame 0": lambda: ordinary().assign_attrs(seconds_per_frame=0),
    "no JSON content": lambda: ordinary().assign_attrs(provenance={"path": object()}),
    "1 pixel along x": lambda: ordinary().isel(x=[0]),
    "y that are not evenly spaced": lambda: ordinary().isel(y=[0, 1, 3]),
    "with a CRS in degrees": lambda: ordinary().rio.write_crs("EPSG:4326"),
    "times that rise": lambda: ordinary().assign_coords(init_time=np.datetime64("2024-01-01", "s")),
    "0 to 1, NaN where unknown": lambda: changed(probability=lowered(1.5, 2, (0, 0))),
    r"values \[7\]": lambda: changed(burned=np.where(spreading()[1], 1, 7).astype(np.uint8)),
    "probability 1 where it is already burned": lambda: changed(probability=lowered(0.5, 0, (12, 15))),
    "burned stays burned": lambda: changed(probability=lowered(0.001, 1, (12, 20))),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_named(message):
    with pytest.raises(InputError, match=message):
        check_fire_forecast(WRONG[message]())


def test_an_unknown_lead_between_known_ones_is_no_fall():
    check_fire_forecast(changed(probability=lowered(np.nan, 1, (0, 0))))


def test_north_up_turns_values_with_their_coordinates():
    forecast = ordinary()
    turned = north_up(forecast.isel(y=slice(None, None, -1), x=slice(None, None, -1)))
    xr.testing.assert_identical(turned, forecast)
    assert turned.y[0] > turned.y[-1]
    assert turned.x[0] < turned.x[-1]


def test_a_missing_or_other_file_is_named(tmp_path):
    with pytest.raises(InputError, match="no file"):
        open_fire_forecast(tmp_path / "absent.nc")
    (tmp_path / "text.nc").write_text("no NetCDF")
    with pytest.raises(InputError, match=r"text\.nc"):
        open_fire_forecast(tmp_path / "text.nc")
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="no variable probability"):
        open_fire_forecast(tmp_path / "other.nc")
