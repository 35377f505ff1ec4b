"""Scores: hand-worked numbers, agreement with scikit-learn, torchmetrics and `scores`, and laws."""

from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scores.categorical import BinaryContingencyManager
from scores.probability import brier_score
from sklearn import metrics
from sklearn.calibration import calibration_curve
from torchmetrics.functional.classification import binary_calibration_error

from emberformer.evaluate import scores

# 3 hits, 1 false alarm, 2 misses, 4 correct negatives at 0.5
FORECAST = np.array([0.9, 0.8, 0.5, 0.6, 0.4, 0.1, 0.2, 0.3, 0.0, 0.49])
OBSERVED = np.array([1, 1, 1, 0, 1, 1, 0, 0, 0, 0])
AT_THRESHOLD = [scores.precision, scores.recall, scores.f1, scores.iou]
WITHOUT_THRESHOLD = [
    scores.average_precision,
    scores.brier,
    scores.brier_skill,
    scores.negative_log_likelihood,
    scores.expected_calibration_error,
]


@st.composite
def pixels(draw):
    """Forecasts with many ties, and observations with at least one burned pixel."""
    n = draw(st.integers(1, 60))
    forecast = draw(arrays.arrays(np.float64, n, elements=st.sampled_from([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1])))
    observed = draw(arrays.arrays(np.uint8, n, elements=st.integers(0, 1)))
    assume(observed.any())
    return forecast, observed


def test_by_hand():
    assert scores.contingency(FORECAST, OBSERVED, 0.5) == (3, 1, 2)
    assert scores.precision(FORECAST, OBSERVED) == 3 / 4
    assert scores.recall(FORECAST, OBSERVED) == 3 / 5
    assert scores.frequency_bias(FORECAST, OBSERVED) == 4 / 5
    assert scores.f1(FORECAST, OBSERVED) == pytest.approx(2 / 3)
    assert scores.iou(FORECAST, OBSERVED) == 3 / 6
    # precision at each burned pixel, from the top: 1/1, 2/2, 3/4, 4/6, 5/9; the ninth has 0.1 below 0.2 and 0.3
    assert scores.average_precision(FORECAST, OBSERVED) == pytest.approx((1 + 1 + 3 / 4 + 4 / 6 + 5 / 9) / 5)
    assert scores.brier([0.9, 0.4], [1, 1]) == pytest.approx((0.01 + 0.36) / 2)
    # bins of 15: 0.9 and 0.95 in [13/15, 14/15) and [14/15, 1]; 0.02 and 0.03 together in [0, 1/15)
    expected = (abs(0.9 - 1) + abs(0.95 - 0) + abs(0.05 - 1)) / 4
    assert scores.expected_calibration_error([0.9, 0.95, 0.02, 0.03], [1, 0, 1, 0]) == pytest.approx(expected)


def test_likelihood_and_skill_by_hand():
    assert scores.negative_log_likelihood([0.9, 0.4], [1, 0]) == pytest.approx(-(np.log(0.9) + np.log(0.6)) / 2)
    assert scores.negative_log_likelihood([0, 1], [1, 0]) == pytest.approx(-np.log(1e-6))
    assert scores.brier_skill([0.5, 0.5, 1, 0], [1, 0, 1, 0]) == pytest.approx(1 - 0.125 / 0.25)
    assert scores.brier_skill(np.full(10, 0.5), OBSERVED) == 0
    assert np.isnan(scores.brier_skill([0.2, 0.3], [0, 0]))
    assert np.isnan(scores.brier_skill([0.2, 0.3], [1, 1]))


