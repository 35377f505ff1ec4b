"""The map of logits: its special cases, its slopes, and the way back."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from emberformer.calibration import NOT_CALIBRATED, Calibration
from emberformer.rollout import calibrated

slopes, offsets = st.floats(0.25, 4), st.floats(-8, 8)
calibrations = st.builds(Calibration, slopes, slopes, offsets)
LOGITS = np.linspace(-60, 60, 1201)


@given(calibrations)
def test_slopes_and_offset(calibration):
    """Far out f is a line of one of the slopes; between, the slope is their mean by the probability."""
    low, high, offset = calibration
    found, softplus = calibration.logits(LOGITS), np.logaddexp(0, LOGITS)
    np.testing.assert_allclose(found, low * LOGITS + (high - low) * softplus + offset, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found[[0, -1]], [low * LOGITS[0] + offset, high * LOGITS[-1] + offset])


def test_temperature_and_none_are_special_cases():
    told = Calibration.of({"temperature": 2.0})
    assert told is not None
    np.testing.assert_allclose(told.logits(LOGITS), LOGITS / 2, rtol=1e-15)
    np.testing.assert_allclose(NOT_CALIBRATED.logits(LOGITS), LOGITS, rtol=1e-15)
    certain = np.array([-np.inf, np.inf])
    np.testing.assert_array_equal(NOT_CALIBRATED.logits(certain), certain)
    assert Calibration.of({}) is None
    assert Calibration.of({"calibration": {"low": 0.9, "high": 1.5, "offset": -0.9}}) == (0.9, 1.5, -0.9)


def test_a_hand_worked_case():
    """P = 0.5 becomes odds exp(low log 0.5 - high log 0.5 + offset) = 2^(high - low) = 2; far out the slopes hold."""
    calibration = Calibration(1.0, 2.0, 0.0)
    assert expit(calibration.logits(np.zeros(1))) == pytest.approx([2 / 3])
    assert calibration.logits(np.array([-40.0, 40.0])) == pytest.approx([-40, 80])


@given(calibrations)
def test_order_stays_and_the_way_back_leads_back(calibration):
    found = calibration.logits(LOGITS)
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(calibration.as_trained(found), LOGITS, atol=1e-5)


@given(calibrations)
def test_networks_are_calibrated_alike(calibration):
    logits = torch.tensor(LOGITS, requires_grad=True)
    found = calibrated(logits, calibration)
    np.testing.assert_allclose(found.detach(), calibration.logits(LOGITS), rtol=1e-7, atol=1e-7)
    (slope,) = torch.autograd.grad(found.sum(), logits)
    low, high, _ = calibration
    assert slope[[0, -1]].tolist() == pytest.approx([low, high])
