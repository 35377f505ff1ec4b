"""Normalisation of terrain and wind on the raster, fitted on training fires only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

WIND_SCALE = 10.0  # m/s; a vector is scaled, never shifted, or calm air would get a direction


@dataclass(frozen=True)
class TerrainNormaliser:
    """Which full-resolution terrain channels there are, and how they are computed.

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
        """Fit on pairs of a fires store and the terrain indices of its training fires."""
        continuous: dict[str, np.ndarray] = {}
        angles, binary, codes = set(), set(), {}
        for fires, terrains in training:
            for number, (band, kind, unit) in enumerate(_bands(fires)):
                if kind == "angle":
                    angles.add(band)
                elif kind == "binary":
                    binary.add(band)
                for terrain in terrains:
                    if kind not in ("continuous", "categorical"):
                        continue
                    values = fires.terrain[terrain, number].values
                    values = values[np.isfinite(values)].astype(np.float64)
                    if kind == "continuous":
                        sums = np.array([values.size, values.sum(), (values**2).sum()])
                        continuous[band] = continuous.get(band, 0) + sums
                    else:
                        codes.setdefault(f"{band}|{unit}", set()).update(np.unique(values).astype(int).tolist())
        moments = {}
        for band, (count, total, squares) in sorted(continuous.items()):
            mean = total / max(count, 1)
            moments[band] = (float(mean), float(np.sqrt(max(squares / max(count, 1) - mean**2, 0)) or 1.0))
        return cls(
            moments,
            tuple(sorted(angles)),
            tuple(sorted(binary)),
            {k: tuple(sorted(v)) for k, v in sorted(codes.items())},
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
        values = dict(zip((b for b, _, _ in _bands(fires)), fires.terrain[terrain].values, strict=True))
        units = {band: unit for band, _, unit in _bands(fires)}
        shape = (fires.sizes["y"], fires.sizes["x"])
        zero = np.zeros(shape, np.float32)
        channels = [
            np.nan_to_num((values[band] - mean) / deviation) if band in values else zero
            for band, (mean, deviation) in self.continuous.items()
        ]
        for band in self.angles:
            angle = np.deg2rad(values[band]) if band in values else zero * np.nan
            channels += [np.nan_to_num(np.sin(angle)), np.nan_to_num(np.cos(angle))]
        channels += [np.nan_to_num(values[band]) if band in values else zero for band in self.binary]
        channels.append(np.mean([np.isfinite(v) for v in values.values()], 0))
        categories = []
        for key, codes in self.codes.items():
            band, unit = key.split("|", 1)
            known = values[band] if band in values and units[band] == unit else zero * np.nan
            position = np.searchsorted(codes, np.nan_to_num(known, nan=-1.0))
            position = np.minimum(position, len(codes) - 1)
            categories.append(np.where(np.asarray(codes)[position] == known, position + 1, 0))
        empty = np.zeros((0, *shape), np.int64)
        return np.stack(channels).astype(np.float32), np.stack(categories).astype(np.int64) if categories else empty

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> TerrainNormaliser:
        return cls(
            {band: (float(m), float(s)) for band, (m, s) in content["continuous"].items()},
            tuple(content["angles"]), tuple(content["binary"]),
            {key: tuple(codes) for key, codes in content["codes"].items()},
        )  # fmt: skip


def _bands(fires: xr.Dataset) -> list[tuple[str, str, str]]:
    return list(zip(*(map(str, fires[name].values) for name in ("band", "band_kind", "band_unit")), strict=True))


def wind_input(wind: Float[np.ndarray, "T 2"]) -> Float[np.ndarray, "T 2"]:
    """Wind as the model takes it: m/s divided by 10; unknown wind is still air."""
    return np.nan_to_num(wind / WIND_SCALE).astype(np.float32)
