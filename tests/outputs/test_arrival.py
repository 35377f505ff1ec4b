"""Arrival times and isochrones: the rule, worked by hand and as a law."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emberformer.outputs.arrival import arrival_time
from emberformer.outputs.isochrones import isochrones
from emberformer.outputs.times import seconds_ahead
from tests.outputs.forecasts import example, forecast_of, spreading


def test_arrival_by_hand():
    """Leads at 1800 and 3600 s, threshold 0.5."""
    nan = np.nan
    # burned, 0 to 0.5, 0.25 to 0.75, 0.4 to 0.6, never, unknown, unknown and then 0.8
    first = np.array([1.0, 0.5, 0.25, 0.4, 0.1, nan, nan])
    second = np.array([1.0, 1.0, 0.75, 0.6, 0.4, nan, 0.8])
    burned = np.array([1, 0, 0, 0, 0, 255, 0], np.uint8)
    forecast = forecast_of(np.stack([[first] * 2, [second] * 2]), np.stack([burned] * 2))
    expected = [0, 1800, 2700, 2700, nan, nan, 3600]
    np.testing.assert_allclose(arrival_time(forecast)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(arrival_time(forecast, 0.25)[0], [0, 900, 1800, 1125, 2700, nan, 3600], rtol=1e-6)


@settings(max_examples=30)
@given(
    steps=arrays.arrays(np.float32, (3, 3, 4), elements=st.floats(0, 1, width=32)),
    threshold=st.floats(0.05, 1),
)
def test_the_fire_has_arrived_where_the_probability_reaches_the_threshold(steps, threshold):
    probability = np.maximum.accumulate(steps)
    forecast = forecast_of(probability, np.zeros((3, 4), np.uint8))
    arrival = arrival_time(forecast, threshold).values
    for time, reached in zip(seconds_ahead(forecast), probability >= np.float32(threshold), strict=True):
        np.testing.assert_array_equal(arrival <= time, reached)
    assert np.nanmin(arrival, initial=0) >= 0


def test_arrival_time_says_its_unit_and_place():
    forecast = example("south up")
    arrival = arrival_time(forecast)
    assert (arrival.attrs["units"], arrival.dtype) == ("s", np.float32)
    assert (arrival.y == forecast.y).all()
    assert arrival.rio.crs == forecast.rio.crs


def test_isochrones_of_a_straight_front_by_hand():
    """Probability falls from 1 to 0 over one pixel, so the contour of 0.5 runs half-way between two centres."""
    burned = np.zeros((6, 8), np.uint8)
    burned[:, :2] = 1
    probability = np.zeros((2, 6, 8), np.float32)
    probability[0, :, :4] = probability[1, :, :7] = 1
    rows = isochrones(forecast_of(probability, burned, corner=(1000.0, 2000.0), cell=(10.0, 10.0)))
    assert rows.lead.tolist() == [0, 1, 2]
    assert rows.label.tolist() == ["now", "+30 min", "+1 h"]
    assert rows.arrival_s.tolist() == [0, 1800, 3600]
    for line, x in zip(rows.geometry, [1020, 1040, 1070], strict=True):
        assert line.bounds == (x, 1945, x, 1995)  # from the centre of the last row to that of the first
    later = isochrones(forecast_of(probability, burned, corner=(1000.0, 2000.0), cell=(10.0, 10.0)), threshold=0.75)
    assert later.geometry.iloc[1].bounds[0] == 1037.5


def test_isochrones_of_a_round_fire_are_closed_and_nested():
    rows = isochrones(forecast_of(*spreading()))
    assert len(rows) == 4
    assert all(line.is_closed for line in rows.geometry)
    assert rows.length.is_monotonic_increasing


@pytest.mark.parametrize("kind", ["no fire", "all burned", "all unknown"])
def test_where_nothing_spreads_there_is_no_line(kind):
    assert isochrones(example(kind)).empty
