"""Scores of ensembles: hand-worked numbers, the formulas against the library, and laws of exchangeable members."""

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emberformer.arrival_leads import NEVER
from emberformer.evaluate import ensemble_scores as es
from emberformer.evaluate.scores import brier

numbers = st.floats(-100, 100, width=32)


@st.composite
def ensembles(draw, least: int = 2):
    members = draw(st.integers(least, 7))
    return draw(arrays.arrays(float, (3, members), elements=numbers)), draw(arrays.arrays(float, 3, elements=numbers))


def test_areas_by_hand():
    arrival_lead = np.array([[[0, 1, 2]], [[0, 2, NEVER]]], np.uint8)
    not_burned = np.array([[[False, True, True]]] * 2)
    # pixels of 100 m are a hectare
    np.testing.assert_array_equal(es.newly_burned_ha(arrival_lead, not_burned, [1, 2], 100), [[1, 2], [0, 1]])
    not_burned[1, 0, 1] = False  # not known at lead 2
    np.testing.assert_array_equal(es.newly_burned_ha(arrival_lead, not_burned, [1, 2], 200), [[4, 4], [0, 0]])


def test_crps_by_hand():
    members, observed = np.array([0.0, 3.0, 6.0]), np.array(2.0)
    # |0-2| + |3-2| + |6-2| = 7; over pairs |0-3| + |0-6| + |3-6| = 12, each twice
    assert es.crps(members, observed) == pytest.approx(7 / 3 - 24 / (2 * 9))
    assert es.fair_crps(members, observed) == pytest.approx(7 / 3 - 24 / (2 * 6))


@given(ensembles())
def test_formulas_agree_with_the_library(case):
    members, observed = case
    m = members.shape[-1]
    error = np.abs(members - observed[:, None]).mean(-1)
    apart = np.abs(members[:, :, None] - members[:, None]).sum((-2, -1))
    np.testing.assert_allclose(es.crps(members, observed), error - apart / (2 * m**2), atol=1e-9)
    np.testing.assert_allclose(es.fair_crps(members, observed), error - apart / (2 * m * (m - 1)), atol=1e-9)
    quantiles = np.asarray(scoringrules.crps_ensemble(observed, members, estimator="qd", backend="numpy"))
    np.testing.assert_allclose(es.crps(members, observed), quantiles, atol=1e-9)
    np.testing.assert_allclose(
        es.energy_score(members[..., None], observed[:, None]), es.fair_crps(members, observed), atol=1e-9
    )


def test_crps_is_the_integral_of_squared_distribution_errors():
    members, observed = np.array([1.0, 2.0, 2.5, 7.0]), np.array(3.0)
    fine = np.linspace(0, 8, 80001)
    distribution = (members[:, None] <= fine).mean(0)
    integral = np.square(distribution - (fine >= observed)).sum() * (fine[1] - fine[0])
    assert es.crps(members, observed) == pytest.approx(integral, abs=1e-3)


def test_energy_score_by_hand():
    members, observed = np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([3.0, 0.0])
    assert es.energy_score(members, observed) == pytest.approx((3 + 4) / 2 - 2 * 5 / (2 * 2))


def test_one_member_is_scored_by_its_error_and_has_no_spread():
    one, observed = np.array([4.0]), np.array(1.0)
    assert es.crps(one, observed) == 3
    assert np.isnan(
        [es.fair_crps(one, observed), es.variance(one), es.energy_score(one[:, None], observed[None])]
    ).all()
    assert np.isnan(es.fair_brier_terms(np.array([1]), 1, np.array([1]))).all()


def test_fair_brier_by_hand_and_against_brier():
    burned, observed = np.array([1, 0, 3]), np.array([1, 0, 0])
    terms = es.fair_brier_terms(burned, 3, observed)
    np.testing.assert_allclose(terms, [4 / 9 - (1 / 3) * (2 / 3) / 2, 0, 1])
    correction = (burned / 3 * (1 - burned / 3) / 2).mean()
    assert terms.mean() == pytest.approx(brier(burned / 3, observed) - correction)


@given(st.floats(0, 1), st.integers(2, 8))
def test_fair_scores_do_not_depend_on_the_number_of_members(p, members):
    """The mean over all outcomes of M members that burn with probability p is p (1 - p) for an event like them."""
    burned = np.arange(members + 1)
    chance = np.array([float(c) for c in _binomial(members)]) * p**burned * (1 - p) ** (members - burned)
    fair = [(es.fair_brier_terms(burned, members, np.full(members + 1, o)) * chance).sum() for o in (0, 1)]
    assert (1 - p) * fair[0] + p * fair[1] == pytest.approx(p * (1 - p), abs=1e-9)
    plain = [(np.square(burned / members - o) * chance).sum() for o in (0, 1)]
    assert (1 - p) * plain[0] + p * plain[1] == pytest.approx(p * (1 - p) * (1 + 1 / members), abs=1e-9)


def test_ranks_of_exchangeable_members_are_uniform_even_where_most_are_tied():
    rng = np.random.default_rng(0)
    drawn = rng.poisson(0.7, (20_000, 5)).astype(float)  # half of them are 0
    ranks = es.rank_of_observed(drawn[:, 1:], drawn[:, 0], rng)
    histogram = es.rank_histogram(ranks, 4)
    np.testing.assert_allclose(histogram / 20_000, 0.2, atol=0.01)
    interval = es.central_interval(4)
    assert interval == (1, 3 / 5)
    assert es.covered(ranks, 4, interval).mean() == pytest.approx(interval.nominal, abs=0.012)


def test_ranks_by_hand():
    rng = np.random.default_rng(0)
    members = np.array([[1.0, 2.0, 3.0]] * 3)
    assert es.rank_of_observed(members, np.array([0.5, 2.5, 9.0]), rng).tolist() == [0, 2, 3]
    tied = {int(es.rank_of_observed(np.array([1.0, 2.0, 2.0]), np.array(2.0), rng)) for _ in range(50)}
    assert tied == {1, 2, 3}


@pytest.mark.parametrize(("members", "place", "nominal"), [(1, 1, 0), (2, 1, 1 / 3), (19, 1, 0.9), (99, 5, 0.9)])
def test_the_interval_of_some_numbers_of_members(members, place, nominal):
    assert es.central_interval(members) == (place, pytest.approx(nominal))


def test_spread_matches_skill_of_exchangeable_members():
    rng = np.random.default_rng(1)
    members, cases = 4, 40_000
    centre = rng.normal(0, 5, (cases, 1))
    drawn = centre + rng.normal(0, 2, (cases, members + 1))
    ensemble, observed = drawn[:, 1:], drawn[:, 0]
    squared_error = np.square(ensemble.mean(1) - observed).mean()
    found = es.spread_skill(es.variance(ensemble).mean(), squared_error, members)
    assert found == pytest.approx(1, abs=0.01)
    assert es.spread(np.array(4.0), 4) == pytest.approx(np.sqrt(5))


def _binomial(n: int) -> np.ndarray:
    row = np.array([1])
    for _ in range(n):
        row = np.convolve(row, [1, 1])
    return row
