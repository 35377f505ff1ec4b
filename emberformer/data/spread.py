"""Fire growth by minimum travel time: an ellipse of wind and slope in every cell, and the fastest way to each cell."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise, product
from math import ceil, floor, gcd, hypot

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from emberformer.data.valley import Terrain

# Rothermel (1972), equations 47 to 51, for a fuel bed of 1500 ft2 of surface per ft3 at its optimum packing ratio
# 3.348 * 1500^-0.8189: there the wind factor is C * U^B, and the slope factor 5.275 * ratio^-0.3 * tan^2(slope).
WIND_EXPONENT = 0.02526 * 1500**0.54
WIND_FACTOR = 7.47 * np.exp(-0.133 * 1500**0.55) * 196.85**WIND_EXPONENT  # 1 m s-1 is 196.85 ft min-1
SLOPE_FACTOR = 5.275 * (3.348 * 1500**-0.8189) ** -0.3

# The 32 neighbours that no nearer one hides: every coprime (rows, columns) up to three cells away.
OFFSETS = [(r, c) for r, c in product(range(-3, 4), repeat=2) if gcd(r, c) == 1]


def length_to_breadth(wind_speed: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Length-to-breadth ratio of a wind-driven fire, at most 8.

        LB = 0.936 exp(0.2566 U) + 0.461 exp(-0.1548 U) - 0.397

    Args:
        wind_speed: effective wind U at midflame height in m s-1.

    Returns:
        Ratio, 1 (a circle) without wind.

    References:
        Anderson (1983), INT-305, where U is in mi h-1 (0.1147 and 0.0692). The term 0.397 makes a calm fire a circle:
        Finney (1998), FARSITE, RMRS-RP-4. The bound keeps high winds within what has been observed.
    """
    ratio = 0.936 * np.exp(0.2566 * wind_speed) + 0.461 * np.exp(-0.1548 * wind_speed) - 0.397
    return np.clip(ratio, 1.0, 8.0)


def moisture_damping(moisture: float) -> float:
    """Factor on the rate of spread for the dead fuel's moisture: 1 - 2.59 m + 5.11 m^2 - 3.52 m^3.

    Args:
        moisture: share m of the moisture at which fire goes out, 0 (dry) to 1.

    Returns:
        1 for dry fuel, 0 at extinction.

    References:
        Rothermel (1972), INT-115, equation 29. The heat needed to dry the fuel is left out.

    >>> round(moisture_damping(0.5), 4)
    0.5425
    """
    return 1 - 2.59 * moisture + 5.11 * moisture**2 - 3.52 * moisture**3


