"""Error of the arrival time of fire, from forecasts with several lead times.

A pixel's arrival time is the first lead time at which it is burned: observed, or forecast (from the threshold on at
that or an earlier lead, for burned ground stays burned). Scored are the pixels that were not burned at the initial time
and burned within the leads, known at all of them; an error is forecast minus observed, positive where the forecast fire
is late. A pixel that the forecast never reaches would flatter it if it were left out: it counts as reached one step
after the last lead, the least error that it can have, and the share of such pixels is a score of its own. What is
forecast to burn and does not is no part of it (see precision).

Scores of lead L are over the leads up to L: those of the first lead know nothing of time and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from emberformer.evaluate.pooling import Score
from emberformer.evaluate.scores import ratio

NEVER_REACHED = "reached one step after the last lead"


def arrival_sums(
    forecast: Bool[np.ndarray, "lead y x"],
    observed: Bool[np.ndarray, "lead y x"],
    open_to_fire: Bool[np.ndarray, "y x"],
    leads: Sequence[int],
    step_minutes: float,
) -> Float[np.ndarray, "sum=4"]:
    """Sums over one forecast: pixels, absolute error, signed error (both in minutes), pixels that it never reaches.

    Args:
        forecast: pixels forecast to be burned at each lead.
        observed: pixels burned at each lead.
        open_to_fire: pixels that were not burned at the initial time and are known at all leads.
        leads: lead times in steps, rising.
        step_minutes: length of a step.
    """
    scored = open_to_fire & observed.any(0)
    times = np.array([*leads, leads[-1] + 1], float) * step_minutes
    reached = forecast[:, scored]
    expected = times[np.where(reached.any(0), reached.argmax(0), len(leads))]
    error = expected - times[observed[:, scored].argmax(0)]
    never = np.count_nonzero(~reached.any(0))
    return np.array([error.size, np.abs(error).sum(), error.sum(), never], float)


def arrival_scores_of(
    table: Float[np.ndarray, "F sum=4"], weights: Float[np.ndarray, "R F"]
) -> dict[Score, np.ndarray]:
    """Scores [R] of pools of fires, at the threshold chosen on validation; none if no pixel could be scored.

    `arrival_mae_min` and `arrival_bias_min`: mean absolute and mean signed error; `arrival_missed`: share of the pixels
    that the forecast never reaches.
    """
    if not table[:, 0].any():
        return {}
    pixels, absolute, signed, never = (weights @ table).T
    named = {"arrival_mae_min": absolute, "arrival_bias_min": signed, "arrival_missed": never}
    return {Score("new", "validation", name): ratio(of, pixels) for name, of in named.items()}
