"""Perimeters: areas, order, attributes."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from emberformer.errors import InputError
from emberformer.outputs.grid import cell_areas, grid_of
from emberformer.outputs.perimeters import COLUMNS, PROBABILITIES, newest_perimeter, perimeters
from tests.outputs.forecasts import INIT_TIME, KINDS, example, forecast_of, spreading


@pytest.mark.parametrize("kind", KINDS)
def test_areas_are_those_of_the_raster(kind):
    forecast = example(kind)
    grid = grid_of(forecast)
    areas = cell_areas(grid)
    if kind == "south up":
        forecast = forecast.isel(y=slice(None, None, -1))
    rows, newest = perimeters(forecast), newest_perimeter(forecast)
    assert rows.crs == newest.crs == grid.crs
    planar = abs(grid.transform.a * grid.transform.e)
    for lead, p, area, outline in zip(rows.lead, rows.probability, rows.area_ha, rows.geometry, strict=True):
        region = forecast.probability[lead - 1].values >= p
        np.testing.assert_allclose(area, areas[region].sum() / 1e4, rtol=1e-9)
        np.testing.assert_allclose(outline.area, planar * np.count_nonzero(region), rtol=1e-9)
    np.testing.assert_allclose(newest.area_ha.sum(), areas[forecast.burned.values == 1].sum() / 1e4, rtol=1e-9)
    assert list(rows.columns) == list(newest.columns) == [*COLUMNS, "geometry"]
    present = [(lead >= p).any() for lead in forecast.probability.values for p in PROBABILITIES]
    assert len(rows) == sum(present)


def test_likelier_perimeters_lie_inside_and_later_ones_outside():
    rows = perimeters(forecast_of(*spreading())).set_index(["lead", "probability"]).geometry
    for lead in (1, 2, 3):
        for low, high in pairwise(PROBABILITIES):
            assert rows[lead, low].covers(rows[lead, high])
    assert rows[2, 0.5].covers(rows[1, 0.5])
    assert rows[3, 0.5].covers(rows[2, 0.5])


def test_attributes_of_one_perimeter_by_hand():
    """Ten pixels of 30 m: 0.9 ha, 2.2239 acres."""
    probability = np.zeros((2, 4, 5), np.float32)
    probability[:, 0], probability[:, 1] = 0.6, 0.5
    rows = perimeters(forecast_of(probability, np.zeros((4, 5), np.uint8)), [0.5])
    first = rows.iloc[0]
    assert first.area_ha == pytest.approx(0.9)
    assert first.poly_GISAcres == pytest.approx(2.2239, abs=1e-4)
    assert (first.fire_id, first.poly_IncidentName, first.lead) == ("sequence_001", "sequence_001", 1)
    assert first.valid_time == first.poly_PolygonDateTime == pd.Timestamp("2023-03-30 13:00", tz="UTC")
    assert first.init_time == first.poly_DateCurrent == pd.Timestamp("2023-03-30 12:30", tz="UTC")
    assert rows.valid_until.tolist() == [rows.valid_time[1], pd.Timestamp("2023-03-30 14:00", tz="UTC")]
    assert (first.poly_MapMethod, first.poly_Source) == ("Modeled", "by hand 0123456789ab")


def test_no_forecast_passes_for_an_observed_fire():
    forecast = forecast_of(*spreading())
    assert set(perimeters(forecast).poly_FeatureCategory) == {"Forecast Fire Perimeter"}
    newest = newest_perimeter(forecast).iloc[0]
    assert (newest.poly_FeatureCategory, newest.poly_Source) == ("Wildfire Daily Fire Perimeter", "observed")
    assert newest.valid_time == pd.Timestamp(INIT_TIME, tz="UTC")


def test_a_probability_as_stored_reaches_the_same_probability():
    """0.9 in float32 is a little less than 0.9: a pixel at 0.9 is inside the perimeter of 0.9 all the same."""
    probability = np.full((1, 2, 2), 0.9, np.float32)
    assert len(perimeters(forecast_of(probability, np.zeros((2, 2), np.uint8)), [0.9])) == 1


@pytest.mark.parametrize("p", [0.0, -0.1, 1.01, float("nan")])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(InputError, match="above 0 and up to 1"):
        perimeters(forecast_of(*spreading()), [0.5, p])
