"""Calibration: one rising map of a network's logits with three numbers, so that its probabilities mean what they say.

With logit z as the network was trained, the calibrated probability is sigmoid(f(z)), and

    f(z) = low log p - high log(1 - p) + offset,    p = sigmoid(z)

`low` is the slope of f where fire is unlikely, `high` the one where it is likely. This is beta calibration (Kull, Silva
Filho and Flach 2017, http://proceedings.mlr.press/v54/kull17a.html). With low = high it is Platt scaling (Platt 1999,
Probabilistic outputs for support vector machines), and with low = high = 1 / T and no offset temperature scaling (Guo
et al. 2017, arXiv:1706.04599). As both slopes are above 0, the order of the forecasts and their average precision stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_expit

REACH, POINTS = 64.0, 2**16 + 1  # of the logits between which is interpolated


class Calibration(NamedTuple):
    """The map f of logits; by default they stay as they are."""

    low: float = 1.0
    high: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Calibration | None:
        """What the entries of a checkpoint or the attributes of a forecast store say; None where they say nothing.

        `calibration` holds the three numbers by name; `temperature` T alone stands for slopes of 1 / T.
        """
        if "calibration" in told:
            return cls(**told["calibration"])
        if "temperature" in told:
            return cls(1 / told["temperature"], 1 / told["temperature"])
        return None

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits f(z) of logits z as trained, of any shape."""
        return self.low * log_expit(logits) - self.high * log_expit(-logits) + self.offset

    def as_trained(self, logits: np.ndarray) -> np.ndarray:
        """Logits z as trained of calibrated ones f(z), of any shape.

        Where the slopes differ, by interpolation, which is off by less than 1e-5; within `REACH`, beyond which a
        probability is 0 or 1.
        """
        if self.low == self.high:
            return (logits - self.offset) / self.low
        places = np.linspace(-REACH, REACH, POINTS)
        return np.interp(logits, self.logits(places), places)


NOT_CALIBRATED = Calibration()
