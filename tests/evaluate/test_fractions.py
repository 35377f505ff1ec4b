"""Fractions skill score: by hand, against `scores`, at the edge of the raster, and from sums."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scores.spatial import fss_2d_binary

from emberformer.evaluate.fractions import WINDOWS, fraction_scores_of, fraction_sums, fractions_skill_score
from emberformer.evaluate.pooling import Score
from emberformer.evaluate.scores import f1
from tests.small_fires import random_region

seeds = st.integers(0, 2**31)


def test_neighbours_by_hand():
    forecast, observed = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
    forecast[2, 1] = observed[2, 2] = True
    assert fractions_skill_score(forecast, observed, 1) == 0
    # two windows of 3 x 3 share 6 of their 9 positions: 6 positions differ of 18
    assert fractions_skill_score(forecast, observed, 3) == pytest.approx(1 - 6 / 18)


def test_empty_and_full():
    empty, full = np.zeros((6, 7), bool), np.ones((6, 7), bool)
    assert np.isnan(fractions_skill_score(empty, empty, 3))
    assert fractions_skill_score(full, full, 5) == 1
    assert fractions_skill_score(empty, full, 5) == 0
    none = fraction_scores_of(fraction_sums(empty, empty, empty)[None], np.ones((1, 1)))
    assert np.isnan(list(none.values())).all()
    nothing_new = fraction_scores_of(fraction_sums(full, full, full)[None], np.ones((1, 1)))
    assert np.isnan(nothing_new[Score("new", "validation", "fss_3px")]).all()
    assert nothing_new[Score("whole", "validation", "fss_3px")] == [1]


@settings(max_examples=25)
@given(seeds, seeds)
def test_agrees_with_scores(first, second):
    """In a field of zeros so wide that every window with a burned pixel lies inside, however borders are treated."""
    forecast, observed = (np.pad(random_region(seed), WINDOWS[-1] + 1) for seed in (first, second))
    for window in WINDOWS:
        arrays = (xr.DataArray(field, dims=("y", "x")) for field in (forecast, observed))
        expected = fss_2d_binary(*arrays, window_size=(window, window), spatial_dims=("y", "x"), check_boolean=False)
        assert fractions_skill_score(forecast, observed, window) == pytest.approx(float(expected), abs=1e-6)


@settings(max_examples=10)
@given(seeds, seeds, st.sampled_from(WINDOWS))
def test_every_pixel_is_the_centre_of_a_window_and_nothing_burns_beyond_the_raster(first, second, window):
    forecast, observed = random_region(first), random_region(second)
    half = window // 2
    shares = [
        np.array([[field[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1].sum() / window**2
                   for x in range(field.shape[1])] for y in range(field.shape[0])])
        for field in (forecast, observed)
    ]  # fmt: skip
    expected = 1 - np.square(shares[0] - shares[1]).sum() / (np.square(shares[0]).sum() + np.square(shares[1]).sum())
    assert fractions_skill_score(forecast, observed, window) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=15)
@given(seeds, seeds, seeds)
def test_sums_are_those_of_new_fire_and_of_all(first, second, third):
    burned = random_region(third)
    forecast, observed = random_region(first) | burned, random_region(second) | burned
    found = fraction_scores_of(fraction_sums(forecast, observed, burned)[None], np.ones((1, 1)))
    for window in WINDOWS:
        whole = fractions_skill_score(forecast, observed, window)
        new = fractions_skill_score(forecast & ~burned, observed & ~burned, window)
        assert found[Score("whole", "validation", f"fss_{window}px")][0] == pytest.approx(whole, nan_ok=True)
        assert found[Score("new", "validation", f"fss_{window}px")][0] == pytest.approx(new, nan_ok=True)
    assert fractions_skill_score(forecast, observed, 1) == pytest.approx(f1(forecast.ravel(), observed.ravel()))


def test_a_pool_is_a_ratio_of_sums():
    burned = np.zeros((13, 17), bool)
    sums = np.stack([fraction_sums(random_region(k), random_region(k + 9), burned) for k in range(3)])
    pool = fraction_scores_of(sums, np.array([[2.0, 0.0, 1.0]]))[Score("new", "validation", "fss_5px")][0]
    error, reference = 2 * sums[0, 0, 2] + sums[2, 0, 2]
    assert pool == pytest.approx(1 - error / reference)
