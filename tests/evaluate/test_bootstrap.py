"""Resamples of fires and percentile intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from emberformer.evaluate.bootstrap import fire_weights, percentile_interval
from emberformer.evaluate.rows import Group
from emberformer.evaluate.strata import EDGES
from emberformer.evaluate.tables import _groups
from emberformer.evaluate.verification import ForecastSums
from emberformer.settings import EvaluationSettings


def test_first_pool_is_the_sample_and_every_pool_has_as_many_fires():
    weights = fire_weights(7, 200, seed=3)
    assert weights.shape == (201, 7)
    assert (weights[0] == 1).all()
    assert (weights.sum(1) == 7).all()
    assert weights[1:].var() == pytest.approx(1 - 1 / 7, rel=0.1)  # of a multinomial draw: n p (1 - p)


def test_same_seed_same_resamples():
    np.testing.assert_array_equal(fire_weights(7, 50, 3), fire_weights(7, 50, 3))
    assert (fire_weights(7, 50, 3) != fire_weights(7, 50, 4)).any()
    assert (fire_weights(7, 50, (3, 0)) != fire_weights(7, 50, (3, 1))).any()  # two data sets of one size


def test_fires_of_two_splits_are_drawn_apart():
    """As many fires of validation as of test: the difference of the two has no covariance."""
    rows = [(f"{split}-{k}", split, 1, 1) for split in ("validation", "test") for k in range(6)]
    about = pd.DataFrame(rows, columns=["fire_id", "split", "lead", "history"]).assign(
        **dict.fromkeys(EDGES, "unknown")
    )
    split_of, none = dict(zip(about.fire_id, about.split, strict=True)), np.empty(0)
    sums = ForecastSums(
        "m", "hills", "score", split_of, about, csr_array((0, 0)), none, none, none, none, none, 1, None
    )
    of = {group: weights for group, _, weights in _groups({"hills": sums}, EvaluationSettings(replicates=100))}
    validation, test = (of[Group("hills", split, 1, "all")] for split in ("validation", "test"))
    assert validation.shape == test.shape == (101, 6)
    assert (validation[1:] != test[1:]).any(1).mean() > 0.9
    np.testing.assert_array_equal(test, fire_weights(6, 100, (EvaluationSettings().seed, 0)))


def test_no_fires():
    assert fire_weights(0, 10, 0).shape == (11, 0)


def test_interval_by_hand():
    scores = np.array([50.0, *range(101)])  # replicates 0 to 100: 2.5 % and 97.5 % are 2.5 and 97.5
    assert percentile_interval(scores) == pytest.approx((2.5, 97.5))
    assert percentile_interval(scores, level=0.5) == pytest.approx((25, 75))


def test_undefined_replicates_are_left_out():
    assert percentile_interval(np.array([1.0, np.nan, 2.0, 2.0])) == (2, 2)
    assert np.isnan(percentile_interval(np.array([1.0, np.nan]))).all()


def test_interval_of_a_mean_covers_its_expectation():
    """The bootstrap error of a mean of n fires is sd / sqrt(n)."""
    values = np.random.default_rng(0).normal(size=400)
    low, high = percentile_interval(fire_weights(400, 2000, 0) @ values / 400)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


@pytest.mark.parametrize("undefined", [0.0, 0.3])
def test_interval_is_the_quantiles_of_numpy(undefined):
    rng = np.random.default_rng(1)
    scores = np.where(rng.random(1001) < undefined, np.nan, rng.gamma(2, size=1001))
    assert percentile_interval(scores) == pytest.approx(np.nanquantile(scores[1:], [0.025, 0.975]), abs=1e-12)
