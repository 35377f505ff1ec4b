"""Masks: sorted by number or by day, burned above grey 127, every gap and damage named."""

import numpy as np
import pytest
from PIL import Image

from emberformer.data.sim2real.masks import find_masks, read_mask
from emberformer.errors import InputError
from tests.sim2real_scenes import spread, write_mask


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


def test_mask_in_colour(tmp_path):
    Image.new("RGB", (3, 2), (255, 255, 255)).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png", (2, 3))[0].all()


def test_damaged_mask_and_one_of_another_size(tmp_path):
    write_mask(tmp_path / "a.jpg", np.ones((2, 3)))
    with pytest.raises(InputError, match=r"(?s)a\.jpg.*2 x 3 pixels.*3 x 3, as the rasters"):
        read_mask(tmp_path / "a.jpg", (3, 3))
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    with pytest.raises(InputError, match=r"(?s)a\.jpg.*no readable image.*complete JPEG"):
        read_mask(tmp_path / "a.jpg", (2, 3))
