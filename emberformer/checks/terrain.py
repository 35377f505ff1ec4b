"""Terrain bands: ranges, units, gaps, codes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr
from jaxtyping import Float

from emberformer.checks.finding import Finding, Level

CODES = 64  # more of them in one band look like a measurement
RANGES = {"slope_deg": (0.0, 90.0), "aspect_deg": (0.0, 360.0), "elevation": (-450.0, 9000.0)}  # by band, in its unit
OF_UNIT = {"percent": (0.0, 100.0)}
LARGEST = float(np.finfo(np.float32).max)
# Values that stand for no data in many rasters.
FILLS = (-LARGEST, -32768.0, -9999.0, -999.0, -99.0, 32767.0, LARGEST)


def check_terrain(fires: xr.Dataset, windows: Iterable[int]) -> list[Finding]:
    """One finding a band.

    Args:
        fires: an open fires store.
        windows: positions on the `terrain` axis to look at.
    """
    chosen = list(windows)
    about = zip(*(map(str, fires[name].values) for name in ("band", "band_kind", "band_unit")), strict=True)
    return [
        check_band(name, kind, unit, fires["terrain"][chosen, number].values)
        for number, (name, kind, unit) in enumerate(about)
    ]


def check_band(name: str, kind: str, unit: str, values: Float[np.ndarray, "N y x"]) -> Finding:
    """Range, unit and share of no data of one band, and what is wrong with it.

    Args:
        name: of the band.
        kind: continuous, categorical, binary or angle.
        unit: as the store says it.
        values: of some windows; NaN = no data.
    """
    subject, known = f"band {name}", values[np.isfinite(values)]
    missing = 1 - known.size / max(values.size, 1)
    numbers: dict[str, object] = {"kind": kind, "unit": unit, "missing": missing}
    if not known.size:
        return Finding("ERROR", subject, "no data anywhere", "check the band's name and its nodata_value", numbers)
    low, high = float(known.min()), float(known.max())
    numbers |= {"smallest": low, "largest": high}
    said = f"{kind}, {low:.4g} to {high:.4g}" + (f" {unit}" if unit != "1" else "")
    if kind == "categorical":
        codes = np.unique(known)
        numbers["codes"] = len(codes)
        said = f"categorical, {len(codes)} codes from {low:.4g} to {high:.4g}"
    said += f"; no data {100 * missing:.1f} %"
    level, remedy = _judged(name, kind, unit, known, low, high, missing)
    return Finding(level, subject, said, remedy, numbers)


def _judged(
    name: str, kind: str, unit: str, known: np.ndarray, low: float, high: float, missing: float
) -> tuple[Level, str]:
    """Level and remedy of a band with data; the gravest comes first."""
    outside = _outside(name, kind, unit, low, high)
    for value in (low, high):
        if value in FILLS:
            return "ERROR", f"{value:g} looks like no data: give it as nodata_value"
    if outside:
        return "ERROR", outside
    if kind == "binary" and not np.isin(known, (0, 1)).all():
        return "ERROR", "a binary band has 0 and 1 alone: take kind continuous or categorical"
    if kind == "categorical" and (known != np.round(known)).any():
        return "ERROR", "codes are whole numbers: take kind continuous"
    if kind == "categorical" and len(np.unique(known)) > CODES:
        return "WARNING", f"more than {CODES} codes: is it a measurement (kind continuous)?"
    if low == high and (kind != "binary" or missing == 0):
        return "WARNING", "the same value everywhere tells nothing: leave the band out"
    if kind != "binary" and missing > 0.5:
        return "WARNING", "most of it is missing: check the raster, or leave the band out"
    return "OK", ""


def _outside(name: str, kind: str, unit: str, low: float, high: float) -> str:
    """What is wrong with a range, or nothing."""
    least, most = RANGES.get(name) or ((0.0, 360.0) if kind == "angle" else OF_UNIT.get(unit, (-np.inf, np.inf)))
    if low >= least and high <= most:
        return ""
    return f"expected {least:g} to {most:g} {'deg' if kind == 'angle' else unit}: check its unit and nodata_value"
