"""Wind: known, within what air does, and blowing to where fires run."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float

from emberformer.checks.finding import Finding
from emberformer.checks.growth import Growth

STRONGEST = 60.0  # m s-1; no surface wind that a fire was mapped under blew harder
CALM = 1.0  # m s-1; slower wind says nothing of a fire's direction
FEWEST = 20  # steps from which on the directions are judged
READINGS = {
    "as read": (1, 0, 0, 1),
    "turned about (blowing from instead of towards)": (-1, 0, 0, -1),
    "with north and south swapped": (1, 0, 0, -1),
    "with east and west swapped": (-1, 0, 0, 1),
    "with u and v swapped (angle counted from east)": (0, 1, 1, 0),
}  # what may have gone wrong with a direction: (u from u, u from v, v from u, v from v)


def check_wind(fires: xr.Dataset, growth: Growth) -> list[Finding]:
    """Range, gaps and sign of the wind.

    Args:
        fires: an open fires store.
        growth: of `measure_growth`, whose steps are compared with the wind that drove them.
    """
    wind = fires["weather"].sel(weather_variable=["wind_u", "wind_v"]).values
    known = np.asarray(np.isfinite(wind).all(1))
    if not known.any():
        return [Finding("WARNING", "wind", "not known at any frame", "give `weather`, or set model.wind: false")]
    speed = np.hypot(*wind[known].T)
    drives = np.ones(len(known), bool)
    drives[fires["row_start"].values + fires["row_size"].values - 1] = False  # no step follows a fire's last frame
    missing = float(1 - known[drives].mean()) if drives.any() else 0.0
    level = "ERROR" if speed.max() > STRONGEST else "WARNING" if missing > 0.05 or speed.max() == 0 else "OK"
    remedies = {
        "ERROR": "check weather.speed_unit",
        "WARNING": "check the weather tables and weather.row_offset: unknown wind is still air to the network",
    }
    first = Finding(
        level,
        "wind",
        f"{speed.mean():.1f} m/s on average, at most {speed.max():.1f}; unknown at {100 * missing:.1f} % of the steps",
        remedies.get(level, ""),
        {"mean_m_s": float(speed.mean()), "largest_m_s": float(speed.max()), "missing": missing},
    )
    return [first, _direction(wind[growth.row].astype(float), growth.drift)]


def mean_alignment(wind: Float[np.ndarray, "step 2"], drift: Float[np.ndarray, "step 2"]) -> tuple[float, int]:
    """Mean cosine between the wind and where new fire lies from the fire before, and the steps that it is of.

    Steps without growth, with unknown wind or calm air do not count.

    Args:
        wind: m s-1 towards east and north.
        drift: towards east and north, in any unit.

    Returns:
        1 = all run downwind, -1 = upwind; NaN where no step counts.
    """
    length, speed = np.hypot(*drift.T), np.hypot(*wind.T)
    counts = (length > 0) & (speed >= CALM)  # false for NaN
    if not counts.any():
        return np.nan, 0
    cosine = (wind[counts] * drift[counts]).sum(1) / (length[counts] * speed[counts])
    return float(cosine.mean()), int(counts.sum())


def _direction(wind: np.ndarray, drift: np.ndarray) -> Finding:
    """The sign check: fires run downwind on average, more than they would by any other reading of the direction."""
    subject = "wind's direction"
    found, steps = mean_alignment(wind, drift)
    if steps < FEWEST:
        return Finding("WARNING", subject, f"only {steps} steps with wind and growth: not judged", "look at a map")
    readings = {}
    for name, (uu, uv, vu, vv) in READINGS.items():
        turned = np.stack([uu * wind[:, 0] + uv * wind[:, 1], vu * wind[:, 0] + vv * wind[:, 1]], 1)
        readings[name] = mean_alignment(turned, drift)[0]
    best = max(readings, key=lambda name: readings[name])
    numbers = {"mean_cosine": found, "steps": steps, "readings": readings}
    said = f"mean cosine between wind and growth {found:+.2f} over {steps} steps"
    if best != "as read" and readings[best] > found + 0.1:
        level = "ERROR" if found < 0 else "WARNING"
        remedy = f"{best} it would be {readings[best]:+.2f}: check weather.direction (degrees that it blows FROM)"
        return Finding(level, subject, said, remedy, numbers)
    if found < 0.1:
        remedy = "fires do not follow the wind: check weather.row_offset and which table belongs to which fire"
        return Finding("WARNING", subject, said, remedy, numbers)
    return Finding("OK", subject, said, "", numbers)
