"""Boundary bands: hand-worked, against scikit-image's boundaries and all distances, and against `scores`."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scores.probability import brier_score
from skimage.segmentation import find_boundaries
from sklearn.metrics import log_loss

from emberformer.evaluate.bands import WIDTHS, band_scores_of, band_sums, boundary_band
from emberformer.evaluate.pooling import Score
from tests.small_fires import random_region


def test_by_hand():
    observed = np.array([[1, 1, 1, 0, 0, 0, 0]], bool)
    forecast = np.array([[1.0, 0.9, 0.8, 0.4, 0.3, 0.2, 0.0]])
    new_fire = np.array([[0, 1, 1, 1, 1, 1, 0]], bool)
    sums = band_sums(forecast, observed, new_fire)
    assert sums[:3, 0].tolist() == [2, 4, 5]  # both sides of the edge; one more on each; then the last open pixel
    assert sums[0, 1] == pytest.approx(0.2**2 + 0.4**2)
    assert sums[1, 1] == pytest.approx(0.2**2 + 0.4**2 + 0.1**2 + 0.3**2)
    assert sums[0, 2] == pytest.approx(-np.log(0.8) - np.log(0.6))
    assert (sums[2:] == sums[2]).all()
    found = band_scores_of(np.stack([sums, sums]), np.array([[1.0, 1.0], [3.0, 0.0]]))
    assert found[Score("new", "", "band_brier_0px")] == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("observed", [np.zeros((5, 6), bool), np.ones((5, 6), bool)])
def test_without_a_boundary_there_is_no_band(observed):
    sums = band_sums(np.full((5, 6), 0.3), observed, np.ones((5, 6), bool))
    assert not sums.any()
    assert np.isnan(band_scores_of(sums[None], np.ones((1, 1)))[Score("new", "", "band_nll_10px")]).all()


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_agrees_with_independent_libraries(seed):
    rng = np.random.default_rng(seed)
    observed = random_region(seed, (24, 31))
    forecast = rng.beta(0.5, 1, observed.shape)
    new_fire = rng.random(observed.shape) < 0.8
    forecast[rng.random(observed.shape) < 0.1] = 0  # sure, at times wrongly
    both_sides = find_boundaries(np.pad(observed, 1, mode="edge"), connectivity=1, mode="thick")[1:-1, 1:-1]
    everywhere = np.argwhere(np.ones(observed.shape))
    away = cdist(everywhere, np.argwhere(both_sides)).min(1).reshape(observed.shape)
    found = band_scores_of(band_sums(forecast, observed, new_fire)[None], np.ones((1, 1)))
    for width in WIDTHS:
        np.testing.assert_array_equal(boundary_band(observed, width), away <= width)
        p, o = (field[new_fire & (away <= width)] for field in (forecast, observed))
        brier = xr.DataArray(brier_score(xr.DataArray(p), xr.DataArray(o.astype(float))))
        assert found[Score("new", "", f"band_brier_{width}px")][0] == pytest.approx(float(brier), abs=1e-6)
        likelihood = log_loss(o, np.clip(p, 1e-6, 1 - 1e-6), labels=[False, True])
        assert found[Score("new", "", f"band_nll_{width}px")][0] == pytest.approx(likelihood, abs=1e-6)
