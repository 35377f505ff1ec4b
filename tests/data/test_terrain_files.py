"""Terrain on the fire's grid: planes stay planes in any CRS, angles turn with north, codes are never mixed."""

import numpy as np
import pytest
from pyproj import Proj
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.warp import transform as transform_points

from emberformer.data.fire_grid import Grid
from emberformer.data.fires import Band
from emberformer.data.terrain_files import north_turn, read_terrain, warp_band
from emberformer.data.terrain_given import KNOWN_BANDS, GivenBand, find_bands
from emberformer.errors import InputError
from tests.new_fires import SHAPE, TRANSFORM, grow, plane, write_raster

UTM = CRS.from_epsg(32719)
GRID = Grid(UTM, TRANSFORM, *SHAPE)
NEWEST = grow()[-1] == 1
AROUND = Affine(30, 0, TRANSFORM.c - 600, 0, -30, TRANSFORM.f + 600)  # 64 x 70 pixels reach 20 beyond on every side
EAST, NORTH = 0.3, -0.2


def _read(words, *names, **kinds):
    wanted = [KNOWN_BANDS[name] for name in names] + [Band(name, kind, "1") for name, kind in kinds.items()]
    given, _ = find_bands(words, wanted)
    return read_terrain(given, wanted, GRID, NEWEST)


def _other_grid(crs: str, cell: float, side: int) -> tuple[CRS, Affine]:
    """A grid of another CRS whose middle is the fire's."""
    other = CRS.from_user_input(crs)
    middle = TRANSFORM * (SHAPE[1] / 2, SHAPE[0] / 2)
    (x,), (y,) = transform_points(UTM, other, [middle[0]], [middle[1]])[:2]
    return other, Affine(cell, 0, x - cell * side / 2, 0, -cell, y + cell * side / 2)


def _plane_in(crs: CRS, transform: Affine, side: int) -> np.ndarray:
    """The plane of the fire's map coordinates, seen at the pixels of a raster in another CRS."""
    column, row = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
    x, y = transform.c + transform.a * column, transform.f + transform.e * row
    easting, northing = transform_points(crs, UTM, x.ravel(), y.ravel())[:2]
    height = 1000 + EAST * (np.array(easting) - TRANSFORM.c) + NORTH * (np.array(northing) - TRANSFORM.f)
    return height.reshape(side, side).astype(np.float32)


def test_same_pixels_are_taken_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    around = rng.uniform(0, 80, (64, 70)).astype(np.float32)
    path = write_raster(tmp_path / "slope.tif", around, transform=AROUND)
    values, notes = _read([f"slope_deg={path}"], "slope_deg")
    assert (values[0] == around[20:44, 20:50]).all()
    assert notes == []


@pytest.mark.parametrize(
    ("crs", "cell"), [("EPSG:32718", 30), ("EPSG:32719", 9), ("EPSG:4326", 0.0003), ("EPSG:3857", 45)]
)
def test_a_plane_of_another_grid_is_the_plane(tmp_path, crs, cell):
    other, transform = _other_grid(crs, cell, 160)
    path = write_raster(tmp_path / "dem.tif", _plane_in(other, transform, 160), crs=other, transform=transform)
    values, notes = _read([f"elevation={path}"], "elevation")
    np.testing.assert_allclose(values[0], plane(TRANSFORM, SHAPE, EAST, NORTH), rtol=1e-5)
    assert "is warped to the fire's grid" in notes[0]
    assert "bilinear" in notes[0]


@pytest.mark.parametrize(("crs", "cell"), [("EPSG:32719", 30), ("EPSG:4326", 0.0003)])
def test_slope_and_aspect_of_a_plane_are_exact(tmp_path, crs, cell):
    other, transform = _other_grid(crs, cell, 160) if cell < 1 else (UTM, AROUND)
    heights = _plane_in(other, transform, 160) if cell < 1 else plane(AROUND, (64, 70), EAST, NORTH)
    path = write_raster(tmp_path / "dem.tif", heights, crs=other, transform=transform)
    (slope, aspect), notes = _read([f"elevation={path}"], "slope_deg", "aspect_deg")
    np.testing.assert_allclose(slope, np.degrees(np.arctan(np.hypot(EAST, NORTH))), rtol=1e-3)
    np.testing.assert_allclose(aspect, np.degrees(np.arctan2(-EAST, -NORTH)) % 360, atol=0.1)
    assert sum("derived from elevation (dem.tif) by Horn" in note for note in notes) == 2


def test_slope_reaches_the_edge_of_a_raster_that_ends_with_the_grid(tmp_path):
    path = write_raster(tmp_path / "dem.tif", plane(TRANSFORM, SHAPE, EAST, NORTH))
    (slope, aspect), notes = _read([f"elevation={path}"], "slope_deg", "aspect_deg")
    np.testing.assert_allclose(slope, np.degrees(np.arctan(np.hypot(EAST, NORTH))), rtol=1e-3)
    np.testing.assert_allclose(aspect, np.degrees(np.arctan2(-EAST, -NORTH)) % 360, atol=0.1)
    assert not [note for note in notes if "covers" in note]


def test_angles_are_averaged_on_the_circle(tmp_path):
    around = np.where(np.arange(140) % 2, 350, 20).astype(np.float32) * np.ones((128, 1), np.float32)
    path = write_raster(tmp_path / "aspect.tif", around, transform=AROUND * Affine.scale(0.5))
    values, notes = _read([f"aspect_deg={path}"], "aspect_deg")
    np.testing.assert_allclose(values[0], 5, atol=1e-3)  # and not 185, the mean of the numbers
    assert "15 m" in notes[0]


