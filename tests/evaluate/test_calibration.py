"""Temperature: against a fit of every pixel, by laws, and where pixels say nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit

from emberformer.evaluate.calibration import LIMITS, temperature_of_counts
from emberformer.evaluate.scores import average_precision
from emberformer.evaluate.verification import BINS, CENTRE, bin_index


def counts_of(logits: np.ndarray, observed: np.ndarray) -> np.ndarray:
    place = bin_index(expit(logits), "probability")
    return np.stack([np.bincount(place[observed == outcome], minlength=BINS) for outcome in (0, 1)])


def surprise(logits: np.ndarray, observed: np.ndarray, temperature: float) -> float:
    """Negative log-likelihood, nats a pixel."""
    return -log_expit(np.where(observed == 1, logits, -logits) / temperature).mean()


def fitted(logits: np.ndarray, observed: np.ndarray) -> float:
    """Temperature of all pixels, by another way: a search for the least surprise itself."""
    found = minimize_scalar(lambda s: surprise(logits, observed, np.exp(s)), bounds=np.log(LIMITS), method="bounded",
                            options={"xatol": 1e-8})  # fmt: skip
    return float(np.exp(found.x))


def drawn(temperature: float, pixels: int = 100_000, mean: float = -4.0, seed: int = 0):
    """Logits that are too high by a factor, and what was observed where they are divided by it: rare fire."""
    rng = np.random.default_rng(seed)
    true = rng.normal(mean, 2, pixels)
    return temperature * true, (rng.random(pixels) < expit(true)).astype(np.uint8)


@pytest.mark.parametrize("temperature", [0.3, 0.5, 1.0, 1.5])
def test_error_of_binning(temperature):
    """Against the fit of every pixel; that is within what chance leaves of the factor."""
    logits, observed = drawn(temperature)
    exact = fitted(logits, observed)
    assert temperature_of_counts(counts_of(logits, observed)) == pytest.approx(exact, rel=2e-4)
    assert exact == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize(("temperature", "beyond", "error"), [(2.0, 1 / 6, 0.002), (3.0, 0.63, 0.07)])
def test_error_of_logits_beyond_the_bins(temperature, beyond, error):
    logits, observed = drawn(temperature, mean=-6)
    assert (logits < -16).mean() == pytest.approx(beyond, abs=0.02)
    found, exact = temperature_of_counts(counts_of(logits, observed)), fitted(logits, observed)
    assert found / exact - 1 == pytest.approx(-error, rel=0.2)


@settings(max_examples=20)
@given(st.floats(0.4, 2.0), st.integers(0, 100))
def test_scaled_logits_have_the_scaled_temperature(factor, seed):
    logits, observed = drawn(1.0, 2_000, seed=seed)
    one, other = (temperature_of_counts(counts_of(scaled, observed)) for scaled in (logits, factor * logits))
    assert other == pytest.approx(factor * one, rel=0.02)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(-15, 15), st.booleans()), min_size=1, max_size=30))
def test_no_other_temperature_is_less_surprised(pixels):
    """Not even 1, the network's own; at the middles of the bins, which is what it is told."""
    at, observed = np.array([logit for logit, _ in pixels]), np.array([burned for _, burned in pixels], np.uint8)
    at = (np.floor(at * 64) + 0.5) / 64
    temperature = temperature_of_counts(counts_of(at, observed))
    assert LIMITS[0] <= temperature <= LIMITS[1]
    if 0 < observed.sum() < len(observed):
        least = surprise(at, observed, temperature)
        assert all(least <= surprise(at, observed, other) + 1e-12 for other in (1.0, *np.geomspace(*LIMITS, 50)))


@settings(max_examples=20)
@given(st.floats(*LIMITS))
def test_order_and_the_half_stay(temperature):
    logits, observed = drawn(1.0, 500)
    trained, calibrated = expit(logits), expit(logits / temperature)
    assert average_precision(calibrated, observed) == average_precision(trained, observed)
    assert ((calibrated >= 0.5) == (trained >= 0.5)).all()


def test_pixels_that_say_too_little():
    counts = np.zeros((2, BINS), np.int64)
    assert temperature_of_counts(counts) == 1
    counts[0, CENTRE - 200 : CENTRE + 50] = 7
    assert temperature_of_counts(counts) == 1  # nothing burned
    assert temperature_of_counts(counts[::-1]) == 1  # all burned
    counts[0, CENTRE:] = 0
    counts[1, CENTRE + 100] = 3
    assert temperature_of_counts(counts) == LIMITS[0]  # told apart without an error: as sure as it may be
    assert temperature_of_counts(counts[::-1]) == LIMITS[1]  # always the opposite: as unsure
