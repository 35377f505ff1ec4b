"""Fit of a network's calibration to what was observed on validation fires, with as many numbers as these can tell.

Candidates, from the plainest: none, temperature, Platt scaling, beta calibration (`emberformer.calibration`). Each is
fitted for least negative log-likelihood to the fires of all folds but one and scored on the fires of that one, for
every fold. Of those whose Brier score on fires that they were not fitted to is at most 1 % higher than without
calibration, the one of least negative log-likelihood there is fitted to all of them; of equal ones the plainest. So a
map is kept only where it holds on other fires, and a single fire calibrates nothing. The Brier score is asked because
the likelihood is mostly about the many pixels far from the fire: for their sake alone a slope may move probabilities
about 0.5, which weigh most in the Brier score, away from what was observed.

Pixels are counted by logit bin, each taken at the middle of its bin. That moves a temperature by less than 0.02 %
(tests/evaluate/test_calibration_fit.py measures it against all pixels). A logit beyond the end bins counts as +-16,
which tells where exp(-16 / T) is not small: with a sixth of the pixels beyond, a T of 2 is 0.2 % too low; with 0.6 of
them, a T of 3 is 7 % too low.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from emberformer.calibration import Calibration
from emberformer.evaluate.verification import BINS, BINS_PER_UNIT, CENTRE

FOLDS = 5
BRIER_ALLOWED = 1.01  # times the Brier score without calibration
SLOPES, OFFSETS = (1 / 4, 4.0), (-8.0, 8.0)  # pixels that are told apart without an error decide no more than this
CANDIDATES = {  # name -> (low, high, offset) by the numbers that are fitted
    "none": np.zeros((3, 0)),
    "temperature": np.array([[1.0], [1.0], [0.0]]),
    "platt": np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
    "beta": np.eye(3),
}
AT = (np.arange(BINS) - CENTRE + 0.5) / BINS_PER_UNIT["probability"]  # logit at the middle of each bin


def calibration_of_counts(counts: np.ndarray) -> Calibration:
    """The calibration that holds best on fires that it was not fitted to.

    Args:
        counts: pixels by fold of the fires, observation and logit bin [fold, observed, bin], bins as in
            `emberformer.evaluate.verification`. No fire is in two folds; a fold may be empty.
    """
    total, held = counts.sum(0), [fold for fold in counts if fold.any()]
    if not held:
        return Calibration()
    losses = {name: np.sum([losses_of(fitted(name, total - fold), fold) for fold in held], 0) for name in CANDIDATES}
    kept = [name for name in CANDIDATES if losses[name][1] <= BRIER_ALLOWED * losses["none"][1]]
    return fitted(min(kept, key=lambda name: losses[name][0]), total)


def fitted(candidate: str, counts: np.ndarray) -> Calibration:
    """The candidate of least negative log-likelihood, a convex function of its numbers.

    Args:
        candidate: one of `CANDIDATES`.
        counts: pixels by observation and logit bin [observed, bin].

    Returns:
        Slopes within `SLOPES` and an offset within `OFFSETS`; none where only one outcome was observed, for then there
        is nothing to fit.
    """
    combine, (unburned, burned) = CANDIDATES[candidate], counts.sum(-1)
    if not combine.size or not unburned or not burned:
        return Calibration()
    held = counts.any(0)
    inputs = np.stack([log_expit(AT), -log_expit(-AT), np.ones(BINS)], -1)[held] @ combine
    pixels, ones = counts.sum(0)[held], counts[1, held]

    def loss_and_gradient(numbers: np.ndarray) -> tuple[float, np.ndarray]:
        logits = inputs @ numbers
        loss = -(ones * log_expit(logits) + (pixels - ones) * log_expit(-logits)).sum()
        return loss / burned, inputs.T @ (pixels * expit(logits) - ones) / burned

    bounds = [OFFSETS if moved[2] else SLOPES for moved in combine.T]
    start = np.linalg.pinv(combine) @ Calibration()
    precise = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 1000}
    best = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options=precise)
    return Calibration(*(combine @ best.x).tolist())


def losses_of(calibration: Calibration, counts: np.ndarray) -> tuple[float, float]:
    """Negative log-likelihood (nats) and squared error under a calibration, summed over pixels [observed, bin]."""
    logits, (unburned, burned) = calibration.logits(AT), counts
    surprise = -(burned * log_expit(logits) + unburned * log_expit(-logits)).sum()
    return float(surprise), float((burned * expit(-logits) ** 2 + unburned * expit(logits) ** 2).sum())
