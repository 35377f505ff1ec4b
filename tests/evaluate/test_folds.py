"""Pooled scores of a fold against scikit-learn, and against the scores of all pixels at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, precision_score, recall_score

from emberformer.evaluate import scores
from emberformer.evaluate.folds import over_folds, pooled_scores


def _samples(seed, count=4, levels=20):
    """Maps of different sizes whose forecasts are often tied."""
    draw = np.random.default_rng(seed)
    for _ in range(count):
        shape = tuple(draw.integers(2, 9, 2))
        observed = (draw.random(shape) < 0.3).astype("uint8")
        forecast = np.clip((draw.integers(0, levels, shape) / levels + 0.3 * observed), 0, 1).astype("float32")
        yield forecast, observed


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([2, 20, 1000]))
def test_pooled_scores_are_those_of_all_pixels(seed, levels):
    samples = list(_samples(seed, levels=levels))
    forecast, observed = (np.concatenate([sample[k].ravel() for sample in samples]) for k in (0, 1))
    found = pooled_scores(samples)
    if not observed.any():
        assert np.isnan(found.average_precision)
        return
    assert found.average_precision == pytest.approx(average_precision_score(observed, forecast))
    assert found.average_precision == pytest.approx(scores.average_precision(forecast, observed))
    above = forecast > 0.5
    if above.any():
        assert found.precision == pytest.approx(precision_score(observed, above))
    assert found.recall == pytest.approx(recall_score(observed, above))
    assert found.f1 == pytest.approx(f1_score(observed, above))
    assert found.iou == pytest.approx(jaccard_score(observed, above))
    assert found.prevalence == pytest.approx(observed.mean())


def test_pooled_is_not_the_mean_over_samples():
    """A perfect sample of one burned pixel does not weigh as much as one of four that is wrong."""
    samples = [
        (np.array([0.9, 0.1]), np.array([1, 0])),
        (np.array([0.2, 0.2, 0.2, 0.2, 0.8]), np.array([1, 1, 1, 1, 0])),
    ]
    assert pooled_scores(samples).average_precision == pytest.approx((1 / 5) * 1 + (4 / 5) * (5 / 6))


def test_unknown_pixels_do_not_count():
    samples = [(np.array([0.9, 0.8, np.nan, 0.3]), np.array([1, 255, 1, 0]))]
    found = pooled_scores(samples)
    assert (found.average_precision, found.prevalence) == (1, 0.5)


def test_threshold_itself_is_no_fire():
    assert pooled_scores([(np.array([0.5, 0.6]), np.array([1, 1]))]).recall == 0.5


def test_no_pixels():
    assert np.isnan(pooled_scores([])).all()


def test_forecast_of_another_shape():
    with pytest.raises(ValueError, match=r"\(2,\) and observed \(3,\)"):
        pooled_scores([(np.zeros(2), np.zeros(3))])


def test_mean_and_spread_over_folds_by_hand():
    assert over_folds([0.30, 0.34, 0.38]) == pytest.approx((0.34, 0.04))
