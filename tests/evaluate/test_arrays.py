"""Scores of arrays: the same as those of a store, and what does not fit is refused."""

import numpy as np
import pytest
import xarray as xr

from emberformer.errors import InputError
from emberformer.evaluate import verify
from emberformer.evaluate.method_sums import method_sums
from emberformer.evaluate.strata import classes_of, conditions_of
from emberformer.evaluate.verification import CENTRE, Selection
from emberformer.forecast_store import ForecastBlock, open_forecasts, write_forecasts
from tests.small_fires import disc, small_fires

SHAPE, LEADS = (14, 17), 3


def field(values, *dims):
    return xr.DataArray(values, dims=(*dims, "y", "x"))


@pytest.fixture
def case(tmp_path):
    """One forecast of three leads, as a store and as arrays; some pixels are unknown."""
    frames = [disc(SHAPE, (6, 8), radius) for radius in (2, 3, 4.5, 5.5)]
    frames[0][0], frames[2][:, :2] = 255, 255
    fires = small_fires({"a": frames, "b": frames}, cell_m=50, seconds=600)
    rng = np.random.default_rng(0)
    probability = np.maximum.accumulate(rng.beta(0.4, 1, (LEADS, *SHAPE))).astype(np.float32)
    probability[:, frames[0] == 1], probability[:, frames[0] == 255] = 1, np.nan
    times = fires.valid_time.values[:4]
    blocks = [
        ForecastBlock(name, split, 0, times[0], times[1:], probability)
        for name, split in {"a": "test", "b": "validation"}.items()
    ]
    write_forecasts(
        tmp_path / "f.zarr", blocks, method="m", dataset="small", score_kind="probability", shape=(LEADS, *SHAPE),
        provenance={}, sees_target_wind=False,
    )  # fmt: skip
    arrays = field(probability, "lead"), field(np.stack(frames[1:]), "lead"), field(frames[0])
    return open_forecasts(tmp_path / "f.zarr"), fires, arrays


def test_arrays_score_as_a_store_of_them(case):
    stored, fires, arrays = case
    classes = {"small": classes_of(conditions_of(stored, fires))}
    sums = method_sums({"small": stored}, {"small": fires}, classes, "probability", 2)
    assert sums.threshold_bin != CENTRE
    assert sums.threshold is not None
    table = verify(*arrays, cell_m=50, step_minutes=10, threshold=sums.threshold).set_index(
        ["lead", "region", "threshold", "metric"]
    )["value"]
    compared = set()
    for lead in (1, 2, 3):
        for (region, threshold, metric), value in sums.scores(
            ["small"], Selection("test", lead), np.ones((1, 1))
        ).items():
            if threshold == "0.5":
                continue
            at = f"{sums.threshold:g}" if threshold else ""
            loose = 2e-2 if metric == "average_precision" else 1e-5  # few pixels, tied in bins
            expected = table.loc[(lead, region, at, metric)]
            assert value[0] == pytest.approx(expected, rel=loose, abs=1e-6, nan_ok=True), (lead, region, metric)
            compared.add(metric)
    assert compared == set(table.index.get_level_values("metric"))
    assert {"arrival_mae_min", "fss_17px", "band_nll_10px", "area_bias_ha", "hausdorff_95_m"} <= compared


def test_one_lead_time_needs_no_dimension(case):
    _, _, (forecast, observed, burned) = case
    one = verify(forecast[0], observed[0], burned, cell_m=50, step_minutes=10)
    first = verify(forecast, observed, burned, cell_m=50, step_minutes=10).query("lead == 1")
    np.testing.assert_array_equal(one.value, first.value)
    turned = verify(forecast[0].T, observed[0].T.astype(float).where(observed[0].T != 255), burned, cell_m=50,
                    step_minutes=10)  # fmt: skip
    np.testing.assert_array_equal(turned.value, one.value)


def test_what_does_not_fit_is_refused(case):
    _, _, (forecast, observed, burned) = case
    with pytest.raises(InputError, match="dimensions"):
        verify(forecast.isel(x=slice(3)), observed, burned, cell_m=50, step_minutes=10)
    with pytest.raises(InputError, match="coordinates of burned"):
        verify(forecast.rename(y="row"), observed, burned, cell_m=50, step_minutes=10)
    with pytest.raises(InputError, match="outside 0 to 1"):
        verify(forecast * 100, observed, burned, cell_m=50, step_minutes=10)
    with pytest.raises(InputError, match="missing"):
        verify(forecast.where(forecast > 0.5), observed, burned, cell_m=50, step_minutes=10)
    with pytest.raises(InputError, match="255 or NaN"):
        verify(forecast, observed * 2.0, burned, cell_m=50, step_minutes=10)


@pytest.mark.parametrize(
    "leads", [[0.5, 1, 1.5], [1, 1, 2], [3, 2, 1], [0, 1, 2], [-1, 1, 2], np.array([1, 2, 3], "timedelta64[ns]")]
)
def test_lead_times_are_whole_steps_that_rise(case, leads):
    forecast, observed, burned = case[2]
    named = {"lead": leads}
    with pytest.raises(InputError, match="steps ahead that rise"):
        verify(forecast.assign_coords(named), observed.assign_coords(named), burned, cell_m=50, step_minutes=10)
