"""Temperature scaling: one number by which a network's logits are divided, so that probabilities mean what they say.

With logit z the calibrated probability is sigmoid(z / T); T is where the negative log-likelihood of what was observed
is least. The order of the forecasts stays, and so do average precision and the pixels at 0.5 or above.

T follows from counts of pixels by logit bin, each pixel at the middle of its bin. That moves T by less than 0.02 %
(tests/evaluate/test_calibration.py measures it against all pixels). A logit beyond the end bins counts as +-16, which
tells where exp(-16 / T) is not small: with a sixth of the pixels beyond, a T of 2 is 0.2 % too low; with 0.6 of them, a
T of 3 is 7 % too low.

Reference: Guo et al. (2017), On calibration of modern neural networks, arXiv:1706.04599, section 4.2.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import expit

from emberformer.evaluate.verification import BINS, BINS_PER_UNIT, CENTRE

LIMITS = (1 / 4, 4.0)  # of T: a few pixels that are told apart without an error decide no more than this


def temperature_of_counts(counts: np.ndarray) -> float:
    """Temperature of least negative log-likelihood.

    The log-likelihood is concave in 1 / T, and highest where sum_z z (n_z sigmoid(z / T) - k_z) = 0 over the bins, with
    n_z pixels of logit z of which k_z burned. The left side falls as T rises, and where it has no zero within the
    limits, its sign tells which limit is nearer: the lower one for logits that tell burned from unburned without an
    error, the upper one for logits that say nothing, or the opposite.

    Args:
        counts: pixels by observation and logit bin [observed, bin], bins as in `emberformer.evaluate.verification`.

    Returns:
        T, within `LIMITS`; 1 where only one outcome was observed, for then nothing can be calibrated.
    """
    pixels, burned = counts.sum(0), counts[1]
    if not 0 < burned.sum() < pixels.sum():
        return 1.0
    held = pixels > 0
    at = ((np.arange(BINS) - CENTRE + 0.5) / BINS_PER_UNIT["probability"])[held]
    pixels, burned = pixels[held], burned[held]

    def excess(log_temperature: float) -> float:
        return float((at * (pixels * expit(at / math.exp(log_temperature)) - burned)).sum())

    low, high = (math.log(limit) for limit in LIMITS)
    if excess(low) <= 0:
        return LIMITS[0]
    if excess(high) >= 0:
        return LIMITS[1]
    return math.exp(root_scalar(excess, bracket=(low, high)).root)
