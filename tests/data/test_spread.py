"""Laws of fire growth: ellipses, wind and slope, barriers, moisture, and steps that lose nothing."""

from dataclasses import replace
from math import pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emberformer.data.spread import (
    CELLS_ON_EDGE,
    OFFSETS,
    WIND_EXPONENT,
    WIND_FACTOR,
    cells_on_edge,
    directional_slowness,
    edge_times,
    length_to_breadth,
    moisture_damping,
    spread,
)
from emberformer.data.valley import BURNABLE_FUELS, WATER, Terrain

SIZE, CELL_M = 91, 30.0
CENTRE = SIZE // 2
GRASS = BURNABLE_FUELS[0]
few = settings(max_examples=12)


def uniform(slope_deg: float = 0.0, aspect_deg: float = -1.0, canopy_cover: float = 0.0, size: int = SIZE) -> Terrain:
    def field(value: float) -> np.ndarray:
        return np.full((size, size), value, dtype=float)

    return Terrain(field(GRASS.code), field(0.0), field(slope_deg), field(aspect_deg), field(canopy_cover), CELL_M)


def spot(size: int = SIZE) -> np.ndarray:
    ignition = np.zeros((size, size), bool)
    ignition[size // 2, size // 2] = True
    return ignition


def burn(terrain: Terrain, wind_u: float = 0.0, wind_v: float = 0.0, reach: float = 40.0, moisture: float = 0.0):
    """Arrival times until the head of a fire on the terrain's middle cell has run `reach` cells."""
    still, east, north = (field[CENTRE, CENTRE] for field in directional_slowness(terrain, wind_u, wind_v, moisture))
    seconds = reach * CELL_M * (still - np.hypot(east, north))
    return spread(terrain, spot(), [(wind_u, wind_v)], seconds, moisture)


def test_anderson_by_hand():
    # 5 mi h-1 = 2.2352 m s-1: 0.936 * e^0.57355 + 0.461 * e^-0.34601 - 0.397 = 1.66099 + 0.32617 - 0.397
    np.testing.assert_allclose(length_to_breadth(np.array([0.0, 2.2352, 50.0])), [1.0, 1.5902, 8.0], atol=2e-4)


def test_calm_level_fire_is_a_circle():
    arrival = burn(uniform(), reach=40.0)
    radius = np.hypot(*(np.argwhere(np.isfinite(arrival)) - CENTRE).T)
    assert radius.max() == pytest.approx(40, abs=0.01)
    assert np.isfinite(arrival).sum() == pytest.approx(pi * 40**2, rel=0.02)
    distance = np.hypot(*(np.indices((SIZE, SIZE)) - CENTRE))
    seen = np.isfinite(arrival) & (distance > 0)
    # the rate is the fuel's own, never more, and with 32 directions at most 1/cos(9.3 deg) less
    detour = arrival[seen] * GRASS.dry_rate / (distance[seen] * CELL_M)
    assert detour.min() == pytest.approx(1)
    assert detour.max() < 1 / np.cos(np.radians(9.3))


@few
@given(st.floats(0, 360), st.floats(2, 8))
def test_wind_driven_fire_is_andersons_ellipse_with_the_ignition_at_its_rear_focus(direction, speed):
    u, v = speed * np.sin(np.radians(direction)), speed * np.cos(np.radians(direction))
    burned = np.argwhere(np.isfinite(burn(uniform(), u, v))) - CENTRE
    along = (burned @ [-v, u]) / speed  # rows run south
    across = (burned @ [u, v]) / speed
    expected = length_to_breadth(np.array([0.4 * speed]))[0]
    assert along.std() / across.std() == pytest.approx(expected, rel=0.08)
    eccentricity = np.sqrt(1 - expected**-2.0)
    assert len(burned) == pytest.approx(pi * (40 / (1 + eccentricity)) ** 2 / expected, rel=0.09)
    # 32 directions make a polygon inside the ellipse: never longer, at most a tenth shorter
    assert 36 < along.max() < 40.01
    assert -along.min() == pytest.approx(40 * (1 - eccentricity) / (1 + eccentricity), abs=1)
    assert along.mean() == pytest.approx(40 * eccentricity / (1 + eccentricity), abs=1.4)
    assert across.mean() == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize(
    ("u", "v", "side"), [(6.0, 0.0, (0, 1)), (-6.0, 0.0, (0, -1)), (0.0, 6.0, (-1, 0)), (0.0, -6.0, (1, 0))]
)
def test_fire_runs_downwind(u, v, side):
    arrival = burn(uniform(), u, v)
    row, column = np.multiply(side, 3)
    assert arrival[CENTRE + row, CENTRE + column] < arrival[CENTRE - row, CENTRE - column]
    np.testing.assert_allclose(arrival[CENTRE + column, CENTRE + row], arrival[CENTRE - column, CENTRE - row])


@pytest.mark.parametrize(("downslope", "side"), [(270, (0, 1)), (90, (0, -1)), (180, (-1, 0)), (0, (1, 0))])
def test_fire_runs_upslope(downslope, side):
    arrival = burn(uniform(slope_deg=25.0, aspect_deg=float(downslope)))
    row, column = np.multiply(side, 3)
    assert arrival[CENTRE + row, CENTRE + column] < 0.6 * arrival[CENTRE - row, CENTRE - column]


def test_wind_and_slope_that_oppose_each_other_cancel():
    still, *_ = directional_slowness(uniform(slope_deg=20.0, aspect_deg=90.0), 0.0, 0.0, 0.0)
    factor = GRASS.dry_rate**-1
    slope_factor = 22.13 * np.tan(np.radians(20)) ** 2  # 5.275 * 0.008393^-0.3 = 22.13
    balance = (slope_factor / WIND_FACTOR) ** (1 / WIND_EXPONENT) / 0.4  # m s-1, towards east: downslope
    opposed, east, north = directional_slowness(uniform(slope_deg=20.0, aspect_deg=90.0), balance, 0.0, 0.0)
    assert opposed[0, 0] == pytest.approx(factor, rel=0.03)
    assert np.hypot(east[0, 0], north[0, 0]) < 0.03 * factor
    assert still[0, 0] != pytest.approx(factor, rel=0.03)


@few
@given(st.floats(-8, 8), st.floats(-8, 8))
def test_mirrored_wind_gives_the_mirrored_fire(u, v):
    arrival = burn(uniform(), u, v)
    np.testing.assert_allclose(burn(uniform(), -u, v), arrival[:, ::-1])
    np.testing.assert_allclose(burn(uniform(), u, -v), arrival[::-1])
    np.testing.assert_allclose(burn(uniform(), -v, -u), arrival.T)  # rows run south: a transpose swaps u and -v


@few
@given(st.integers(2, 12), st.floats(-6, 6), st.floats(-6, 6), st.integers(0, 99))
def test_more_and_shorter_steps_of_one_wind_change_nothing(steps, u, v, seed):
    rng = np.random.default_rng(seed)
    codes = rng.choice([float(fuel.code) for fuel in (*BURNABLE_FUELS, WATER)], (31, 31))
    terrain = replace(uniform(slope_deg=10.0, aspect_deg=200.0, size=31), fuel_model=codes)
    terrain.fuel_model[15, 15] = GRASS.code
    whole = spread(terrain, spot(31), [(u, v)], 3600.0, 0.2)
    split = spread(terrain, spot(31), [(u, v)] * steps, 3600.0 / steps, 0.2)
    np.testing.assert_allclose(split, whole, rtol=1e-9)


@few
@given(st.integers(1, 3), st.floats(0, 6.28))
def test_the_wind_of_a_step_changes_nothing_before_it(step, turn):
    wind = [(5.0, 0.0)] * 4
    turned = wind[:step] + [(5 * np.cos(turn), 5 * np.sin(turn))] * (4 - step)
    first, second = (spread(uniform(), spot(), w, 600.0, 0.3) for w in (wind, turned))
    before = first <= step * 600.0
    np.testing.assert_array_equal(before, second <= step * 600.0)
    np.testing.assert_array_equal(first[before], second[before])


def test_a_turned_wind_turns_the_new_growth():
    arrival = spread(uniform(), spot(), [(6.0, 0.0), (0.0, 6.0)], 1500.0, 0.3)
    early, late = (np.argwhere(part).mean(axis=0) for part in (arrival <= 1500, arrival > 1500))
    assert early[1] - CENTRE > 3  # east
    assert early[0] == pytest.approx(CENTRE)
    assert late[0] < early[0] - 3  # then north


def closed_ring(thick: bool) -> np.ndarray:
    """A diamond of water around the middle; thin, its cells touch at corners only."""
    distance = np.abs(np.indices((SIZE, SIZE)) - CENTRE).sum(axis=0)
    return (distance >= 15) & (distance <= (17 if thick else 15))


@few
@given(st.booleans(), st.floats(-12, 12), st.floats(-12, 12))
def test_fire_does_not_cross_a_closed_barrier(thick, u, v):
    ring = closed_ring(thick)
    terrain = uniform()
    terrain.fuel_model[ring] = WATER.code
    arrival = spread(terrain, spot(), [(u, v)], 1e6, 0.0)
    inside = np.abs(np.indices((SIZE, SIZE)) - CENTRE).sum(axis=0) < 15
    np.testing.assert_array_equal(np.isfinite(arrival), inside)


def test_fire_finds_a_gap_in_the_barrier():
    terrain = uniform()
    terrain.fuel_model[closed_ring(thick=True)] = WATER.code
    terrain.fuel_model[CENTRE, CENTRE:] = GRASS.code  # to the east
    arrival = spread(terrain, spot(), [(0.0, 0.0)], 1e6, 0.0)
    np.testing.assert_array_equal(np.isfinite(arrival), terrain.burnable)
    assert arrival[CENTRE, CENTRE + 25] < arrival[CENTRE, CENTRE - 25]


@few
@given(st.floats(0, 0.3), st.floats(0.6, 0.95), st.floats(-6, 6))
def test_wetter_fuel_burns_later_and_less(dry, wet, u):
    first, second = (spread(uniform(), spot(), [(u, 4.0)], 1800.0, moisture) for moisture in (dry, wet))
    assert np.isfinite(second).sum() < np.isfinite(first).sum()
    both = np.isfinite(second)
    np.testing.assert_allclose(second[both] * moisture_damping(wet), first[both] * moisture_damping(dry))


def test_trees_shelter_the_flames_from_wind_only():
    burned = [
        np.isfinite(spread(uniform(canopy_cover=c), spot(), [(8.0, 0.0)], 900.0, 0.0)).sum() for c in (0.0, 40.0, 80.0)
    ]
    assert burned[0] > burned[1] > burned[2]
    np.testing.assert_array_equal(burn(uniform(canopy_cover=80.0)), burn(uniform()))


def test_nothing_burns_at_extinction_or_on_water():
    arrival = spread(uniform(), spot(), [(5.0, 5.0)], 1e6, 1.0)
    assert np.isfinite(arrival).sum() == 1
    terrain = uniform()
    terrain.fuel_model[CENTRE, CENTRE] = WATER.code
    assert np.isnan(spread(terrain, spot(), [(5.0, 5.0)], 1e6, 0.0)).all()


def test_the_neighbourhood_has_32_directions():
    assert len(OFFSETS) == len({np.arctan2(row, column) for row, column in OFFSETS}) == 32


@given(st.integers(-6, 6), st.integers(-6, 6))
def test_shares_of_an_edge_add_up_and_mirror(row, column):
    if row == column == 0:
        return
    shares = cells_on_edge(row, column)
    assert sum(shares.values()) == pytest.approx(1)
    assert {(0, 0), (row, column)} <= set(shares)
    assert {(c, r): pytest.approx(s) for (r, c), s in shares.items()} == cells_on_edge(column, row)
    assert {(-r, c): pytest.approx(s) for (r, c), s in shares.items()} == cells_on_edge(-row, column)


def test_an_edge_takes_the_time_of_the_cells_it_crosses():
    terrain = uniform(size=9)
    terrain.fuel_model[4, 5] = BURNABLE_FUELS[4].code
    slowness = directional_slowness(terrain, 0.0, 0.0, 0.0)
    times = edge_times(slowness, CELL_M)[4, 4]
    grass, litter = (CELL_M / fuel.dry_rate for fuel in (GRASS, BURNABLE_FUELS[4]))
    assert times[OFFSETS.index((0, 1))] == pytest.approx((grass + litter) / 2)
    assert times[OFFSETS.index((1, 2))] == pytest.approx(5**0.5 * (0.75 * grass + 0.25 * litter))
    assert times[OFFSETS.index((0, -1))] == pytest.approx(grass)
    assert len(CELLS_ON_EDGE) == len(OFFSETS)
    assert np.isinf(edge_times(slowness, CELL_M)[0, 0, OFFSETS.index((-1, 0))])
