"""Arrival time of the fire, from the probabilities of a forecast."""

from __future__ import annotations

import numpy as np
import xarray as xr

from emberformer.outputs.times import seconds_ahead

THRESHOLD = 0.5


def arrival_time(forecast: xr.Dataset, threshold: float = THRESHOLD) -> xr.DataArray:
    """Time at which the probability of being burned reaches the threshold.

    At `init_time` (lead 0, t = 0) the probability is 1 where burned and else 0. With k the first lead whose probability
    P is at least the threshold h, and probability taken as linear in time between leads,

        arrival = t[k-1] + (t[k] - t[k-1]) (h - P[k-1]) / (P[k] - P[k-1])

    Where P[k-1] is unknown, arrival = t[k], the latest that it can have been.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        threshold: h, above 0 and up to 1.

    Returns:
        Seconds since init_time [y, x], float32: 0 where already burned, NaN where the threshold is not reached by the
        last lead or the probability is unknown.
    """
    times = np.concatenate([[0.0], seconds_ahead(forecast)])
    before = np.where(forecast.burned.values == 1, np.float32(1), np.float32(0))
    arrival = np.where(before >= np.float32(threshold), 0.0, np.nan)
    for k, probability in enumerate(forecast.probability.values):
        reached = np.isnan(arrival) & (probability >= np.float32(threshold))
        share = (threshold - before[reached]) / (probability[reached] - before[reached])
        share = np.where(np.isnan(share), 1.0, np.clip(share, 0, 1))
        arrival[reached] = times[k] + share * (times[k + 1] - times[k])
        before = probability
    return xr.DataArray(
        arrival.astype(np.float32),
        coords={name: forecast.coords[name] for name in ("y", "x", "spatial_ref") if name in forecast.coords},
        dims=("y", "x"),
        name="arrival_time",
        attrs={"units": "s", "long_name": "arrival of the fire after init_time", "threshold": threshold},
    )