@settings(max_examples=25)
@given(pixels())
def test_probability_scores_agree_with_scores_and_scikit_learn(case):
    forecast, observed = case
    reference = float(xr.DataArray(brier_score(xr.DataArray(forecast), xr.DataArray(observed.astype(float)))))
    assert scores.brier(forecast, observed) == pytest.approx(reference, abs=1e-6)
    climatology = metrics.brier_score_loss(observed, np.full(len(observed), observed.mean()), labels=[0, 1])
    if climatology:
        assert scores.brier_skill(forecast, observed) == pytest.approx(1 - reference / climatology, abs=1e-6)
    clipped = np.clip(forecast, 1e-6, 1 - 1e-6)
    likelihood = metrics.log_loss(observed, clipped, labels=[0, 1])
    assert scores.negative_log_likelihood(forecast, observed) == pytest.approx(likelihood, abs=1e-6)
    table = BinaryContingencyManager(xr.DataArray(forecast >= 0.5), xr.DataArray(observed))
    assert scores.frequency_bias(forecast, observed) == pytest.approx(float(table.frequency_bias()), abs=1e-6)


def test_a_constant_forecast_scores_the_prevalence():
    assert scores.average_precision(np.full(10, 0.3), OBSERVED) == 0.5


def test_undefined_is_nan_never_zero_or_one():
    none_burned = np.zeros(3)
    assert np.isnan(scores.average_precision([0.1, 0.2, 0.3], none_burned))
    assert np.isnan(scores.recall([0.9, 0.2, 0.3], none_burned))
    assert np.isnan(scores.frequency_bias([0.9, 0.2, 0.3], none_burned))
    assert np.isnan(scores.precision([0.1, 0.2, 0.3], [1, 0, 1]))
    assert np.isnan(scores.f1([0.1, 0.2, 0.3], none_burned))
    assert np.isnan(scores.iou([0.1, 0.2, 0.3], none_burned))
    assert scores.f1([0.1, 0.2, 0.3], [1, 0, 1]) == 0  # defined: all missed
    for score in (*AT_THRESHOLD, *WITHOUT_THRESHOLD):
        assert np.isnan(score([], []))


@given(pixels())
def test_agrees_with_scikit_learn(case):
    forecast, observed = case
    assert scores.average_precision(forecast, observed) == pytest.approx(
        metrics.average_precision_score(observed, forecast)
    )
    assert scores.brier(forecast, observed) == pytest.approx(np.mean((forecast - observed) ** 2))
    burned = forecast >= 0.5
    undefined: Any = np.nan
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        observed, burned, average="binary", zero_division=undefined
    )
    assert scores.precision(forecast, observed) == pytest.approx(precision, nan_ok=True)
    assert scores.recall(forecast, observed) == pytest.approx(recall)
    assert scores.f1(forecast, observed) == pytest.approx(f1)
    assert scores.iou(forecast, observed) == pytest.approx(metrics.jaccard_score(observed, burned))


def test_calibration_agrees_with_torchmetrics():
    rng = np.random.default_rng(0)
    forecast = rng.beta(0.5, 2, 5000)
    observed = rng.random(5000) < forecast**1.5
    reference = binary_calibration_error(torch.from_numpy(forecast), torch.from_numpy(observed.astype(int)), n_bins=15)
    assert scores.expected_calibration_error(forecast, observed) == pytest.approx(float(reference), abs=1e-6)


def test_reliability_is_the_calibration_curve_of_scikit_learn():
    rng = np.random.default_rng(2)
    forecast = rng.beta(0.5, 2, 3000)
    observed = (rng.random(3000) < forecast**1.5).astype(int)
    count, forecast_sum, observed_sum = scores.reliability(forecast, observed, 15)
    frequency, mean = calibration_curve(observed, forecast, n_bins=15)
    np.testing.assert_allclose(forecast_sum[count > 0] / count[count > 0], mean, atol=1e-6)
    np.testing.assert_allclose(observed_sum[count > 0] / count[count > 0], frequency, atol=1e-6)


@given(pixels())
def test_unknown_pixels_change_nothing(case):
    forecast, observed = case
    more_forecast = np.concatenate([forecast, [0.7, np.nan, np.nan]])
    more_observed = np.concatenate([observed, [255, 1, 0]]).astype(np.uint8)
    for score in (*AT_THRESHOLD, *WITHOUT_THRESHOLD):
        np.testing.assert_equal(score(more_forecast, more_observed), score(forecast, observed))


