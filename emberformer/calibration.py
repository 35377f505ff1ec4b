"""Calibration: one rising map of a network's logits with three numbers, so that its probabilities mean what they say.

With logit z as the network was trained, the calibrated probability is sigmoid(f(z)), and

    f(z) = low log p - high log(1 - p) + offset = low z + (high - low) log(1 + exp(z)) + offset,    p = sigmoid(z)

`low` is the slope of f where fire is unlikely, `high` the one where it is likely. This is beta calibration (Kull, Silva
Filho and Flach 2017, http://proceedings.mlr.press/v54/kull17a.html). With low = high it is Platt scaling (Platt 1999,
Probabilistic outputs for support vector machines), and with low = high = 1 / T and no offset temperature scaling (Guo
et al. 2017, arXiv:1706.04599). As both slopes are above 0, the order of the forecasts and their average precision stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

NEWTON_STEPS = 12  # from the line of the nearer slope to 1e-9 of the logit, for slopes from 1/4 to 4


class Calibration(NamedTuple):
    """The map f of logits; by default none."""

    low: float = 1.0
    high: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Calibration:
        """What the entries of a checkpoint or the attributes of a forecast store say.

        `calibration` holds the three numbers by name; `temperature` T alone stands for slopes of 1 / T; neither: none.
        """
        if "calibration" in told:
            return cls(**told["calibration"])
        slope = 1 / float(told.get("temperature", 1.0))
        return cls(slope, slope)

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits f(z) of logits z as trained, of any shape."""
        return self.low * logits + (self.high - self.low) * np.logaddexp(0, logits) + self.offset

    def as_trained(self, logits: np.ndarray) -> np.ndarray:
        """Logits z as trained of calibrated ones f(z), of any shape, by Newton's method."""
        shifted = np.asarray(logits, np.float64) - self.offset
        found = shifted / np.where(shifted < 0, self.low, self.high)
        for _ in range(NEWTON_STEPS):
            slope = self.low + (self.high - self.low) * expit(found)
            found = found - (self.logits(found) - logits) / slope
        return found


NOT_CALIBRATED = Calibration()
