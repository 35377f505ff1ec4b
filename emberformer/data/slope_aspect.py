"""Slope and aspect: from elevation, and from the forms that rasters have them in."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32


def horn_slope_aspect(
    elevation: Float[np.ndarray, "h w"], cell_m: float
) -> tuple[Float[np.ndarray, "y x"], Float[np.ndarray, "y x"]]:
    """Slope and downslope direction by Horn's weighted differences, as GDAL and ArcGIS compute them.

    With the neighbours  a b c / d . f / g h i  of a pixel, the rise to the east is (c + 2f + i - a - 2d - g) / 8 cells
    and that to the north (a + 2b + c - g - 2h - i) / 8 cells.

    Args:
        elevation: m, with one pixel more on every side than what comes back; row 0 is the northern edge.
        cell_m: side of a pixel in m.

    Returns:
        Slope in degrees, 0 = level; aspect in degrees clockwise from north, [0, 360), NaN where it is level. Both are
        NaN where the pixel or one of its neighbours is.

    References:
        Horn (1981), Hill shading and the reflectance map, Proceedings of the IEEE 69, doi:10.1109/PROC.1981.11918.

    Example:
        A hillside that rises 30 m a pixel of 30 m to the east is 45 degrees steep and falls to the west.

        >>> slope, aspect = horn_slope_aspect(np.array([[0.0, 30, 60]] * 3), 30.0)
        >>> slope.tolist(), aspect.tolist()
        ([[45.0]], [[270.0]])
    """
    z = elevation.astype(np.float64)
    to_east = z[:, 2:] - z[:, :-2]
    to_north = z[:-2] - z[2:]
    east = (to_east[:-2] + 2 * to_east[1:-1] + to_east[2:]) / (8 * cell_m)
    north = (to_north[:, :-2] + 2 * to_north[:, 1:-1] + to_north[:, 2:]) / (8 * cell_m)
    unknown = np.isnan(z[1:-1, 1:-1])
    steepness = np.where(unknown, np.nan, np.hypot(east, north))
    aspect = np.degrees(np.arctan2(-east, -north)) % 360 % 360  # what is just below 0 becomes 360, then 0
    return np.degrees(np.arctan(steepness)), np.where(steepness > 0, aspect, np.nan)


def downslope(aspect: Float[np.ndarray, "y x"], upslope: bool) -> Float32[np.ndarray, "y x"]:
    """Angles of a raster as they stand in the store: [0, 360) degrees downslope, clockwise from north.

    Args:
        aspect: degrees clockwise from north, at most 360; negative = flat ground, in all sources.
        upslope: whether they point up the slope.

    Returns:
        NaN where the ground is flat or nothing is known.

    >>> downslope(np.array([[0.0, 360, -1]]), False).tolist(), downslope(np.array([[350.0]]), True).tolist()
    ([[0.0, 0.0, nan]], [[170.0]])
    """
    turned = (aspect + (180.0 if upslope else 0.0)) % 360
    return np.where(aspect >= 0, turned, np.nan).astype(np.float32)


def slope_in_degrees(percent: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y x"]:
    """Slope in degrees from percent: atan(percent / 100).

    >>> slope_in_degrees(np.array([[0.0, 100]])).tolist()
    [[0.0, 45.0]]
    """
    return np.rad2deg(np.arctan(percent / 100))
