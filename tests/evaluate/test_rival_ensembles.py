"""Rival ensembles: marginals, monotone masks, what burns together, the fit of the correlation, stores."""

import numpy as np
import pytest

from emberformer.arrival_leads import NEVER, UNKNOWN, burn_probability
from emberformer.errors import InputError
from emberformer.evaluate.correlation_fit import fit_correlation
from emberformer.evaluate.rival_ensembles import (
    bernoulli_levels,
    correlated_levels,
    members_of,
    threshold_levels,
    write_rival,
)
from emberformer.evaluate.scored_part import ScoredPart
from emberformer.forecast_store import ForecastBlock, open_forecasts, write_forecasts
from emberformer.member_store import open_members
from tests.small_fires import small_fires

NOT_BURNED = np.zeros((3, 4), np.uint8)
# leads of pixels in a row: certain, never, rising, falling
P = np.array([[1, 0, 0.2, 0.6], [1, 0, 0.7, 0.3]], np.float32)[:, None, :]
ALL_LEVELS = {
    "bernoulli": bernoulli_levels(),
    "correlated": correlated_levels(0.4),
    "level sets": correlated_levels(1),
}


@pytest.mark.parametrize("levels", ALL_LEVELS.values(), ids=ALL_LEVELS)
def test_marginals_are_the_highest_probability_so_far(levels):
    rng = np.random.default_rng(0)
    found = members_of(P, NOT_BURNED[:1], levels((20_000, 1, 4), rng))
    np.testing.assert_allclose(burn_probability(found, 2)[:, 0], [[1, 0, 0.2, 0.6], [1, 0, 0.7, 0.6]], atol=0.012)
    assert (found[:, 0, 0] == 1).all()
    assert (found[:, 0, 1] == NEVER).all()


def test_thresholded_members_by_hand():
    found = members_of(P, NOT_BURNED[:1], threshold_levels(0.6)((2, 1, 4), np.random.default_rng(0)))
    assert found[:, 0].tolist() == [[1, NEVER, 2, 1]] * 2


def test_burned_and_unknown_pixels():
    probability = np.array([[[1, np.nan, 0.5, np.nan]]], np.float32)
    burned = np.array([[1, 0, 255, 1]], np.uint8)
    found = members_of(probability, burned, np.full((1, 1, 4), 0.1, np.float32))
    assert found[0, 0].tolist() == [0, UNKNOWN, UNKNOWN, 0]


def test_correlation_is_what_pixels_share():
    """The variance of an area of n pixels of one half is n / 4 if they are independent, and n^2 / 4 if they are one."""
    n, half = 400, np.full((1, 20, 20), 0.5, np.float32)
    rng, burned = np.random.default_rng(0), np.zeros((20, 20), np.uint8)

    def variance(rho: float) -> float:
        members = members_of(half, burned, correlated_levels(rho)((3000, 20, 20), rng))
        return float((members == 1).sum((1, 2)).var())

    assert variance(0) == pytest.approx(n / 4, rel=0.1)
    assert variance(1) == pytest.approx(n**2 / 4, rel=0.02)
    # P(both burn) of two pixels of one half is 1/4 + asin(rho) / (2 pi) (Sheppard)
    assert variance(0.5) == pytest.approx(n / 4 + n * (n - 1) * np.arcsin(0.5) / (2 * np.pi), rel=0.1)


def test_members_of_rho_one_are_nested():
    p = np.random.default_rng(1).random((1, 3, 4)).astype(np.float32)
    found = members_of(p, NOT_BURNED, correlated_levels(1)((9, 3, 4), np.random.default_rng(2))) == 1
    by_size = found[np.argsort(found.sum((1, 2)))]
    assert (by_size[:-1] <= by_size[1:]).all()


def test_a_correlation_is_from_0_to_1():
    with pytest.raises(InputError, match="0 to 1"):
        correlated_levels(1.5)