def test_angles_turn_with_north(tmp_path):
    """A slope that falls to the zone's own north falls elsewhere on the neighbour's map."""
    other, transform = _other_grid("EPSG:32718", 30, 100)
    path = write_raster(tmp_path / "a.tif", np.zeros((100, 100), np.float32), crs=other, transform=transform)
    values, notes = _read([f"aspect_deg={path}"], "aspect_deg")
    # Both norths against the true one: at 34.7 S, 1.7 degrees east of the one zone's meridian, 4.3 of the other's.
    longitude, latitude = transform_points(UTM, CRS.from_epsg(4326), [TRANSFORM.c + 450], [TRANSFORM.f - 360])[:2]
    own, foreign = (
        Proj(f"EPSG:{code}").get_factors(longitude[0], latitude[0]).meridian_convergence for code in (32719, 32718)
    )
    turned = (values[0] + 180) % 360 - 180
    np.testing.assert_allclose(turned, foreign - own, atol=0.02)
    assert abs(foreign - own) > 3
    assert f"turned by {foreign - own:.2f}"[:-1] in notes[1]


def test_degrees_have_true_north():
    other, transform = _other_grid("EPSG:4326", 0.001, 10)
    longitude, latitude = transform_points(UTM, other, [TRANSFORM.c + 450], [TRANSFORM.f - 360])[:2]
    convergence = Proj("EPSG:32719").get_factors(longitude[0], latitude[0]).meridian_convergence
    assert north_turn(Grid(other, transform, 10, 10), GRID) == pytest.approx(-convergence, abs=1e-3)
    assert north_turn(GRID, GRID) == pytest.approx(0)


def test_just_below_north_is_north(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.full(SHAPE, -1e-9 % 360))
    assert (_read([f"aspect_deg={path}"], "aspect_deg")[0] == 0).all()


def test_codes_are_those_of_the_raster(tmp_path):
    other, transform = _other_grid("EPSG:32718", 47, 80)
    codes = np.random.default_rng(0).choice([0, 101, 145, 183], (80, 80)).astype(np.int16)
    path = write_raster(tmp_path / "fuel.tif", codes, crs=other, transform=transform, nodata=0)
    values, notes = _read([f"fuel_model={path}"], "fuel_model")
    assert set(np.unique(values[np.isfinite(values)])) == {101, 145, 183}
    assert np.isnan(values).mean() == pytest.approx(0.25, abs=0.05)
    assert "nearest" in notes[0]


def test_a_fourth_band_is_no_transparency(tmp_path):
    bands = [np.full((64, 70), value, np.uint8) for value in (1, 2, 3, 0)]
    path = write_raster(tmp_path / "land.tif", *bands, transform=AROUND, names=("a", "b", "c", "d"))
    values, _ = _read([str(path)], a="continuous", d="continuous")
    assert (values[0] == 1).all()
    assert (values[1] == 0).all()


def test_numbers_hold_everywhere():
    values, notes = _read(["fuel_model=101", "burnable=nan", "elevation=500"], "fuel_model", "burnable", "slope_deg")
    assert (values[0] == 101).all()
    assert np.isnan(values[1]).all()
    assert (values[2] == 0).all()
    assert "101" in notes[0]
    assert "unknown everywhere" in notes[1]
    assert "level ground" in notes[2]


def test_missing_bands_are_named():
    with pytest.raises(
        InputError, match=r"(?s)no band fuel_model, aspect_deg; given: burnable.*categorical.*fuel_model=FILE"
    ):
        _read(["burnable=1"], "fuel_model", "aspect_deg", "burnable")


def test_raster_that_ends_beside_the_fire_is_noted(tmp_path):
    path = write_raster(tmp_path / "dem.tif", plane(TRANSFORM, (24, 20), EAST, NORTH))
    values, notes = _read([f"elevation={path}"], "elevation")
    assert np.isnan(values[0]).tolist() == (np.indices(SHAPE)[1] >= 20).tolist()
    assert notes == ["dem.tif covers 66.7 % of the fire's grid; the rest is unknown in elevation"]


@pytest.mark.parametrize("crs", ["EPSG:32719", "EPSG:32718"])
def test_raster_that_ends_within_the_fire_is_refused(tmp_path, crs):
    path = write_raster(tmp_path / "dem.tif", plane(TRANSFORM, (24, 14), EAST, NORTH), crs=crs)
    with pytest.raises(
        InputError, match=r"(?s)dem\.tif.*covers .* % of the burned pixels, .* % of the fire's grid.*CRS"
    ):
        _read([f"elevation={path}"], "elevation")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crs": None}, "without a coordinate reference system"),
        ({"crs": None, "transform": Affine.identity()}, "neither CRS nor transform"),
        ({"nodata": 7}, "no data anywhere"),
    ],
)
def test_rasters_that_do_not_fit(tmp_path, options, message):
    path = write_raster(tmp_path / "a.tif", np.full(SHAPE, 7, np.float32), **options)
    with pytest.raises(InputError, match=rf"(?s)a\.tif.*{message}"):
        _read([f"elevation={path}"], "elevation")


def test_damaged_raster(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.random.default_rng(0).random((64, 70), np.float32), transform=AROUND)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"(?s)a\.tif.*complete raster"):
        warp_band(GivenBand("elevation", path, 1, "", 0.0), KNOWN_BANDS["elevation"], GRID)