def directional_slowness(
    terrain: Terrain, wind_u: float, wind_v: float, moisture: float
) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Seconds a metre of spread takes in every direction, as three fields.

    Wind and slope factors add as vectors, downwind and upslope; the length of their sum gives the head's rate of
    spread and, turned back into a wind, the eccentricity e of the ellipse. From the ellipse's rear focus the rate at
    an angle t to the head is R (1 - e) / (1 - e cos t), so slowness is affine in the direction (east, north):

        slowness = still - east_part * east - north_part * north

    Args:
        terrain: ground; trees shelter the flames from the wind.
        wind_u: open wind (6 m above the vegetation) in m s-1, towards east.
        wind_v: the same, towards north.
        moisture: see `moisture_damping`.

    Returns:
        still, east_part, north_part in s m-1; still is infinite where nothing burns.

    References:
        Rothermel (1972), INT-115; Finney (1998), RMRS-RP-4.
    """
    # Midflame wind: 0.4 of the open wind without trees, 0.1 in closed timber (Andrews 2012, RMRS-GTR-266, rounded).
    shelter = 0.4 - 0.3 * terrain.canopy_cover.astype(np.float64) / 100
    open_wind = hypot(wind_u, wind_v)
    wind_factor = WIND_FACTOR * (shelter * open_wind) ** WIND_EXPONENT
    slope_factor = SLOPE_FACTOR * np.tan(np.radians(terrain.slope_deg.astype(np.float64))) ** 2
    upslope = np.radians(terrain.aspect_deg.astype(np.float64) + 180)
    east = wind_factor * (wind_u / max(open_wind, 1e-9)) + slope_factor * np.sin(upslope)
    north = wind_factor * (wind_v / max(open_wind, 1e-9)) + slope_factor * np.cos(upslope)

    factor = np.hypot(east, north)
    ratio = length_to_breadth((factor / WIND_FACTOR) ** (1 / WIND_EXPONENT))
    eccentricity = np.sqrt(1 - ratio**-2)
    head_rate = terrain.dry_rate * moisture_damping(moisture) * (1 + factor)
    with np.errstate(divide="ignore"):
        still = 1 / (head_rate * (1 - eccentricity))
    bend = np.where(np.isfinite(still), still, 0) * eccentricity / np.maximum(factor, 1e-9)
    return still, bend * east, bend * north


def cells_on_edge(row: int, column: int) -> dict[tuple[int, int], float]:
    """Cells that the line from the centre of cell (0, 0) to that of (row, column) touches, with their share of it.

    A cell touched at a corner only has share 0: it adds no time, but the edge is closed where that cell cannot burn.

    >>> cells_on_edge(1, 2)
    {(0, 0): 0.25, (0, 1): 0.25, (1, 1): 0.25, (1, 2): 0.25}
    >>> cells_on_edge(1, 1)
    {(0, 0): 0.5, (1, 1): 0.5, (0, 1): 0.0, (1, 0): 0.0}
    """
    half = Fraction(1, 2)
    crossings = sorted({(k + half) / abs(n) for n in (row, column) for k in range(abs(n))})
    shares = {}
    for start, stop in pairwise([Fraction(0), *crossings, Fraction(1)]):
        middle = (start + stop) / 2
        shares[round(middle * row), round(middle * column)] = float(stop - start)
    for crossing in crossings:
        rows, columns = ({ceil(x * crossing - half), floor(x * crossing + half)} for x in (row, column))
        shares |= {cell: 0.0 for cell in sorted(product(rows, columns)) if cell not in shares}
    return shares


CELLS_ON_EDGE = [cells_on_edge(r, c) for r, c in OFFSETS]


def edge_times(
    slowness: tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]], cell_m: float
) -> Float[np.ndarray, "H W offset"]:
    """Time of spread from every cell to each of its neighbours, along a straight line through the cells between.

    Args:
        slowness: fields of `directional_slowness`, in s m-1.
        cell_m: side of a cell in m.

    Returns:
        Seconds, in the order of `OFFSETS`; infinite over cells that do not burn and out of the window.
    """
    height, width = slowness[0].shape
    margin = max(r for r, _ in OFFSETS)
    padded = [np.pad(field, margin, constant_values=np.inf if n == 0 else 0) for n, field in enumerate(slowness)]
    times = np.empty((height, width, len(OFFSETS)))
    for n, (row, column) in enumerate(OFFSETS):
        east, north = column * cell_m, -row * cell_m  # row 0 is the northern edge
        along = padded[0] * hypot(east, north) - padded[1] * east - padded[2] * north
        total = np.zeros((height, width))
        for (r, c), share in CELLS_ON_EDGE[n].items():
            cell = along[margin + r : margin + r + height, margin + c : margin + c + width]
            total += share * cell if share else np.where(np.isinf(cell), np.inf, 0)
        times[:, :, n] = total
    return times


def spread(
    terrain: Terrain,
    ignition: Bool[np.ndarray, "H W"],
    wind: Iterable[tuple[float, float]],
    step_seconds: float,
    moisture: float,
) -> Float[np.ndarray, "H W"]:
    """Arrival time of a fire whose wind changes from step to step.

    Each step is one search for minimum travel times from the whole burned area under that step's wind. What a fire has
    covered of an edge when the wind changes is kept as a share and finished at the new rate, so the length of a step
    changes nothing under a steady wind. Errors that remain: fire runs in 32 directions, which makes an ellipse a
    polygon inside it (between two of them the head is up to 5 % slow at a length-to-breadth ratio of 1.5, 13 % at 2.5),
    and rates are uniform in a cell and in a step. There is no spotting and no crown fire.

    Args:
        terrain: ground; its edge stops the fire.
        ignition: cells that burn at time 0.
        wind: open wind (u, v) of each step in m s-1, towards east and north.
        step_seconds: length of a step.
        moisture: see `moisture_damping`.

    Returns:
        Seconds since ignition, at most the length of all steps; NaN = not burned by then.

    References:
        Finney (2002), Can. J. For. Res. 32:1420-1424.
    """
    shape = terrain.fuel_model.shape
    arrival = np.where(ignition & terrain.burnable, 0.0, np.inf)
    neighbours = _neighbours(shape)
    covered = np.zeros((*shape, len(OFFSETS)))
    for step, (wind_u, wind_v) in enumerate(wind):
        start, end = step * step_seconds, (step + 1) * step_seconds
        times = edge_times(directional_slowness(terrain, wind_u, wind_v, moisture), terrain.cell_m)
        left = np.where(np.isinf(arrival.ravel()[neighbours]), times * (1 - covered), np.inf)
        graph = csr_array(
            (np.maximum(left, 1e-9).ravel(), neighbours.ravel(), np.arange(0, left.size + 1, len(OFFSETS))),
            shape=(arrival.size, arrival.size),
        )
        sources = np.flatnonzero(np.isfinite(arrival))
        reached = dijkstra(graph, indices=sources, min_only=True, limit=step_seconds).reshape(shape)
        arrival = np.minimum(arrival, start + reached)
        covered += (end - np.clip(arrival, start, end))[:, :, None] / times
    return np.where(np.isfinite(arrival), arrival, np.nan)


def _neighbours(shape: tuple[int, int]) -> np.ndarray:
    """Flat index of each cell's neighbours [H, W, offset]; the cell itself where that would be out of the window."""
    row, column = np.indices(shape)[..., None]
    offsets = np.array(OFFSETS)
    to_row, to_column = row + offsets[:, 0], column + offsets[:, 1]
    inside = (to_row >= 0) & (to_row < shape[0]) & (to_column >= 0) & (to_column < shape[1])
    return np.where(inside, to_row * shape[1] + to_column, row * shape[1] + column).astype(np.int32)
