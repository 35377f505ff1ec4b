"""Terrain of a new fire as it is given: which file, band, unit or number stands for which band of the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from emberformer.data.fires import Band
from emberformer.data.raster_files import opened_raster
from emberformer.data.slope_aspect import downslope, slope_in_degrees
from emberformer.errors import InputError

# Bands that are understood by name, where the model does not say how it takes them.
KNOWN_BANDS = {
    "elevation": Band("elevation", "continuous", "m"),
    "slope_deg": Band("slope_deg", "continuous", "deg"),
    "aspect_deg": Band("aspect_deg", "angle", "deg"),
    "fuel_model": Band("fuel_model", "categorical", "1"),
    "burnable": Band("burnable", "binary", "1"),
}
UNIT_NAMES = {"metre": "m", "meter": "m", "metres": "m", "meters": "m", "feet": "ft", "foot": "ft", "degree": "deg",
              "us survey foot": "ft", "degrees": "deg", "%": "percent"}  # fmt: skip
FOOT = 0.3048
ELEVATIONS = (-500.0, 9000.0)  # m: above and below there is no ground
CONVERT = "convert the raster (gdal_calc.py), or correct the unit it states"
FORM = "NAME=FILE, NAME=FILE:BAND, either with @UNIT behind it, NAME=NUMBER, or FILE with named bands"


@dataclass(frozen=True)
class GivenBand:
    """One band that is given: a band of a file, or a number that holds everywhere.

    Args:
        name: the model's name of the band.
        path: the raster, or None.
        number: its band, from 1.
        unit: unit of its values, "" = that of the model; "upslope" for an angle that points there.
        value: the number, where there is no file.
    """

    name: str
    path: Path | None
    number: int
    unit: str
    value: float

    @property
    def where(self) -> str:
        """For messages and notes."""
        return (
            f"{self.path}, band {self.number} ({self.name})" if self.path else f"--terrain {self.name}={self.value:g}"
        )


def find_bands(words: Sequence[str], wanted: Sequence[Band]) -> tuple[dict[str, GivenBand], list[str]]:
    """What is given, by the model's name, and notes on what the model does not take.

    Args:
        words: `NAME=FILE`, `NAME=FILE:BAND` (name or number of the band), `NAME=FILE:BAND@UNIT` (unit of the file where
            it is not the model's: percent, ft, or upslope for an angle), `NAME=NUMBER`, or a file that names its bands.
        wanted: bands that the model takes.

    Raises:
        InputError: naming the first word that is none of these, or gives a band again, or a file that is unreadable.
    """
    names, given, left_out = [band.name for band in wanted], {}, []
    for word in words:
        bands, unnamed = _parse(word, names)
        left_out += unnamed
        for band in bands:
            if band.name in given:
                found = f"{band.name!r} in {band.where} and in {given[band.name].where}"
                raise InputError(f"--terrain {word}", found, "each band once", "leave one of the two out")
            given[band.name] = band
    left_out += [name for name in given if name not in names and name != "elevation"]
    notes = [f"the model takes no terrain band {', '.join(left_out)}: left out"] if left_out else []
    return {name: band for name, band in given.items() if name not in left_out}, notes


def _parse(word: str, names: list[str]) -> tuple[list[GivenBand], list[str]]:
    """Bands of one word, and names of bands of its file that the model does not take."""
    match = re.match(r"([A-Za-z0-9][A-Za-z0-9_.-]*)=(.+)$", word)
    if not match:
        path, _, descriptions = _open(word, word)
        bands = [GivenBand(n, path, i, "", 0.0) for i, n in enumerate(descriptions, 1) if n in {*names, "elevation"}]
        if not bands:
            found = f"bands {descriptions}, none of which the model takes ({', '.join(names)})"
            raise InputError(f"--terrain {word}", found, FORM, "say which band is which: NAME=FILE:BAND")
        return bands, [name or f"{path.name}:{i}" for i, name in enumerate(descriptions, 1)
                       if name not in {*names, "elevation"}]  # fmt: skip
    name, value = match.groups()
    if re.fullmatch(r"nan|[-+]?[\d.]+(e[-+]?\d+)?", value):
        return [GivenBand(name, None, 0, "", float(value))], []
    file, _, unit = value.rpartition("@") if "@" in value and not Path(value).exists() else (value, "", "")
    path, band, descriptions = _open(word, file)
    if band == "" and len(descriptions) > 1 and descriptions.count(name) != 1:
        found = f"{len(descriptions)} bands ({', '.join(d or str(i) for i, d in enumerate(descriptions, 1))})"
        raise InputError(f"--terrain {word}", found, "one band, or the name of one", f"give {name}={path}:BAND")
    band = band or (name if name in descriptions else "1")
    if band in descriptions:
        number = descriptions.index(band) + 1
    elif band.isdecimal() and 1 <= int(band) <= len(descriptions):
        number = int(band)
    else:
        found = f"no band {band!r} among {', '.join(d or str(i) for i, d in enumerate(descriptions, 1))}"
        raise InputError(f"--terrain {word}", found, "a band of the file", "correct the name or number of the band")
    return [GivenBand(name, path, number, unit, 0.0)], []


def _open(word: str, file: str) -> tuple[Path, str, list[str]]:
    """File, band ("" = not said) and names of all bands of the file."""
    path, band = Path(file), ""
    if not path.exists() and ":" in file:
        stem, _, band = file.rpartition(":")
        path = Path(stem)
    if not path.is_file():
        raise InputError(f"--terrain {word}", f"no file {path}", FORM, "correct the path")
    with opened_raster(path, "supply the raster again") as raster:
        return path, band, [name or "" for name in raster.descriptions]


def to_model_unit(values: Float32[np.ndarray, "y x"], given: GivenBand, band: Band, unit: str) -> np.ndarray:
    """Values in the unit of the model, NaN = no data.

    Angles come back in [0, 360) degrees, downslope, NaN where they are negative (flat ground). Slopes in percent become
    degrees, feet become metres.

    Args:
        values: as they stand in the file.
        given: what was said of them.
        band: what the model takes.
        unit: unit that the file itself states, "" = none.

    Raises:
        InputError: a unit that is neither the model's nor can be turned into it, or values that no such unit has.
    """
    stated = given.unit or UNIT_NAMES.get(unit.lower(), unit.lower())
    stated = UNIT_NAMES.get(stated.lower(), stated)
    if band.kind == "angle":
        if stated not in ("", "deg", "downslope", "upslope"):
            _refuse_unit(given, stated, "'deg', or 'upslope' where the angle points there")
        _check_range(values, given, -np.inf, 360, "degrees clockwise from north", "give another band")
        return downslope(values, stated == "upslope")
    if band.name == "slope_deg":
        if stated == "percent":
            values = slope_in_degrees(values)
        elif stated not in ("", "deg"):
            _refuse_unit(given, stated, "'deg' or 'percent'")
        remedy = "say that it is in percent (FILE@percent), or leave it out: elevation gives it"
        _check_range(values, given, 0, 90, "degrees", remedy)
    elif band.unit == "m" and stated == "ft":
        values = values * np.float32(FOOT)
    elif stated and stated != band.unit and (given.unit or band.kind == "continuous"):  # files state no fuel model
        same = f"take @{given.unit} out if its codes are those that the model was trained on; else "
        _refuse_unit(given, stated, repr(band.unit), CONVERT if band.kind == "continuous" else same + CONVERT)
    if band.name == "elevation":
        remedy = "say that it is in feet (@ft), or which value stands for no data: gdal_edit.py -a_nodata <value>"
        _check_range(values, given, *ELEVATIONS, "m", remedy)
    return values.astype(np.float32)


def _refuse_unit(given: GivenBand, stated: str, expected: str, remedy: str = CONVERT) -> None:
    raise InputError(given.where, f"unit {stated!r}", f"unit {expected}", remedy)


def _check_range(values: np.ndarray, given: GivenBand, low: float, high: float, unit: str, remedy: str) -> None:
    least, most = float(np.nanmin(values, initial=np.inf)), float(np.nanmax(values, initial=-np.inf))
    if least < low or most > high:
        found = f"values from {least:g} to {most:g}"
        expected = f"{max(low, 0) if np.isinf(low) else low:g} to {high:g} {unit}"
        raise InputError(given.where, found, expected, remedy)