def stores(path, truth: np.ndarray, probability: np.ndarray, method: str = "m"):
    """Forecasts of one lead from the empty first frame of each fire; half of the fires are validation fires."""
    fires = small_fires({f"fire_{k:03d}": [np.zeros_like(frame), frame] for k, frame in enumerate(truth)})
    start = np.datetime64("2023-01-01", "s")
    blocks = [
        ForecastBlock(f"fire_{k:03d}", split, 0, start, start + np.array([1800]), probability)
        for k, split in enumerate(["validation", "test"] * (len(truth) // 2))
    ]
    write_forecasts(path, blocks, method=method, dataset="small", score_kind="probability", shape=probability.shape,
                    provenance={}, sees_target_wind=False)  # fmt: skip
    return open_forecasts(path), fires


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_the_fit_finds_the_correlation_that_made_the_truth(tmp_path, rho):
    half = np.full((1, 10, 10), 0.5, np.float32)
    drawn = correlated_levels(rho)((240, 10, 10), np.random.default_rng(3))
    truth = (members_of(half, np.zeros((10, 10), np.uint8), drawn) == 1).astype(np.uint8)
    fit = fit_correlation([stores(tmp_path / "f.zarr", truth, half)], members=16, seed=0, most=200)
    assert fit.rho == pytest.approx(rho, abs=0.15)
    assert fit.tried[fit.rho] == min(fit.tried.values())


def test_the_fit_scores_what_it_says(tmp_path):
    """At rho = 0 and p = 1 every member is the whole raster: the CRPS is the area that did not burn."""
    truth = np.zeros((2, 4, 5), np.uint8)
    truth[:, 0] = 1
    pair = stores(tmp_path / "f.zarr", truth, np.ones((1, 4, 5), np.float32))
    fit = fit_correlation([pair], members=3, seed=0, correlations=(0.0,))
    assert fit == (0.0, {0.0: pytest.approx(15 * 900 / 1e4)})


def test_the_fit_is_on_the_crop_that_is_scored(tmp_path):
    """33 rows and columns: of them 32, which the ground that burns outside decides nothing of."""
    truth = np.zeros((8, 33, 33), np.uint8)
    truth[:, 8:20, 8:20] = 1
    part = ScoredPart("multiple_of_32")
    fits = []
    for outside in (0, 1):
        truth[:, 32:] = outside
        pair = stores(tmp_path / f"{outside}.zarr", truth, np.full((1, 33, 33), 0.2, np.float32))
        fits.append(fit_correlation([pair], members=8, seed=0, part=part))
    assert fits[0] == fits[1]
    assert fits[1] != fit_correlation([pair], members=8, seed=0)


def test_no_validation_forecast_is_named(tmp_path):
    forecasts, fires = stores(tmp_path / "f.zarr", np.zeros((2, 4, 5), np.uint8), np.ones((1, 4, 5), np.float32))
    with pytest.raises(InputError, match="validation"):
        fit_correlation([(forecasts.isel(forecast=[1]), fires)], 2, 0)


def test_stores_of_rivals_hold_the_test_fires_and_can_be_repeated(tmp_path):
    truth = np.zeros((4, 4, 5), np.uint8)
    forecasts, fires = stores(tmp_path / "f.zarr", truth, np.full((1, 4, 5), 0.5, np.float32))
    for name in ("a", "b"):
        write_rival(tmp_path / name, [forecasts], fires, bernoulli_levels(), method="bernoulli", members=6, seed=1,
                    provenance={"threshold": 0.5})  # fmt: skip
    stored, again = (open_members(tmp_path / name) for name in ("a", "b"))
    assert stored.fire_id.values.tolist() == ["fire_001", "fire_003"]
    np.testing.assert_array_equal(stored.arrival_lead, again.arrival_lead)
    assert (stored.arrival_lead[0].values != stored.arrival_lead[1].values).any()
    assert stored.attrs["provenance"] == {"of": ["m"], "seed": 1, "threshold": 0.5}


def test_several_methods_give_their_own_members(tmp_path):
    truth = np.zeros((2, 4, 5), np.uint8)
    low, fires = stores(tmp_path / "a.zarr", truth, np.full((1, 4, 5), 0.2, np.float32), "a")
    high, _ = stores(tmp_path / "b.zarr", truth, np.full((1, 4, 5), 0.8, np.float32), "b")
    write_rival(tmp_path / "m.zarr", [low, high], fires, threshold_levels(0.5), method="seeds", members=1, seed=0,
                provenance={})  # fmt: skip
    members = open_members(tmp_path / "m.zarr").arrival_lead[0].values
    assert (members[0] == NEVER).all()
    assert (members[1] == 1).all()
    other = [low, high.isel(forecast=[0])]
    with pytest.raises(InputError, match="other initial frames"):
        write_rival(tmp_path / "n", other, fires, bernoulli_levels(), method="m", members=1, seed=0, provenance={})
    going_out = fires.assign_attrs(fire_kind="active")
    with pytest.raises(InputError, match="go out"):
        write_rival(tmp_path / "n", [low], going_out, bernoulli_levels(), method="m", members=1, seed=0, provenance={})


def test_a_lead_without_a_frame_burns_nothing_and_hides_nothing():
    probability = np.full((3, 2, 2), np.nan, np.float32)
    probability[0] = [[0.9, 0.1], [0.9, np.nan]]
    burned = np.array([[0, 0], [1, 0]], np.uint8)
    found = members_of(probability, burned, np.full((1, 2, 2), 0.5, np.float32))
    assert found[0].tolist() == [[1, NEVER], [0, UNKNOWN]]
    nothing_known = members_of(probability[1:], burned, np.full((1, 2, 2), 0.5, np.float32))
    assert nothing_known[0].tolist() == [[UNKNOWN, UNKNOWN], [0, UNKNOWN]]
