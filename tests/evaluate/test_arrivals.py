"""Arrival-time errors: by hand, and by a loop over pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emberformer.evaluate.arrivals import arrival_scores_of, arrival_sums
from emberformer.evaluate.pooling import Score


def test_by_hand():
    #                   late  early  exact  never  not observed  unknown or burned before
    observed = np.array([[0, 0, 1, 1, 0, 1], [1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 0, 1]], bool)[:, None]
    forecast = np.array([[0, 1, 1, 0, 1, 1], [0, 1, 0, 0, 1, 1], [1, 1, 1, 0, 1, 1]], bool)[:, None]
    open_to_fire = np.array([[1, 1, 1, 1, 1, 0]], bool)
    sums = arrival_sums(forecast, observed, open_to_fire, [1, 2, 3], 30)
    # lead 3 for 2; lead 1 for 3; lead 1 for 1 (burned ground stays burned); never counts as lead 4 for 1
    assert sums.tolist() == [4, 30 + 60 + 0 + 90, 30 - 60 + 0 + 90, 1]
    scores = arrival_scores_of(np.stack([sums, np.zeros(4)]), np.array([[1.0, 1.0], [0.0, 2.0]]))
    assert scores[Score("new", "validation", "arrival_mae_min")] == pytest.approx([45, np.nan], nan_ok=True)
    assert scores[Score("new", "validation", "arrival_bias_min")][0] == 15
    assert scores[Score("new", "validation", "arrival_missed")][0] == 0.25


def test_nothing_burned_and_one_lead_give_no_score():
    sums = arrival_sums(np.ones((2, 3, 3), bool), np.zeros((2, 3, 3), bool), np.ones((3, 3), bool), [1, 2], 30)
    assert not sums.any()
    assert arrival_scores_of(np.zeros((4, 4)), np.ones((1, 4))) == {}


@settings(max_examples=25)
@given(st.integers(0, 2**31))
def test_agrees_with_a_loop_over_pixels(seed):
    rng = np.random.default_rng(seed)
    observed = np.maximum.accumulate(rng.random((4, 5, 6)) < 0.3)
    forecast, open_to_fire, leads = rng.random((4, 5, 6)) < 0.3, rng.random((5, 6)) < 0.8, [1, 2, 3, 6]
    errors, never = [], 0
    for y, x in np.argwhere(open_to_fire & observed.any(0)):
        arrived = [lead for lead, burns in zip(leads, forecast[:, y, x], strict=True) if burns]
        never += not arrived
        truth = min(lead for lead, burns in zip(leads, observed[:, y, x], strict=True) if burns)
        errors.append(10 * ((arrived or [7])[0] - truth))
    expected = [len(errors), sum(map(abs, errors)), sum(errors), never]
    assert arrival_sums(forecast, observed, open_to_fire, leads, 10).tolist() == pytest.approx(expected)
