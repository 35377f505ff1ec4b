"""Forecasts that an ensemble learns from: found by fire and step, and never another one in their place."""

import numpy as np
import pytest

from emberformer.errors import InputError
from emberformer.forecast_store import ForecastBlock, write_forecasts
from emberformer.prior_forecasts import PriorForecasts

TIMES = np.array(["2026-01-01T00:30", "2026-01-01T01:00"], "datetime64[s]")


@pytest.fixture
def store(tmp_path):
    values = np.linspace(0, 1, 3 * 2 * 4 * 5, dtype=np.float32).reshape(3, 2, 4, 5)
    values[:, 1] = np.maximum(values[:, 0], values[:, 1])
    values[1, :, 0, 0] = np.nan
    blocks = [
        ForecastBlock(fire, "train", step, TIMES[0], TIMES, values[n])
        for n, (fire, step) in enumerate([("b", 0), ("b", 1), ("a", 0)])
    ]
    write_forecasts(
        tmp_path / "prior.zarr", blocks, method="m", dataset="d", score_kind="probability", shape=(2, 4, 5),
        provenance={}, sees_target_wind=True,
    )  # fmt: skip
    return tmp_path / "prior.zarr", values


def test_a_forecast_is_found_by_fire_and_step(store):
    path, values = store
    prior = PriorForecasts(path, ["a", "b"], 2)
    assert np.array_equal(prior.of(0, 0), values[2])
    assert np.array_equal(prior.of(1, 0), values[0])
    assert np.array_equal(PriorForecasts(path, ["a", "b"], 1).of(1, 0), values[0, :1])
    unknown = prior.of(1, 1)
    assert (unknown[:, 0, 0] == 0).all()
    assert np.array_equal(unknown[:, 1:], values[1, :, 1:])


def test_what_is_not_there_is_refused(store, tmp_path):
    path, _ = store
    with pytest.raises(InputError, match="no forecast of a from step 1"):
        PriorForecasts(path, ["a", "b"], 2).of(0, 1)
    with pytest.raises(InputError, match="2 leads"):
        PriorForecasts(path, ["a", "b"], 3)
    with pytest.raises(InputError, match="emberformer ensemble prior"):
        PriorForecasts(tmp_path / "none.zarr", ["a"], 1)
