"""What the reader of Sim2Real-Fire refuses: each misfit is named with its file, and stops or is left out and listed."""

import re
import shutil

import numpy as np
import pytest
import rasterio

from emberformer.data.fires import open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.data.sim2real.source import read_sim2real
from emberformer.errors import InputError
from emberformer.sim2real_settings import Sim2RealSettings
from tests.sim2real_scenes import SHAPE, spread, weather_lines, write_lines, write_mask, write_published, write_raster


def _settings(root, **changes):
    return Sim2RealSettings.model_validate({"root": root} | changes)


def _ingest(root, tmp_path, **changes):
    write_fires(tmp_path / "fires.zarr", read_sim2real("scenes", _settings(root, **changes)))
    return open_fires(tmp_path / "fires.zarr")


def _refused(root, message, **changes):
    with pytest.raises(InputError, match=f"(?s){message}"):
        read_sim2real("scenes", _settings(root, **changes))


@pytest.fixture
def root(tmp_path):
    """One scene, two fires of three and four masks."""
    return write_published(tmp_path / "source" / "0001", {"0001_00001": 3, "0001_00002": 4}).parent


def test_two_rasters_of_one_layer(root):
    write_raster(root / "0001" / "Fuel_Map" / "LC22_Elev_220.tif", np.zeros(SHAPE))
    _refused(root, r"layer elevation.*2 rasters of it: Elevation\.tif, LC22_Elev_220\.tif")


def test_rasters_on_two_grids(root):
    write_raster(root / "0001" / "Topography_Map" / "Slope.tif", np.zeros(SHAPE), left=0)
    _refused(root, r"Slope\.tif.*as Elevation\.tif.*gdalwarp")


def test_a_slope_in_percent_by_its_name(root):
    folder = root / "0001" / "Topography_Map"
    (folder / "Slope.tif").rename(folder / "LC20_SlpP_220.tif")
    _refused(root, r"LC20_SlpP_220\.tif, settings `slope_unit`.*'deg'.*'percent'.*slope_unit: percent")
    read_sim2real("scenes", _settings(root, slope_unit="percent"))
    (folder / "LC20_SlpP_220.tif").rename(folder / "LC20_SlpD_220.tif")
    _refused(root, r"LC20_SlpD_220\.tif.*slope_unit: deg", slope_unit="percent")


def _damage_mask(scene):
    path = scene / "Satellite_Images_Mask" / "0001_00001" / "out2.jpg"
    path.write_bytes(path.read_bytes()[:200])


def _grade_mask(scene):
    """Chances to burn from 0 to 1 in place of what burned."""
    shades = np.tile(np.linspace(0, 255, SHAPE[1]), (SHAPE[0], 1))
    write_mask(scene / "Satellite_Images_Mask" / "0001_00001" / "out2.jpg", shades)


def _shade_mask(scene):
    """Burned in the columns of the fire, and a half-tone beside them."""
    shades = 255 * spread(2)[1]
    shades[:9, 6:15] = 128
    write_mask(scene / "Satellite_Images_Mask" / "0001_00001" / "out2.jpg", shades)


def _lose_mask(scene):
    (scene / "Satellite_Images_Mask" / "0001_00001" / "out2.jpg").unlink()


def _put_out(scene):
    for path in (scene / "Satellite_Images_Mask" / "0001_00001").iterdir():
        write_mask(path, np.zeros(SHAPE))


def _lose_weather(scene):
    (scene / "Weather_Data" / "0001_00001.txt").unlink()


def _double_weather(scene):
    write_lines(scene / "Weather_Data" / "0001_00001.wxs", weather_lines(3))


def _shorten_weather(scene):
    write_lines(scene / "Weather_Data" / "0001_00001.txt", weather_lines(2))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_damage_mask, r"out2\.jpg.*no readable image"),
        (_grade_mask, r"out2\.jpg.*of 192 pixels mid-grey.*more than half.*by a threshold"),
        (_shade_mask, r"out2\.jpg.*of 192 pixels mid-grey.*a whole square of 9 x 9 from row 0, column 6 on.*supply"),
        (_lose_mask, r"0001_00001.*no mask out2 among out1 to out3"),
        (_put_out, r"0001_00001.*the first 3 show no fire"),
        (_lose_weather, r"Weather_Data.*no such file.*the weather of 0001_00001"),
        (_double_weather, r"Weather_Data.*2 files of 0001_00001"),
        (_shorten_weather, r"0001_00001\.txt.*2 lines.*at least 3"),
    ],
)
def test_damage_stops_or_is_left_out_and_listed(root, tmp_path, damage, message):
    damage(root / "0001")
    _refused(root, message)
    fires = _ingest(root, tmp_path, on_error="skip")
    assert fires.fire_id.values.tolist() == ["0001_00002"]
    assert [skipped["fire_id"] for skipped in fires.attrs["fires_skipped"]] == ["0001_00001"]
    np.testing.assert_array_equal(fires.burned, spread(4))


def test_list_of_what_is_left_out_names_the_file_wherever_it_lies(root, tmp_path):
    _grade_mask(root / "0001")
    (skipped,) = _ingest(root, tmp_path, on_error="skip").attrs["fires_skipped"]
    assert re.match(r"out2\.jpg: \d+ of 192 pixels mid-grey", skipped["reason"])


def test_scene_without_its_rasters_is_left_out_whole(root, tmp_path):
    write_published(root / "0000", {"0000_00001": 2, "0000_00002": 2})
    (root / "0000" / "Topography_Map" / "Aspect.tif").write_bytes(b"II*")
    _refused(root, r"Aspect\.tif.*raster that GDAL reads")
    fires = _ingest(root, tmp_path, on_error="skip")
    assert [skipped["fire_id"] for skipped in fires.attrs["fires_skipped"]] == ["0000_00001", "0000_00002"]
    assert fires.sizes["ground"] == 1
    for scene in ("0000", "0001"):
        shutil.rmtree(root / scene / "Weather_Data")
    _refused(root, r"4 fires, none that can be read", on_error="skip")
    assert np.isnan(_ingest(root / "0001", tmp_path, weather=False).weather).all()


def test_roots_that_are_none(root, tmp_path):
    _refused(tmp_path / "none", r"none.*no such folder.*check `root` and `layout`")
    _refused(root, r"no scene.*a folder landfire", layout="code")
    shutil.rmtree(root / "0001" / "Satellite_Images_Mask")
    _refused(root, r"0001.*no fire.*Satellite_Images_Mask/<fire>")


def test_two_fires_of_one_name(root):
    shutil.copytree(root / "0001", root / "0001_again")
    _refused(root, r"several fires named 0001_00001")


def test_scenes_of_two_cell_sizes(root):
    write_published(root / "0002", {"0002_00001": 2})
    for path in (root / "0002").rglob("*.tif"):
        _coarsen(path)
    _refused(root, r"0002.*cells of 60 m.*30 m, as .*0001")


def _coarsen(path):
    with rasterio.open(path, "r+") as raster:
        a, b, c, d, e, f, *_ = raster.transform
        raster.transform = rasterio.Affine(2 * a, b, c, d, 2 * e, f)