@given(pixels(), st.randoms())
def test_order_of_pixels_and_monotone_scale_change_nothing(case, random):
    forecast, observed = case
    order = np.array(random.sample(range(len(forecast)), len(forecast)))
    whole = scores.average_precision(forecast, observed)
    assert scores.average_precision(forecast[order], observed[order]) == pytest.approx(whole)
    assert scores.average_precision(np.log1p(forecast) * 3 - 7, observed) == pytest.approx(whole)


@given(pixels())
def test_iou_follows_from_f1(case):
    f1, iou = scores.f1(*case), scores.iou(*case)
    assert iou == pytest.approx(f1 / (2 - f1))
    assert 0 <= iou <= f1 <= 1


def test_counts_of_many_pools_at_once():
    counts = np.array([[[4, 1, 0], [1, 1, 2]], [[0, 0, 0], [0, 0, 0]]])  # [pool, observed, bin]
    np.testing.assert_allclose(
        scores.average_precision_of_counts(counts), [(2 / 4) * 1 + (1 / 4) * 3 / 4 + (1 / 4) * 4 / 9, np.nan]
    )
    hits, false_alarms, misses = scores.contingency_of_counts(counts[0])
    assert (hits.tolist(), false_alarms.tolist(), misses.tolist()) == ([4, 3, 2], [5, 1, 0], [0, 1, 2])


def test_different_shapes_are_an_error():
    with pytest.raises(ValueError, match="one shape"):
        scores.brier([0.1, 0.2], [1])


def test_counts_of_a_stack_are_scored_one_by_one():
    counts = np.array([[[5, 2, 1], [1, 0, 3]], [[4, 4, 0], [2, 2, 0]]])  # pool, outcome, bin
    sums = np.array([[2.0, 1.0], [0.5, 3.5]])
    for pool in (0, 1):
        alone = scores.average_precision_of_counts(counts[pool])
        np.testing.assert_allclose(scores.average_precision_of_counts(counts)[pool], alone)
        for all_pools, one in zip(*map(scores.contingency_of_counts, (counts, counts[pool])), strict=True):
            np.testing.assert_array_equal(all_pools[pool], one)
    of_pools = scores.calibration_error_of_counts(np.array([[2, 4], [3, 1]]), sums, np.array([[1, 1], [0, 3]]))
    np.testing.assert_allclose(of_pools, [1 / 6, 1 / 4])


def test_bins_of_reliability_are_all_there_and_the_last_one_is_closed():
    count, forecast, observed = scores.reliability(np.array([0.05, 1.0]), np.array([0.0, 1.0]))
    assert len(count) == len(forecast) == len(observed) == 15
    assert (count[0], count[-1]) == (1, 1)
    assert len(scores.reliability(np.array([0.05]), np.array([0.0]), 4)[0]) == 4
    # two bins: 0.2 and 0.4 together, where half burned; four bins: apart
    assert scores.expected_calibration_error([0.2, 0.4], [0, 1], bins=2) == pytest.approx(0.2)
    assert scores.expected_calibration_error([0.2, 0.4], [0, 1], bins=4) == pytest.approx((0.2 + 0.6) / 2)


def test_numbers_of_single_precision_are_scored_in_double():
    forecast = np.array([0.1, 0.7], np.float32)
    exact = (float(forecast[0]) ** 2 + (1 - float(forecast[1])) ** 2) / 2
    assert scores.brier(forecast, [0, 1]) == pytest.approx(exact, rel=1e-12)
    shares = scores.ratio(np.float32(1), np.array([3, 0], np.float32))
    assert shares.dtype == np.float64
    np.testing.assert_allclose(shares, [1 / 3, np.nan], rtol=1e-12)


def test_a_sure_forecast_that_was_right_costs_next_to_nothing():
    assert scores.negative_log_likelihood([1.0], [1]) == pytest.approx(1e-6, rel=1e-3)
