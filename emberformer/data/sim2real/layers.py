"""LANDFIRE rasters of a scene of Sim2Real-Fire, found by name, in SI; NaN = no data.

What the values stand for: LANDFIRE's data dictionaries, https://landfire.gov/data/data-dictionary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from emberformer.data.fires import Band, BandKind, Window
from emberformer.data.landscape_raster import Landscape, check_one_grid, open_landscape
from emberformer.data.sim2real.tree import SceneFiles
from emberformer.data_settings import BandSettings
from emberformer.errors import InputError
from emberformer.sim2real_settings import UNITS, Layer, Sim2RealSettings


class LayerSource(NamedTuple):
    """How a layer is found and read.

    Args:
        name: what its raster's name holds, in lower case: words in full, or LANDFIRE's product between other letters.
        kind: of its values.
        step: what a unit of the raster is in that of the store.
        most: the largest number; above it LANDFIRE has codes of water, ice, built-up land and the like.
    """

    name: str
    kind: BandKind
    step: float = 1.0
    most: float = np.inf


SOURCES: dict[Layer, LayerSource] = {
    "elevation": LayerSource("elevation|elev|dem", "continuous"),
    "slope_deg": LayerSource("slope|slpd|slpp|slp", "continuous"),
    "aspect_deg": LayerSource("aspect|asp", "angle"),
    "fuel_model": LayerSource("fbfm40|f40", "categorical"),
    "fuel_model_13": LayerSource("fbfm13|f13", "categorical"),
    "fuel_characteristic": LayerSource("fuel_characteristic_classification|fccs", "categorical"),
    "fuel_disturbance": LayerSource("fuel_disturbance|fdist", "categorical"),
    "fuel_vegetation_type": LayerSource("fuel_vegetation_type|fvt", "categorical"),
    "fuel_vegetation_cover": LayerSource("fuel_vegetation_cover|fvc", "categorical"),
    "fuel_vegetation_height": LayerSource("fuel_vegetation_height|fvh", "categorical"),
    "canopy_cover": LayerSource("canopy_cover|cc", "continuous"),
    "canopy_height": LayerSource("canopy_height|ch", "continuous", 0.1),
    "canopy_base_height": LayerSource("canopy_base_height|cbh", "continuous", 0.1),
    "canopy_bulk_density": LayerSource("canopy_bulk_density|cbd", "continuous", 0.01),
    "vegetation_type": LayerSource("existing_vegetation_type|evt", "categorical"),
    "vegetation_cover": LayerSource("existing_vegetation_cover|evc", "categorical"),
    "vegetation_height": LayerSource("existing_vegetation_height|evh", "categorical"),
    "succession_class": LayerSource("succession_class(?:es)?|sclass", "categorical"),
    "vegetation_condition": LayerSource("vegetation_condition_class|vcc", "categorical"),
    "vegetation_departure": LayerSource("vegetation_departure|vdep", "continuous", 1.0, 100.0),
}


@dataclass(frozen=True)
class SceneGround:
    """Rasters of one scene, one for each layer of the settings, on one grid; `left_out` names the others."""

    rasters: tuple[Landscape, ...]
    layers: tuple[Layer, ...]
    left_out: tuple[str, ...]

    @property
    def first(self) -> Landscape:
        """The first raster, whose place, shape and cells are those of all."""
        return self.rasters[0]

    @property
    def bands(self) -> tuple[Band, ...]:
        """Bands of the terrain."""
        return tuple(Band(layer, SOURCES[layer].kind, UNITS.get(layer, "1")) for layer in self.layers)

    def read(self, window: Window) -> Float32[np.ndarray, "band y x"]:
        """Terrain of a window that begins on the rasters: float32, NaN = no data, and where it goes beyond them."""
        height, width = self.first.shape
        rows, columns = min(window.height, height - window.row), min(window.width, width - window.column)
        inside = window._replace(height=rows, width=columns)
        terrain = np.full((len(self.layers), window.height, window.width), np.nan, "float32")
        for index, (raster, layer) in enumerate(zip(self.rasters, self.layers, strict=True)):
            values, source = raster.read(inside)[0], SOURCES[layer]
            values[values > source.most] = np.nan
            terrain[index, :rows, :columns] = values * np.float32(source.step)
        return terrain


def open_ground(scene: SceneFiles, settings: Sim2RealSettings) -> SceneGround:
    """Find the rasters of a scene; reads no pixels.

    Raises:
        InputError: a layer has no raster or several, a raster cannot be read, they do not lie on one grid, or the
            slope's name tells another unit.
    """
    files: dict[Layer, Path] = {layer: _find(scene, layer, settings) for layer in settings.layers}
    if "slope_deg" in files:
        _check_slope_unit(files["slope_deg"], settings.slope_unit)
    rasters = tuple(open_landscape(path, {"1": _band_settings(layer, settings)}) for layer, path in files.items())
    check_one_grid(rasters, "bring the rasters of the scene to one grid with gdalwarp")
    left_out = tuple(path.name for path in scene.rasters if path not in files.values())
    return SceneGround(rasters, settings.layers, left_out)


def _check_slope_unit(path: Path, unit: str) -> None:
    """LANDFIRE's products tell the unit of the slope in their names: SlpD in degrees, SlpP in percent."""
    told = re.search(r"slp([dp])(?![a-z0-9])", path.name.lower())
    if told and (named := {"d": "deg", "p": "percent"}[told[1]]) != unit:
        expected = f"{named!r}, as the raster's name says"
        raise InputError(f"{path}, settings `slope_unit`", repr(unit), expected, f"set `slope_unit: {named}`")


def _find(scene: SceneFiles, layer: Layer, settings: Sim2RealSettings) -> Path:
    if layer in settings.files:
        found = [path for path in scene.rasters if path.name == settings.files[layer]]
        wanted = f"one named {settings.files[layer]}"
    else:
        given = set(settings.files.values())
        found = [path for path in scene.rasters if path.name not in given and layer_of(path.name) == layer]
        wanted = f"one whose name holds {SOURCES[layer].name.replace('|', ' or ')}"
    if len(found) != 1:
        there = ", ".join(path.name for path in (found or scene.rasters)) or "none"
        remedy = f"name it: `files: {{{layer}: <file>}}`, or take it out of `layers`"
        raise InputError(f"{scene.folder}, layer {layer}", f"{len(found)} rasters of it: {there}", wanted, remedy)
    return found[0]


def layer_of(name: str) -> Layer | None:
    """Layer that a raster's name tells: words in full, or LANDFIRE's product not within a word.

    >>> layer_of("Canopy_Cover.tif"), layer_of("LC22_Elev_220.tif"), layer_of("US_200FBFM40.tif")
    ('canopy_cover', 'elevation', 'fuel_model')
    """
    plain = re.sub(r"[ -]", "_", name.lower())
    told: list[Layer] = [
        layer for layer, of in SOURCES.items() if re.search(rf"(?<![a-z])(?:{of.name})(?![a-z0-9])", plain)
    ]
    return told[0] if len(told) == 1 else None


def _band_settings(layer: Layer, settings: Sim2RealSettings) -> BandSettings:
    source = SOURCES[layer]
    unit = settings.slope_unit if layer == "slope_deg" else UNITS.get(layer, "1")
    return BandSettings(name=layer, kind=source.kind, unit=unit)
