"""Normalisation of terrain, conditions and wind on the raster, fitted on training fires only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from dask.base import compute
from dask.delayed import Delayed, delayed
from jaxtyping import Float, Float64, Int
from tqdm.dask import TqdmCallback

BLOCK_BYTES = 2**24  # of terrain that a core reads at once
WIND_SCALE = 10.0  # m/s; a vector is scaled, never shifted, or calm air would get a direction


@dataclass(frozen=True)
class TerrainNormaliser:
    """Which full-resolution channels of the terrain, or of the conditions, there are, and how they are computed.

    Args:
        continuous: band -> (mean, standard deviation) over known pixels of the training fires' windows.
        angles: bands in degrees, given to the model as east (sine) and north (cosine) components.
        binary: bands of 0 and 1.
        codes: 'band|unit' of a categorical band -> codes seen in training; index 0 is 'unknown'. The unit names the
            fuel model, so that equal codes of two fuel models stay apart.
    """

    continuous: dict[str, tuple[float, float]]
    angles: tuple[str, ...]
    binary: tuple[str, ...]
    codes: dict[str, tuple[int, ...]]

    @classmethod
    def fit(cls, training: list[tuple[xr.Dataset, list[int]]]) -> TerrainNormaliser:
        """Fit in one pass over the terrain, a block at a time, with a bar for what takes long.

        Memory holds one block a core: some windows, or one band of a large one. Terrain that is chunked already keeps
        its chunks; the result is the same for any, but for rounding in the last digits of float64.

        Args:
            training: pairs of a fires store and the terrain indices of its training fires.
        """
        continuous: dict[str, list[np.ndarray]] = {}
        angles, binary, codes = set(), set(), {}
        blocks: list[tuple[xr.Dataset, Delayed]] = []
        for fires, terrains in training:
            bands = _bands(fires)
            angles.update(band for band, kind, _ in bands if kind == "angle")
            binary.update(band for band, kind, _ in bands if kind == "binary")
            blocks += [(fires, block) for block in _summaries(fires, terrains)]
        with TqdmCallback(desc="terrain statistics", unit="task", delay=1, mininterval=1):
            found = compute(*(block for _, block in blocks))
        for (fires, _), (first_band, summaries) in zip(blocks, found, strict=True):
            for (band, kind, unit), summary in zip(_bands(fires)[first_band:], summaries, strict=False):
                if kind == "continuous":
                    continuous.setdefault(band, []).append(summary)
                elif kind == "categorical":
                    codes.setdefault(f"{band}|{unit}", set()).update(summary.astype(int).tolist())
        return cls(
            {band: _combined(np.stack(moments)) for band, moments in sorted(continuous.items())},
            tuple(sorted(angles)),
            tuple(sorted(binary)),
            {k: tuple(sorted(v)) for k, v in sorted(codes.items()) if v},  # of no code seen nothing can be learned
        )

    @property
    def channels(self) -> list[str]:
        """Names of the full-resolution channels; the last says which share of the bands is known at a pixel."""
        vectors = [f"{band}.{part}" for band in self.angles for part in ("east", "north")]
        return [*self.continuous, *vectors, *self.binary, "known"]

    @property
    def category_sizes(self) -> tuple[int, ...]:
        return tuple(len(codes) + 1 for codes in self.codes.values())

    def apply(self, fires: xr.Dataset, terrain: int) -> tuple[Float[np.ndarray, "K H W"], Int[np.ndarray, "Q H W"]]:
        """Channels and category indices of one terrain window; a band that the data set lacks is 0."""
        return self.of_values(fires.terrain[terrain].values, fires)

    def of_values(
        self, rasters: Float[np.ndarray, "band H W"], fires: xr.Dataset
    ) -> tuple[Float[np.ndarray, "K H W"], Int[np.ndarray, "Q H W"]]:
        """The same of a part of a window that has been read: all bands of the data set."""
        values = dict(zip((band for band, _, _ in _bands(fires)), rasters, strict=True))
        units = {band: unit for band, _, unit in _bands(fires)}
        shape = rasters.shape[1:]
        zero = np.zeros(shape, np.float32)
        channels = [
            np.nan_to_num((values[band] - mean) / deviation) if band in values else zero
            for band, (mean, deviation) in self.continuous.items()
        ]
        for band in self.angles:
            angle = np.deg2rad(values[band]) if band in values else zero * np.nan
            channels += [np.nan_to_num(np.sin(angle)), np.nan_to_num(np.cos(angle))]
        channels += [np.nan_to_num(values[band]) if band in values else zero for band in self.binary]
        channels.append(np.mean([np.isfinite(v) for v in values.values()], 0) if values else zero)
        categories = []
        for key, codes in self.codes.items():
            band, unit = key.split("|", 1)
            known = values[band] if band in values and units[band] == unit else zero * np.nan
            position = np.searchsorted(codes, np.nan_to_num(known, nan=-1.0))
            position = np.minimum(position, len(codes) - 1)
            categories.append(np.where(np.asarray(codes)[position] == known, position + 1, 0))
        empty = np.zeros((0, *shape), np.int64)
        return np.stack(channels).astype(np.float32), np.stack(categories).astype(np.int64) if categories else empty

    @property
    def patch_channels(self) -> list[str]:
        """Names of what `of_patches` gives: `channels`, then a flag for each code of the categorical bands."""
        return [*self.channels, *(f"{key}={code}" for key, codes in self.codes.items() for code in codes)]

    def of_patches(
        self, means: dict[str, Float[np.ndarray, "Gy Gx"]], units: dict[str, str]
    ) -> Float[np.ndarray, "K Gy Gx"]:
        """Channels of patches from their means in a feature store; what is not known or not there is 0.

        Args:
            means: `terrain_mean` of a window by the store's `channel`.
            units: unit of every band of the data set.
        """
        nothing = np.full_like(means["known"], np.nan)
        found = [(means.get(band, nothing) - mean) / deviation for band, (mean, deviation) in self.continuous.items()]
        found += [means.get(f"{band}.{part}", nothing) for band in self.angles for part in ("sin", "cos")]
        found += [means.get(band, nothing) for band in self.binary]
        found.append(means["known"])
        for key, codes in self.codes.items():
            band, unit = key.split("|", 1)
            modes = means.get(band, nothing) if units.get(band) == unit else nothing
            found += [modes == code for code in codes]
        return np.nan_to_num(np.stack(found)).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> TerrainNormaliser:
        return cls(
            {band: (float(m), float(s)) for band, (m, s) in content["continuous"].items()},
            tuple(content["angles"]), tuple(content["binary"]),
            {key: tuple(codes) for key, codes in content["codes"].items()},
        )  # fmt: skip


def conditions_as_terrain(fires: xr.Dataset) -> xr.Dataset:
    """The conditions of a fires store under the names of its terrain, a window a frame, for one class normalises both.

    A store without conditions has no band there.
    """
    if "conditions" not in fires:
        nothing = np.zeros((fires.sizes["frame"], 0, fires.sizes["y"], fires.sizes["x"]), np.float32)
        bands = {name: ("band", np.array([], "U1")) for name in ("band", "band_kind", "band_unit")}
        return xr.Dataset({"terrain": (("terrain", "band", "y", "x"), nothing)}, coords=bands)
    named = {"condition": "band", "condition_kind": "band_kind", "condition_unit": "band_unit"}
    only = fires[["conditions"]]
    only = only.drop_vars([name for name in only.coords if name not in named])
    return only.rename(named | {"conditions": "terrain", "frame": "terrain"})


def _bands(fires: xr.Dataset) -> list[tuple[str, str, str]]:
    return list(zip(*(map(str, fires[name].values) for name in ("band", "band_kind", "band_unit")), strict=True))


def _summaries(fires: xr.Dataset, terrains: list[int]) -> list[Delayed]:
    """For each block of the terrain that holds one of the windows: its first band, and a summary of each band in it."""
    terrain = fires.terrain
    if not terrain.chunks:  # the store holds a band of a window in one piece, so no less is ever read
        windows = BLOCK_BYTES // (terrain.dtype.itemsize * int(np.prod(terrain.shape[1:])))
        terrain = terrain.chunk(terrain=max(1, windows), band=-1 if windows else 1)
    kinds = tuple(kind for _, kind, _ in _bands(fires))
    edges = [np.cumsum([0, *sizes]) for sizes in terrain.data.chunks]
    summary = delayed(_summary, pure=False)
    chosen, found = np.sort(np.asarray(terrains, int)), []
    for (window, band, *_), block in np.ndenumerate(terrain.data.to_delayed()):
        begin, end = edges[0][window : window + 2]
        inside = chosen[slice(*np.searchsorted(chosen, (begin, end)))] - begin
        if inside.size:
            found.append(summary(block, inside, int(edges[1][band]), kinds))
    return found


def _summary(
    terrain: Float[np.ndarray, "N C y x"], windows: Int[np.ndarray, " W"], first: int, kinds: tuple[str, ...]
) -> tuple[int, list[np.ndarray]]:
    """Moments of continuous bands, codes of categorical ones; the block begins with the band `first`."""
    results = []
    for number, kind in enumerate(kinds[first : first + terrain.shape[1]]):
        values = terrain[windows, number] if kind in ("continuous", "categorical") else terrain[:0, 0]
        known = values[np.isfinite(values)]
        results.append(_moments(known) if kind == "continuous" else np.unique(known))
    return first, results


def _moments(values: Float[np.ndarray, " N"]) -> Float64[np.ndarray, " 3"]:
    """Number of values, their mean, and the sum of their squared distances from it."""
    if not values.size:
        return np.zeros(3)
    # From the first value on: constant bands come out without spread, and large offsets lose no digits.
    shifted = values.astype(np.float64)
    origin = shifted[0]
    shifted -= origin
    centre = shifted.mean()
    shifted -= centre
    return np.array([values.size, origin + centre, np.dot(shifted, shifted)])


def _combined(moments: Float64[np.ndarray, "B 3"]) -> tuple[float, float]:
    """Mean and standard deviation of blocks taken together; a band without spread or values gets deviation 1.

    References:
        Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance, The American Statistician 37.
    """
    count, mean, spread = moments[moments[:, 0] > 0].T
    if not count.size:
        return 0.0, 1.0
    centre = mean[0] + float(np.dot(count, mean - mean[0]) / count.sum())
    squares = spread.sum() + np.dot(count, (mean - centre) ** 2)
    return float(centre), float(np.sqrt(squares / count.sum()) or 1.0)


def wind_input(wind: Float[np.ndarray, "T 2"]) -> Float[np.ndarray, "T 2"]:
    """Wind as the model takes it: m/s divided by 10; unknown wind is still air."""
    return np.nan_to_num(wind / WIND_SCALE).astype(np.float32)
