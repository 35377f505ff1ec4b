"""Fit of a calibration: against a fit of every pixel, by laws, what is kept, and where pixels say nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit

from emberformer.calibration import NOT_CALIBRATED, Calibration
from emberformer.evaluate import calibration_fit
from emberformer.evaluate.calibration_fit import (
    CANDIDATES,
    FOLDS,
    OFFSETS,
    SLOPES,
    calibration_of_counts,
    fitted,
    losses_of,
)
from emberformer.evaluate.scores import brier
from emberformer.evaluate.verification import BINS, CENTRE, bin_index


def counts_of(logits: np.ndarray, observed: np.ndarray) -> np.ndarray:
    place = bin_index(expit(logits), "probability")
    return np.stack([np.bincount(place[observed == outcome], minlength=BINS) for outcome in (0, 1)])


def surprise(logits: np.ndarray, observed: np.ndarray, calibration: Calibration) -> float:
    """Negative log-likelihood, nats a pixel."""
    calibrated = calibration.logits(logits)
    return -log_expit(np.where(observed == 1, calibrated, -calibrated)).mean()


def scaling(temperature: float) -> Calibration:
    return Calibration(1 / temperature, 1 / temperature)


def temperature_of_pixels(logits: np.ndarray, observed: np.ndarray) -> float:
    """Of all pixels, by another way: a search for the least surprise itself."""
    found = minimize_scalar(lambda s: surprise(logits, observed, scaling(np.exp(s))),
                            bounds=np.log(SLOPES), method="bounded", options={"xatol": 1e-8})  # fmt: skip
    return float(np.exp(found.x))


def temperature_of(counts: np.ndarray) -> float:
    low, high, offset = fitted("temperature", counts)
    assert (low, offset) == (high, 0)
    return 1 / low


def drawn(calibration: Calibration, pixels: int = 100_000, mean: float = -4.0, seed: int = 0):
    """Logits that a calibration sets right, and what was observed: rare fire."""
    rng = np.random.default_rng(seed)
    right = rng.normal(mean, 2, pixels)
    return calibration.as_trained(right), (rng.random(pixels) < expit(right)).astype(np.uint8)


def folds_of(calibration: Calibration, pixels: int = 100_000) -> np.ndarray:
    return np.stack([counts_of(*drawn(calibration, pixels // FOLDS, seed=fold)) for fold in range(FOLDS)])


@pytest.mark.parametrize("temperature", [0.3, 0.5, 1.0, 1.5])
def test_error_of_binning(temperature):
    """Against the fit of every pixel; that is within what chance leaves of the factor."""
    logits, observed = drawn(scaling(temperature))
    exact = temperature_of_pixels(logits, observed)
    assert temperature_of(counts_of(logits, observed)) == pytest.approx(exact, rel=2e-4)
    assert exact == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize(("temperature", "beyond", "error"), [(2.0, 1 / 6, 0.002), (3.0, 0.63, 0.07)])
def test_error_of_logits_beyond_the_bins(temperature, beyond, error):
    logits, observed = drawn(scaling(temperature), mean=-6)
    assert (logits < -16).mean() == pytest.approx(beyond, abs=0.02)
    found, exact = temperature_of(counts_of(logits, observed)), temperature_of_pixels(logits, observed)
    assert found / exact - 1 == pytest.approx(-error, rel=0.2)


@pytest.mark.parametrize(
    ("calibration", "candidate"),
    [(NOT_CALIBRATED, "none"), (Calibration(0.7, 0.7), "temperature"), (Calibration(1.3, 1.3, -1), "platt"),
     (Calibration(0.6, 2.0, 0.5), "beta"), (Calibration(1.5, 0.6, 1.5), "beta")],
)  # fmt: skip
def test_what_was_wrong_is_found_and_no_more(calibration, candidate):
    """The plainest of the maps that set the logits right, or one as good, within what chance leaves."""
    folds = folds_of(calibration)
    found, total = calibration_of_counts(folds), folds.sum(0)
    assert found in [fitted(name, total) for name in CANDIDATES]
    assert found == pytest.approx(calibration, abs=0.3)
    assert fitted(candidate, total) == pytest.approx(calibration, abs=0.3)
    trained, set_right, known = (np.array(losses_of(one, total)) for one in (NOT_CALIBRATED, found, calibration))
    assert (set_right <= trained).all()
    assert set_right == pytest.approx(known, rel=2e-3)


@settings(max_examples=20)
@given(st.floats(0.4, 2.0), st.integers(0, 100))
def test_scaled_logits_have_the_scaled_temperature(factor, seed):
    logits, observed = drawn(NOT_CALIBRATED, 2_000, seed=seed)
    one, other = (temperature_of(counts_of(scaled, observed)) for scaled in (logits, factor * logits))
    assert other == pytest.approx(factor * one, rel=0.02)


@settings(max_examples=30)
@given(st.sampled_from(["temperature", "platt", "beta"]),
       st.lists(st.tuples(st.floats(-15, 15), st.booleans()), min_size=1, max_size=30))  # fmt: skip
def test_no_other_numbers_are_less_surprised(candidate, pixels):
    """Not even the network's own; at the middles of the bins, which is what the fit is told."""
    at, observed = np.array([logit for logit, _ in pixels]), np.array([burned for _, burned in pixels], np.uint8)
    at = (np.floor(at * 64) + 0.5) / 64
    found = fitted(candidate, counts_of(at, observed))
    assert all(SLOPES[0] <= slope <= SLOPES[1] for slope in found[:2])
    assert OFFSETS[0] <= found.offset <= OFFSETS[1]
    if 0 < observed.sum() < len(observed):
        least, combine = surprise(at, observed, found), CANDIDATES[candidate]
        numbers = np.linalg.pinv(combine) @ found
        for other in np.random.default_rng(0).normal(numbers, 0.3, (50, len(numbers))):
            low, high, offset = combine @ other
            within = Calibration(np.clip(low, *SLOPES), np.clip(high, *SLOPES), np.clip(offset, *OFFSETS))
            assert least <= surprise(at, observed, within) + 1e-7


