"""Sums before calibration: those of the forecasts that a network would have made as it was trained."""

import numpy as np
import pytest
from scipy.special import expit, logit

from emberformer.calibration import Calibration
from emberformer.evaluate.pooling import fire_table, scores_as_trained, scores_of
from emberformer.evaluate.rows import reliability_rows
from emberformer.evaluate.verification import Selection, sums_of
from tests.evaluate.small_forecasts import forecasts_of, random_values
from tests.small_fires import disc, small_fires

SHAPE = (12, 15)
TEST = Selection("test", 1)
CALIBRATIONS = [Calibration(2, 2), Calibration(0.6, 0.6, 0.5), Calibration(0.7, 1.6, -0.8)]


@pytest.fixture(scope="module")
def fires():
    discs = [[disc(SHAPE, (6, 6), radius) for radius in radii] for radii in ((1, 2, 3.5, 4, 5), (0.5, 3, 4))]
    return small_fires({f"sequence_00{k}": frames for k, frames in enumerate(discs)})


def trained_values(*of):
    return np.clip(random_values(*of), 1e-5, 1 - 1e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, fires):
    return sums_of(forecasts_of(tmp_path_factory.mktemp("trained") / "f.zarr", fires, trained_values), fires)


def calibrated_store(path, fires, calibration: Calibration):
    """The same network's calibrated forecasts."""
    stored = forecasts_of(path, fires, lambda *of: expit(calibration.logits(logit(trained_values(*of).astype("f8")))))
    return stored.assign_attrs(calibration=calibration._asdict())


@pytest.mark.parametrize("calibration", CALIBRATIONS)
def test_scores_are_those_of_the_network_as_trained(tmp_path, fires, trained, calibration):
    found = sums_of(calibrated_store(tmp_path / "f.zarr", fires, calibration), fires)
    weights = np.array([[1.0, 1.0], [0.0, 2.0]])
    expected = scores_of(fire_table([trained], TEST), weights, "probability", None)
    after = scores_of(fire_table([found], TEST), weights, "probability", None)
    before = scores_as_trained(fire_table([found.as_trained], TEST), weights)
    assert {score.metric for score in before} == {"brier_as_trained", "nll_as_trained", "ece_as_trained"}
    for score, value in before.items():
        same = score._replace(metric=score.metric.removesuffix("_as_trained"))
        np.testing.assert_allclose(value, expected[same], rtol=1e-3)
        assert (abs(after[same] / expected[same] - 1) > 5e-4).all()


def test_rows_of_both_curves(tmp_path, fires, trained):
    found = sums_of(calibrated_store(tmp_path / "f.zarr", fires, CALIBRATIONS[-1]), fires)
    table, expected = (reliability_rows("m", {"small": sums}) for sums in (found, trained))
    assert set(expected.calibration) == {"as forecast"}  # that store names no calibration
    after, before = (table[table.calibration == name] for name in ("as forecast", "as trained"))
    assert len(after) == len(before) == len(expected) == 2 * 2 * 15  # one data set and all, two regions
    np.testing.assert_array_equal(before.n_pixels, expected.n_pixels)
    np.testing.assert_allclose(before.mean_forecast, expected.mean_forecast, rtol=1e-4)
    np.testing.assert_allclose(before.observed_frequency, expected.observed_frequency)
    assert (after.n_pixels.to_numpy() != before.n_pixels.to_numpy()).any()


def test_later_leads_and_scores_are_not_known(tmp_path, fires):
    one = calibrated_store(tmp_path / "f.zarr", fires, Calibration(2, 2))
    later = sums_of(one.assign_coords(lead=("lead", [2])), fires)
    assert len(later.about) == 4
    assert np.isnan(later.trained_errors).all()
    assert set(reliability_rows("m", {"small": later}).calibration) == {"as forecast"}
    assert np.isnan(sums_of(one.assign_attrs(score_kind="score"), fires).trained_reliability).all()


def test_a_certain_forecast_stays_certain(tmp_path, fires):
    """Float32 rounds a probability to 0 or 1, which no way back undoes."""
    stored = forecasts_of(tmp_path / "f.zarr", fires, lambda *_: np.eye(*SHAPE, dtype="f4"))
    expected = sums_of(stored, fires)
    for calibration in CALIBRATIONS:
        found = sums_of(stored.assign_attrs(calibration=calibration._asdict()), fires)
        np.testing.assert_allclose(found.trained_errors, expected.errors, atol=1e-6)
