"""Masks: sorted by number or by day, burned above grey 127, every gap and damage named."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_erosion

from emberformer.data.sim2real.masks import find_masks, read_mask
from emberformer.errors import InputError
from tests.sim2real_scenes import spread, write_mask

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "real" / "sim2realfire_minimal" / "raw"


def _write(folder, *names):
    for name in names:
        write_mask(folder / name, np.ones((2, 3)))
    return folder


def test_masks_are_sorted_by_number(tmp_path):
    folder = _write(tmp_path, *(f"out{number}.jpg" for number in range(8, 12)), ".out3.jpg")
    (folder / "out12.txt").touch()
    masks = find_masks(folder)
    assert [path.name for path in masks.paths] == ["out8.jpg", "out9.jpg", "out10.jpg", "out11.jpg"]
    assert (masks.first, masks.days) == (8, None)


def test_masks_are_sorted_by_day(tmp_path):
    masks = find_masks(_write(tmp_path, "S2_20180802_x.png", "L8_20180731.png"))
    assert [path.name for path in masks.paths] == ["L8_20180731.png", "S2_20180802_x.png"]
    assert masks.days is not None
    assert masks.days.tolist() == np.array(["2018-07-31", "2018-08-02"], "datetime64[s]").tolist()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["out1.jpg", "out2.jpg", "out5.jpg"], r"no mask out3, out4 among out1 to out5.*without a gap"),
        (["out1.jpg", "out2.jpg", "out2.png"], r"out2\.jpg and out2\.png, both number 2"),
        (["a_20180731.jpg", "b_20180731.jpg"], r"a_20180731\.jpg and b_20180731\.jpg, both of 2018-07-31"),
        (["out1.jpg"], r"1 masks with a number, 0 with a day.*needs two"),
        (["burned.jpg", "x_20181399.jpg"], r"0 masks with a number, 0 with a day"),
        (["out1.jpg", "out2.jpg", "x_20180731.jpg"], r"2 masks with a number, 1 with a day.*of one kind"),
    ],
)
def test_masks_that_do_not_fit(tmp_path, names, message):
    with pytest.raises(InputError, match=f"(?s){message}"):
        find_masks(_write(tmp_path, *names))


def test_burned_is_above_127(tmp_path):
    write_mask(tmp_path / "a.png", [[0, 8, 127], [128, 248, 255]])
    burned, between = read_mask(tmp_path / "a.png", (2, 3))
    np.testing.assert_array_equal(burned, [[0, 0, 0], [1, 1, 1]])
    assert between == 2


def test_compression_does_not_move_the_fire(tmp_path):
    """JPEG leaves greys near black and near white; above 0, as the source's code has it, more is burned."""
    pixels = spread(5)[-1]
    write_mask(tmp_path / "a.jpg", pixels)
    assert (np.asarray(Image.open(tmp_path / "a.jpg")) > 0).sum() > pixels.sum()
    burned, between = read_mask(tmp_path / "a.jpg", pixels.shape)
    np.testing.assert_array_equal(burned, pixels)
    assert between == 0


@pytest.mark.parametrize("quality", [5, 25, 75])
def test_greys_of_compression_are_counted_and_read(tmp_path, quality):
    """However strong the compression, edges leave no area of grey, and the fire stays within a block of its place."""
    y, x = np.mgrid[:60, :80]
    fire = np.hypot(y - 30, x - 40 + 5 * np.sin(y / 3)) < 22
    Image.fromarray(fire).convert("L").save(tmp_path / "a.jpg", quality=quality)
    burned, between = read_mask(tmp_path / "a.jpg", fire.shape)
    assert between > 0
    inside, outside = (np.asarray(binary_erosion(area, np.ones((15, 15))), bool) for area in (fire, ~fire))
    np.testing.assert_array_equal(burned[inside], 1)
    np.testing.assert_array_equal(burned[outside], 0)


@pytest.mark.parametrize(("height", "width", "is_area"), [(8, 30, False), (20, 8, False), (9, 9, True), (12, 30, True)])
def test_areas_of_grey_are_wider_than_a_block(tmp_path, height, width, is_area):
    grey = np.zeros((24, 40), int)
    grey[:, 35:] = 255
    grey[3 : 3 + height, 4 : 4 + width] = 32
    write_mask(tmp_path / "a.png", grey)
    if is_area:
        found = rf"a\.png.*{height * width} of 960 pixels mid-grey.*a whole square of 9 x 9 from row 3, column 4 on"
        with pytest.raises(InputError, match=f"(?s){found}.*white where burned.*by a threshold"):
            read_mask(tmp_path / "a.png", grey.shape)
    else:
        assert read_mask(tmp_path / "a.png", grey.shape)[1] == height * width


@pytest.mark.parametrize("level", [32, 127, 223])
@pytest.mark.parametrize(("greys", "refused"), [(10, False), (11, True), (20, True)])
def test_greys_do_not_prevail(tmp_path, level, greys, refused):
    pixels = np.full(20, 255)
    pixels[:greys] = level
    write_mask(tmp_path / "a.png", pixels.reshape(4, 5))
    if refused:
        with pytest.raises(InputError, match=rf"(?s)a\.png.*{greys} of 20 pixels mid-grey.*: more than half"):
            read_mask(tmp_path / "a.png", (4, 5))
    else:
        assert read_mask(tmp_path / "a.png", (4, 5))[1] == greys


@pytest.mark.parametrize("contrast", [25, 80])
def test_picture_is_no_mask(tmp_path, contrast):
    """A satellite image in place of a mask: ground of any contrast, a cloud and a lake."""
    picture = np.random.default_rng(0).normal(120, contrast, (60, 80)).clip(0, 255)
    picture[5:15, 5:25], picture[40:50, 50:70] = 255, 0
    write_mask(tmp_path / "a.jpg", picture)
    with pytest.raises(InputError, match=r"(?s)a\.jpg.*pixels mid-grey"):
        read_mask(tmp_path / "a.jpg", (60, 80))


def test_genuine_masks_are_far_from_areas_of_grey():
    """They hold no mid-grey at all, and none of them a square wider than 5 when compressed as strongly as can be."""
    paths = sorted(SHARED.glob("MinimalDataset/*/Satellite_Images_Mask/*/*.jpg"))[::20]
    if not paths:
        pytest.skip(f"no data at {SHARED}")
    for path in paths:
        with Image.open(path) as image:
            burned, between = read_mask(path, (image.height, image.width))
        assert between == 0
        again = BytesIO()
        Image.fromarray(burned * 255).save(again, "JPEG", quality=1)
        grey = np.asarray(Image.open(again))
        assert not binary_erosion((grey >= 32) & (grey <= 223), np.ones((6, 6))).any()


def test_mask_in_colour(tmp_path):
    Image.new("RGB", (3, 2), (255, 255, 255)).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", (2, 3))[0].all()


def test_damaged_mask_and_one_of_another_size(tmp_path):
    write_mask(tmp_path / "a.jpg", np.ones((2, 3)))
    with pytest.raises(InputError, match=r"(?s)a\.jpg.*2 x 3 pixels.*3 x 3, as the rasters"):
        read_mask(tmp_path / "a.jpg", (3, 3))
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    with pytest.raises(InputError, match=r"(?s)a\.jpg.*no readable image.*complete PNG or JPEG"):
        read_mask(tmp_path / "a.jpg", (2, 3))