def test_losses_are_those_of_the_pixels():
    logits, observed = drawn(Calibration(0.6, 2.0, 0.5), 5_000)
    logits = (np.floor(logits * 64) + 0.5) / 64
    calibration = Calibration(0.8, 1.2, 0.3)
    found = np.array(losses_of(calibration, counts_of(logits, observed))) / len(logits)
    expected = surprise(logits, observed, calibration), brier(expit(calibration.logits(logits)), observed)
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_map_that_does_not_hold_on_other_fires_is_not_kept():
    """Of each fire half of the certain pixels burned or all: what four fires say of a fifth is wrong on average."""
    folds = np.zeros((FOLDS, 2, BINS), np.int64)
    folds[:, 0, CENTRE - 300] = 1000
    for fold, burned in enumerate((100, 20, 100, 20, 60)):
        folds[fold, :, CENTRE + 50] = 120 - burned, burned
    folds[2:] = 0
    alone = fitted("temperature", folds[0])
    assert losses_of(alone, folds[0])[0] < losses_of(NOT_CALIBRATED, folds[0])[0]
    assert losses_of(alone, folds[1])[0] > losses_of(NOT_CALIBRATED, folds[1])[0]
    assert calibration_of_counts(folds) == NOT_CALIBRATED


def test_the_likelihood_alone_does_not_decide(monkeypatch):
    """Too high where fire is unlikely, on most pixels: one slope that lowers these moves those at 0.73 away."""
    folds = np.zeros((FOLDS, 2, BINS), np.int64)
    folds[:, :, CENTRE - 320] = 999_600, 400  # logit -5: 0.0067 forecast, 0.0004 observed
    folds[:, :, CENTRE + 64] = 5_380, 14_620  # logit 1: 0.73 forecast and observed
    total = folds.sum(0)
    change = np.array(losses_of(fitted("temperature", total), total)) / losses_of(NOT_CALIBRATED, total)
    assert change[0] < 0.8
    assert change[1] > 1.02
    found = np.array(losses_of(calibration_of_counts(folds), total)) / losses_of(NOT_CALIBRATED, total)
    assert (found < 1).all()  # two slopes do not
    monkeypatch.setattr(calibration_fit, "CANDIDATES", {name: CANDIDATES[name] for name in ("none", "temperature")})
    assert calibration_of_counts(folds) == NOT_CALIBRATED


def test_pixels_that_say_too_little():
    counts = np.zeros((2, BINS), np.int64)
    assert fitted("beta", counts) == NOT_CALIBRATED
    counts[0, CENTRE - 200 : CENTRE + 50] = 7
    assert fitted("beta", counts) == NOT_CALIBRATED  # nothing burned
    assert fitted("beta", counts[::-1]) == NOT_CALIBRATED  # all burned
    counts[0, CENTRE:] = 0
    counts[1, CENTRE + 100] = 3
    assert temperature_of(counts) == SLOPES[0]  # told apart without an error: as sure as it may be
    assert temperature_of(counts[::-1]) == SLOPES[1]  # always the opposite: as unsure
    assert calibration_of_counts(np.zeros((FOLDS, 2, BINS), np.int64)) == NOT_CALIBRATED
    one_fire = np.zeros((FOLDS, 2, BINS), np.int64)
    one_fire[3] = folds_of(Calibration(0.5, 0.5)).sum(0)
    assert calibration_of_counts(one_fire) == NOT_CALIBRATED
