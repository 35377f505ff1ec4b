"""Time: equal steps, no missing frames, fires that have a step at all."""

from __future__ import annotations

import numpy as np
import xarray as xr

from emberformer.checks.finding import Finding

ROUNDING = 1.0  # s: times are whole seconds, steps need not be


def check_time(fires: xr.Dataset) -> list[Finding]:
    """Steps of all fires against the data set's `seconds_per_frame`."""
    sizes, wanted = fires["row_size"].values, float(fires.attrs["seconds_per_frame"])
    seconds = fires["valid_time"].values.astype("datetime64[s]").astype(np.int64)
    within = np.diff(fires["fire_index"].values) == 0
    taken = np.diff(seconds)[within]
    backwards, unequal = int((taken <= 0).sum()), int((abs(taken - wanted) > ROUNDING).sum())
    missing = int(np.maximum(np.round(taken / wanted) - 1, 0).sum())
    level = "ERROR" if backwards else "WARNING" if unequal or missing else "OK"
    said = f"{len(taken)} steps of {wanted / 60:g} min"
    if level != "OK":
        said += f"; {unequal} of another length, {backwards} not forward in time, {missing} frames missing"
    remedy = "check the names and times of the frames, or minutes_per_frame" if level != "OK" else ""
    numbers = {"steps": len(taken), "unequal": unequal, "backwards": backwards, "missing_frames": missing}
    lone = int((sizes < 2).sum())
    return [
        Finding(level, "time", said, remedy, numbers),
        Finding(
            "WARNING" if lone else "OK",
            "length of fires",
            f"{sizes.min()} to {sizes.max()} frames, {np.median(sizes):g} in the middle; {lone} with one frame alone",
            "fires of one frame have no step: they are never trained on or scored" if lone else "",
            {"shortest": int(sizes.min()), "longest": int(sizes.max()), "single_frame": lone},
        ),
    ]
