"""Terrain as it is given: words of the command line, units, and values that no unit has."""

import numpy as np
import pytest

from emberformer.data.fires import Band
from emberformer.data.terrain_given import KNOWN_BANDS, GivenBand, find_bands, to_model_unit
from emberformer.errors import InputError
from tests.new_fires import write_raster

WANTED = [*KNOWN_BANDS.values(), Band("canopy_cover", "continuous", "percent")]
ONES = np.ones((4, 5), np.float32)


@pytest.fixture
def landscape(tmp_path):
    return write_raster(tmp_path / "land=1.tif", *[ONES] * 3, names=("elevation", "fuels", "tpi"))


def test_words_by_hand(landscape, tmp_path):
    dem = write_raster(tmp_path / "dem.tif", ONES)
    words = [f"elevation={dem}", f"fuel_model={landscape}:fuels", f"slope_deg={landscape}:3@percent", "burnable=1"]
    given, notes = find_bands(words, WANTED)
    assert given["elevation"] == GivenBand("elevation", dem, 1, "", 0.0)
    assert given["fuel_model"] == GivenBand("fuel_model", landscape, 2, "", 0.0)
    assert given["slope_deg"] == GivenBand("slope_deg", landscape, 3, "percent", 0.0)
    assert given["burnable"] == GivenBand("burnable", None, 0, "", 1.0)
    assert notes == []


def test_file_that_names_its_bands(landscape):
    given, notes = find_bands([str(landscape)], WANTED)
    assert list(given) == ["elevation"]
    assert notes == ["the model takes no terrain band fuels, tpi: left out"]
    given, _ = find_bands([f"elevation={landscape}"], WANTED)
    assert given["elevation"].number == 1


def test_bands_that_the_model_does_not_take(tmp_path):
    given, notes = find_bands(
        ["moisture=3", f"elevation={write_raster(tmp_path / 'a.tif', ONES)}"], [KNOWN_BANDS["burnable"]]
    )
    assert list(given) == ["elevation"]  # for slope and aspect, if they are wanted
    assert notes == ["the model takes no terrain band moisture: left out"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["elevation=none.tif"], r"--terrain elevation=none\.tif.*no file none\.tif.*correct the path"),
        (["elevation={0}:height"], "no band 'height' among elevation, fuels, tpi"),
        (["elevation={0}:4"], "no band '4'"),
        (["slope_deg={0}"], r"3 bands \(elevation, fuels, tpi\).*slope_deg=.*:BAND"),
        (["elevation={0}:1", "elevation=3"], "each band once"),
        (["{1}"], r"none of which the model takes.*NAME=FILE:BAND"),
        (["{2}"], "a complete raster"),
    ],
)
def test_words_that_do_not_fit(landscape, tmp_path, words, message):
    other = write_raster(tmp_path / "other.tif", ONES, names=("height",))
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes(b"II*")
    with pytest.raises(InputError, match=f"(?s){message}"):
        find_bands([word.format(landscape, other, damaged) for word in words], WANTED)


def _convert(values, name, unit="", stated=""):
    band = {band.name: band for band in [*WANTED, Band("fuel_model", "categorical", "Kitral")]}[name]
    given = GivenBand(name, None, 1, unit, 0.0)
    return to_model_unit(np.array([values], np.float32), given, band, stated)[0]


def test_units_by_hand():
    np.testing.assert_allclose(_convert([0, 100, np.nan], "slope_deg", "percent"), [0, 45, np.nan])
    np.testing.assert_allclose(_convert([0, 100], "slope_deg", stated="%"), [0, 45])
    np.testing.assert_allclose(_convert([1000], "elevation", "ft"), [304.8])
    np.testing.assert_allclose(_convert([1000], "elevation", stated="metre"), [1000])
    np.testing.assert_allclose(_convert([0, 90, 360, -1, np.nan], "aspect_deg"), [0, 90, 0, np.nan, np.nan])
    np.testing.assert_allclose(_convert([0, 90, 350, -1], "aspect_deg", "upslope"), [180, 270, 170, np.nan])
    np.testing.assert_allclose(_convert([50], "canopy_cover", stated="%"), [50])
    np.testing.assert_allclose(_convert([90], "aspect_deg", "downslope"), [90])
    np.testing.assert_allclose(_convert([7], "fuel_model", "Kitral"), [7])
    np.testing.assert_allclose(_convert([7], "fuel_model", stated="codes"), [7])
    with pytest.raises(InputError, match="unit 'radian'"):
        _convert([1.5], "aspect_deg", stated="radian")
    with pytest.raises(InputError, match="unit 'km'") as refused:
        _convert([5], "elevation", "km")
    assert "take @" not in refused.value.remedy


@pytest.mark.parametrize(
    ("values", "name", "unit", "message"),
    [
        ([0, 120], "slope_deg", "", "values from 0 to 120.*0 to 90 degrees.*@percent"),
        ([0, 20], "slope_deg", "rad", "unit 'rad'.*'deg' or 'percent'"),
        ([-9999, 500], "elevation", "", "values from -9999 to 500.*a_nodata"),
        ([500, 12_000], "elevation", "", "12000.*in feet"),
        ([5], "elevation", "km", "unit 'km'.*'m'"),
        ([0, 400], "aspect_deg", "", "400.*0 to 360 degrees clockwise"),
        ([5], "canopy_cover", "m", "unit 'm'.*unit 'percent'"),
        ([5], "aspect_deg", "upslop", "unit 'upslop'.*'deg', or 'upslope'"),
        ([5], "aspect_deg", "rad", "unit 'rad'"),
        ([5], "fuel_model", "FBFM40", "unit 'FBFM40'.*unit 'Kitral'.*take @FBFM40 out if its codes are"),
        ([1], "burnable", "FBP", "unit 'FBP'.*unit '1'.*take @FBP out if its codes are"),
    ],
)
def test_values_that_no_such_unit_has(values, name, unit, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        _convert(values, name, unit)
