"""Generated ground and wind of the embedded demo: a river valley with its fuels, and the wind over one fire."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from jaxtyping import Bool, Float, Int
from rasterio import Affine

NODATA = -9999.0
CRS = "EPSG:32719"  # any UTM zone would do: the valley is invented
UPPER_LEFT = (340_000.0, 6_160_000.0)  # easting and northing in m


@dataclass(frozen=True)
class Fuel:
    """One fuel: its code, how fast it burns, and the trees above it.

    Args:
        code: number of the fuel model of Scott and Burgan (2005) that it resembles.
        dry_rate: rate of spread in m s-1 without wind, slope and moisture; 0 = does not burn. A round figure of the
            right order, chosen for the demo.
        canopy_cover: typical share of ground under trees in percent.
    """

    code: int
    dry_rate: float
    canopy_cover: float


# In zones from the valley floor to the heights; then what does not burn.
BURNABLE_FUELS = (
    Fuel(102, 1.40 / 60, 0.0),  # GR2, dry grass
    Fuel(122, 1.10 / 60, 5.0),  # GS2, grass and shrubs
    Fuel(145, 0.80 / 60, 15.0),  # SH5, shrubs
    Fuel(165, 0.60 / 60, 40.0),  # TU5, timber with understorey
    Fuel(183, 0.40 / 60, 65.0),  # TL3, timber litter
)
WATER, ROCK = Fuel(98, 0.0, 0.0), Fuel(99, 0.0, 0.0)  # NB8, NB9
FUELS = (*BURNABLE_FUELS, WATER, ROCK)
ZONE_EDGES = (-0.7, -0.1, 0.5, 1.1)  # between the burnable fuels: height and noise, about in standard deviations


@dataclass(frozen=True)
class Terrain:
    """Ground on which fires burn; row 0 is the northern edge.

    Args:
        fuel_model: codes of `FUELS`.
        elevation: m.
        slope_deg: degrees, 0 = level.
        aspect_deg: downslope direction in degrees clockwise from north, [0, 360); -1 = level.
        canopy_cover: percent.
        cell_m: side of a cell in m.
    """

    fuel_model: Float[np.ndarray, "H W"]
    elevation: Float[np.ndarray, "H W"]
    slope_deg: Float[np.ndarray, "H W"]
    aspect_deg: Float[np.ndarray, "H W"]
    canopy_cover: Float[np.ndarray, "H W"]
    cell_m: float

    @property
    def dry_rate(self) -> Float[np.ndarray, "H W"]:
        """Rate of spread in m s-1 without wind, slope and moisture; 0 = does not burn."""
        rates = np.zeros(self.fuel_model.shape)
        for fuel in FUELS:
            rates[self.fuel_model == fuel.code] = fuel.dry_rate
        return rates

    @property
    def burnable(self) -> Bool[np.ndarray, "H W"]:
        """Where fire can spread."""
        return self.dry_rate > 0

    def window(self, row: int, column: int, size: int) -> Terrain:
        """The square of `size` cells whose upper left cell is (row, column)."""
        rows, columns = slice(row, row + size), slice(column, column + size)
        return Terrain(
            self.fuel_model[rows, columns],
            self.elevation[rows, columns],
            self.slope_deg[rows, columns],
            self.aspect_deg[rows, columns],
            self.canopy_cover[rows, columns],
            self.cell_m,
        )


def generate_valley(size: int, cell_m: float, rng: np.random.Generator) -> Terrain:
    """A valley with a winding river that no fire crosses, fuels in zones by height, and patches of bare rock.

    Args:
        size: height and width in cells.
        cell_m: side of a cell in m.
        rng: the only source of chance.

    Returns:
        The terrain, in float32 as it is written: fires burn on exactly what a reader finds.
    """
    row, column = np.mgrid[:size, :size] / size
    phase = rng.uniform(0, 2 * np.pi, 2)
    river = 0.5 + 0.10 * np.sin(2 * np.pi * 1.2 * row + phase[0]) + 0.03 * np.sin(2 * np.pi * 3.1 * row + phase[1])
    from_river = np.abs(column - river)
    # All heights are shares of the map's width, so that slopes do not depend on its size.
    height = 0.10 * (1 - np.exp(-((from_river / 0.25) ** 2))) + 0.02 * (1 - row)
    height += 0.012 * fractal_noise(size, 1.9, rng)
    elevation = (500 + size * cell_m * (height - height.min())).astype(np.float32)
    slope_deg, aspect_deg = slope_and_aspect(elevation, cell_m)

    zone = 0.6 * _standardise(elevation.astype(np.float64)) + 0.8 * fractal_noise(size, 1.4, rng)
    fuel_index = np.digitize(zone, ZONE_EDGES)
    fuel_index[zone > np.quantile(zone, 0.97)] = FUELS.index(ROCK)
    fuel_index[from_river * size <= 1.25] = FUELS.index(WATER)
    fuel_model = np.array([fuel.code for fuel in FUELS])[fuel_index]
    cover = np.array([fuel.canopy_cover for fuel in FUELS])[fuel_index]
    cover = np.where(cover > 0, np.clip(cover + 8 * fractal_noise(size, 1.0, rng), 0, 95), 0).round()
    return Terrain(
        fuel_model.astype(np.float32), elevation, slope_deg, aspect_deg, cover.astype(np.float32), float(cell_m)
    )


def fractal_noise(size: int, exponent: float, rng: np.random.Generator) -> Float[np.ndarray, "size size"]:
    """Noise whose amplitude falls with spatial frequency f as f^-exponent; mean 0, standard deviation 1.

    The larger the exponent, the smoother. Opposite edges match.

    Args:
        size: height and width in cells.
        exponent: of the amplitude.
        rng: the only source of chance.
    """
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf  # no mean
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * frequency**-exponent
    return _standardise(np.fft.irfft2(spectrum, s=(size, size)))


def slope_and_aspect(
    elevation: Float[np.ndarray, "H W"], cell_m: float
) -> tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Slope and downslope direction by central differences.

    Args:
        elevation: m; row 0 is the northern edge.
        cell_m: side of a cell in m.

    Returns:
        Slope in degrees; aspect in degrees clockwise from north, [0, 360), -1 where level. Both float32.

    Example:
        A hillside that rises 30 m a cell of 30 m to the east is 45 degrees steep and falls to the west.

        >>> slope, aspect = slope_and_aspect(np.array([[0.0, 30, 60]] * 2), 30.0)
        >>> float(slope[0, 1]), float(aspect[0, 1])
        (45.0, 270.0)
    """
    rise_south, rise_east = np.gradient(elevation.astype(np.float64), cell_m)
    steepness = np.hypot(rise_south, rise_east)
    # Downslope is against the gradient, and north is against the rows: hence -rise_east and +rise_south.
    aspect = (np.degrees(np.arctan2(-rise_east, rise_south)) + 360).astype(np.float32) % 360
    return np.degrees(np.arctan(steepness)).astype(np.float32), np.where(steepness > 0, aspect, np.float32(-1))


