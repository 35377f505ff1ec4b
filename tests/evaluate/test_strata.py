"""Strata: classes by hand, and what is known of a step."""

import numpy as np
import pandas as pd
import pytest

from emberformer.evaluate.strata import classes_of, conditions_of, slope_near
from tests.evaluate.small_forecasts import forecasts_of
from tests.small_fires import disc, small_fires


def test_a_class_holds_its_lower_edge():
    conditions = pd.DataFrame(
        {
            "wind_m_s": [0, 3.4, 5.49, 8, np.nan],
            "slope_deg": [13.99, 14, 28.8, 80, np.nan],
            "size_ha": [0.1, 40.5, 121.4, 2023.4, np.nan],
        }
    )
    found = classes_of(conditions)
    assert found.wind_m_s.tolist() == ["<3.4", "3.4-5.5", "3.4-5.5", ">=8", "unknown"]
    assert found.slope_deg.tolist() == ["<14", "14-21.8", ">=28.8", ">=28.8", "unknown"]
    assert found.size_ha.tolist() == ["<40.5", "40.5-121.4", "121.4-404.7", ">=2023.4", "unknown"]


def test_slope_near_the_fire_by_hand():
    burned = np.zeros((1, 9), np.uint8)
    burned[0, 0] = 1
    burned[0, 2] = 255
    slope = np.array([[90, 10, 90, 20, np.nan, 30, 90, 90, 90.0]])
    assert slope_near(burned, slope, 60.0) == pytest.approx(20)  # five pixels: 10, unknown, 20, no data, 30
    assert slope_near(burned, slope, 1000.0) == 10  # at least the pixel beside it
    assert np.isnan(slope_near(np.zeros((1, 9), np.uint8), slope, 60.0))
    assert np.isnan(slope_near(burned, None, 60.0))


def test_conditions_are_those_of_the_initial_time(tmp_path):
    frames = [disc((9, 9), (4, 4), radius) for radius in (0.5, 1, 3)]
    slope = np.tile(np.arange(9.0), (9, 1))
    fires = small_fires({"a": frames, "b": frames[1:]}, wind=(3, 4), terrain={"slope_deg": slope}, cell_m=100)
    fires.weather[1] = np.nan
    stored = forecasts_of(tmp_path / "f.zarr", fires, lambda *_: np.zeros((9, 9)))
    found = conditions_of(stored, fires)
    assert list(found.index) == [("a", 0), ("a", 1), ("b", 0)]
    assert found.wind_m_s.tolist() == pytest.approx([5, np.nan, 5], nan_ok=True)
    assert found.size_ha.tolist() == [1, 5, 5]
    assert found.slope_deg.tolist() == pytest.approx([4, 4, 4])  # symmetric about the middle column
