"""A world where fires have a cause in common that no forecast is told: how dry the fuel is, and where the wind turns.

Cells catch fire from burning neighbours by chance. Within one step all cells of a fire share two numbers, the dryness
of the fuel and the turn of the true wind against the one that is told; both are drawn anew for every step. So two
futures of one state differ as wholes, and the areas they burn spread far more than chance in each cell alone would let
them. The burned area is all of the state: simulations from it under the told wind, with dryness and turn drawn anew,
are the exact forecast, the oracle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from emberformer.arrival_leads import NEVER
from emberformer.data.valley import fractal_noise

SIZE = 56  # cells on a side
DRYNESS = 0.6  # standard deviation of the logarithm of the rate's shared factor
TURN = np.radians(20.0)  # standard deviation of the true wind's angle to the told one
SUBSTEPS = 8  # of a step; cells catch fire from what burned before
BASE_RATE = 0.04  # ignitions of a neighbour a substep, on level average ground in calm air
PER_WIND = 0.4  # growth of the logarithm of the rate for each m/s along the spread
PER_SLOPE = 0.35  # likewise for the rise to the next cell, in standard deviations of the elevation
WIND_SPEED = (3.0, 8.0)  # m/s
SHIFT_SHARE = 0.5  # of the steps, before which the wind shifts to any direction; else it wanders
WANDER = np.radians(25.0)  # standard deviation of the direction's change where it does not shift
NEIGHBOURS = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)]  # from a burning cell to another


@dataclass(frozen=True)
class Ground:
    """Where fires burn; row 0 is the northern edge.

    Args:
        fuel: logarithm of the fuel's factor on the rate of spread.
        elevation: in standard deviations.
    """

    fuel: Float[np.ndarray, "n y x"]
    elevation: Float[np.ndarray, "n y x"]

    def repeated(self, number: int) -> Ground:
        """Each ground so many times, next to each other."""
        return Ground(self.fuel.repeat(number, 0), self.elevation.repeat(number, 0))


@dataclass(frozen=True)
class HiddenCause:
    """What all cells of a fire share in one step, and nobody is told.

    Args:
        dryness: factor on the rate of spread.
        turn: angle in radians from the told to the true wind, anticlockwise.
    """

    dryness: Float[np.ndarray, " n"]
    turn: Float[np.ndarray, " n"]


def draw_cause(number: int, rng: np.random.Generator) -> HiddenCause:
    """The causes of one step of so many fires."""
    dryness = np.exp(DRYNESS * rng.standard_normal(number))
    return HiddenCause(dryness, TURN * rng.standard_normal(number))


def draw_ground(number: int, rng: np.random.Generator) -> Ground:
    """Smooth hills, and fuels in larger and smaller patches."""
    fuel = np.stack([0.5 * fractal_noise(SIZE, 1.6, rng) for _ in range(number)])
    return Ground(fuel, np.stack([fractal_noise(SIZE, 2.2, rng) for _ in range(number)]))


def draw_wind(number: int, steps: int, rng: np.random.Generator) -> Float[np.ndarray, "n step 2"]:
    """Told wind of every step in m/s, towards east and north; its direction shifts often."""
    direction = rng.uniform(-np.pi, np.pi, (number, steps))
    wandering = rng.random((number, steps)) >= SHIFT_SHARE
    change = WANDER * rng.standard_normal((number, steps))
    for step in range(1, steps):
        direction[:, step] = np.where(wandering[:, step], direction[:, step - 1] + change[:, step], direction[:, step])
    speed = rng.uniform(*WIND_SPEED, (number, steps))
    return np.stack([speed * np.cos(direction), speed * np.sin(direction)], -1)


def ignite(number: int, rng: np.random.Generator, reach: int = 4) -> Bool[np.ndarray, "n y x"]:
    """A burning spot of 13 cells, at most so many rows and columns from the middle of every ground."""
    centre = rng.integers(SIZE // 2 - reach, SIZE // 2 + reach + 1, (number, 2))
    row, column = np.indices((SIZE, SIZE))
    return np.hypot(row - centre[:, 0, None, None], column - centre[:, 1, None, None]) <= 2


def ignition_rates(
    ground: Ground, wind: Float[np.ndarray, "n 2"], cause: HiddenCause
) -> list[Float[np.ndarray, "n y x"]]:
    """Rate at which a burning neighbour ignites each cell, in the order of `NEIGHBOURS`.

        rate = BASE_RATE dryness exp(fuel + PER_WIND wind . direction + PER_SLOPE rise) / distance

    Args:
        ground: of every fire.
        wind: told, in m/s towards east and north.
        cause: of this step.
    """
    cos, sin = np.cos(cause.turn), np.sin(cause.turn)
    east, north = cos * wind[:, 0] - sin * wind[:, 1], sin * wind[:, 0] + cos * wind[:, 1]
    rates = []
    for row, column in NEIGHBOURS:
        distance = np.hypot(row, column)
        along = (east * column - north * row) / distance  # row 0 is the northern edge
        rise = ground.elevation - np.roll(ground.elevation, (row, column), (1, 2))
        shared = np.log(BASE_RATE * cause.dryness / distance) + PER_WIND * along
        rates.append(np.exp(ground.fuel + PER_SLOPE * rise + shared[:, None, None]))
    return rates


def burn(
    burned: Bool[np.ndarray, "n y x"],
    ground: Ground,
    wind: Float[np.ndarray, "n 2"],
    cause: HiddenCause,
    rng: np.random.Generator,
) -> Bool[np.ndarray, "n y x"]:
    """What has burned one step later.

    Args:
        burned: at the beginning.
        ground: of every fire.
        wind: told for this step.
        cause: of this step.
        rng: the chance of each cell.
    """
    rates = ignition_rates(ground, wind, cause)
    for _ in range(SUBSTEPS):
        padded = np.pad(burned, ((0, 0), (1, 1), (1, 1)))
        hazard = np.zeros(burned.shape)
        for (row, column), rate in zip(NEIGHBOURS, rates, strict=True):
            hazard += rate * padded[:, 1 - row : 1 - row + SIZE, 1 - column : 1 - column + SIZE]
        burned = burned | (rng.random(burned.shape) < -np.expm1(-hazard))
    return burned


def futures(
    burned: Bool[np.ndarray, "n y x"],
    ground: Ground,
    coming_wind: Float[np.ndarray, "n lead 2"],
    members: int,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "n member y x"]:
    """The oracle: simulations from each state under the told wind, coded as `emberformer.arrival_leads` says.

    Args:
        burned: the state.
        ground: of every state.
        coming_wind: told for the coming steps.
        members: simulations of each state.
        rng: of causes and cells.
    """
    now, of = burned.repeat(members, 0), ground.repeated(members)
    arrival = np.where(now, 0, NEVER).astype(np.uint8)
    for lead in range(1, coming_wind.shape[1] + 1):
        wind = coming_wind[:, lead - 1].repeat(members, 0)
        now = burn(now, of, wind, draw_cause(len(now), rng), rng)
        arrival[now & (arrival == NEVER)] = lead
    return arrival.reshape(len(burned), members, SIZE, SIZE)