def generate_wind(
    steps: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " steps"], Int[np.ndarray, " steps"]]:
    """Wind over one fire: a random walk, and in one fire of four a front that turns it.

    Args:
        steps: number of rows.
        rng: the only source of chance.

    Returns:
        Speed in km h-1 with one decimal; direction in whole degrees clockwise from north that it blows FROM, 0-359.
        These are the units and the rounding of the weather tables.
    """
    speed = rng.uniform(8, 26) + np.cumsum(rng.normal(0, 2.0, steps))
    direction = rng.uniform(0, 360) + np.cumsum(rng.normal(0, 8.0, steps))
    turn, passage = rng.choice([-1, 1]) * rng.uniform(45, 90), rng.integers(1, steps + 1)
    if rng.random() < 0.25:
        direction[passage:] += turn
    return np.clip(speed, 2, 40).round(1), direction.round().astype(int) % 360


def write_terrain(path: Path, terrain: Terrain) -> None:
    """Write the bands as one float32 GeoTIFF with band names, UTM coordinates and nodata -9999.

    `burnable` is 1, or nodata where nothing burns; slope and aspect are in degrees.
    """
    bands = {
        "fuel_model": terrain.fuel_model,
        "elevation": terrain.elevation,
        "slope_deg": terrain.slope_deg,
        "aspect_deg": terrain.aspect_deg,
        "canopy_cover": terrain.canopy_cover,
        "burnable": np.where(terrain.burnable, 1.0, NODATA),
    }
    height, width = terrain.elevation.shape
    transform = Affine(terrain.cell_m, 0, UPPER_LEFT[0], 0, -terrain.cell_m, UPPER_LEFT[1])
    form = {
        "driver": "GTiff",
        "dtype": "float32",
        "nodata": NODATA,
        "compress": "deflate",
        "crs": CRS,
        "transform": transform,
    }
    with rasterio.open(path, "w", height=height, width=width, count=len(bands), **form) as raster:
        for number, (name, values) in enumerate(bands.items(), start=1):
            raster.write(values.astype(np.float32), number)
            raster.set_band_description(number, name)


def _standardise(values: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    return (values - values.mean()) / values.std()
