"""Views: a box that was drawn as a bright rectangle is still around the rectangle, whatever was done to the image."""

import numpy as np
import pytest
from PIL import Image

from emberformer.detection.camera_images import CameraImage
from emberformer.detection.coco import CocoImage
from emberformer.detection.found import NOTHING, Objects
from emberformer.detection.pixel_views import (
    Picture,
    ViewRule,
    cutouts_of,
    draw_view,
    jittered,
    letterbox,
    mirrored,
    mosaic,
    pasted,
    zoomed,
)
from emberformer.detection.view_drawing import ViewDrawing

SIDE, BRIGHT, GROUND = 112, 250, 40


def _image(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, Objects]:
    """Ground with one bright rectangle."""
    image = np.full((height, width, 3), GROUND, np.uint8)
    size = rng.integers(12, 40, 2)
    y, x = (int(rng.integers(0, whole - side)) for whole, side in zip((height, width), size, strict=True))
    image[y : y + size[0], x : x + size[1]] = BRIGHT
    return image, Objects.of(np.array([[x, y, x + size[1], y + size[0]]], float), np.array([int(rng.integers(2))]))


def _picture(rng: np.random.Generator, height: int = 90, width: int = 130) -> Picture:
    return letterbox(*_image(rng, height, width), SIDE)


def _check(picture: Picture, tolerance: float, whole: bool = False) -> None:
    """Bright pixels reach to the edges of every box; where no object was cut away, there are none elsewhere."""
    bright = np.asarray(picture.pixels[..., 0] > (BRIGHT + GROUND) / 2)
    rest = bright.copy()
    for x0, y0, x1, y1 in picture.objects.boxes:
        area = np.s_[max(round(y0 - 1), 0) : round(y1 + 1), max(round(x0 - 1), 0) : round(x1 + 1)]
        rows, columns = np.flatnonzero(bright[area].any(1)), np.flatnonzero(bright[area].any(0))
        top, left = area[0].start, area[1].start
        seen = [left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1]
        assert np.abs(np.array(seen) - [x0, y0, x1, y1]).max() <= tolerance
        rest[area] = False
    assert not whole or not rest.any()


@pytest.mark.parametrize("seed", range(4))
def test_a_letterboxed_and_mirrored_box_is_around_its_rectangle(seed):
    rng = np.random.default_rng(seed)
    picture = _picture(rng)
    assert picture.area == (0, 0, round(90 * SIDE / 130), SIDE)
    assert not picture.pixels[picture.area[2] :].any()
    _check(picture, 0.51, whole=True)
    _check(mirrored(picture), 0.51, whole=True)
    back = mirrored(mirrored(picture))
    assert np.array_equal(back.pixels, picture.pixels)
    assert back.area == picture.area
    assert np.allclose(back.objects.boxes, picture.objects.boxes)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.7])
def test_an_enlarged_box_is_around_its_rectangle(factor):
    seen = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        picture = zoomed(_picture(rng), factor, rng)
        _check(picture, 0.8)
        seen += len(picture.objects.boxes)
    assert seen >= 4


def test_the_boxes_of_a_mosaic_are_around_their_rectangles():
    seen = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        picture = mosaic([_picture(rng, *size) for size in ((90, 130), (130, 90), (60, 60), (112, 112))], rng)
        assert picture.area == (0, 0, SIDE, SIDE)
        assert (picture.pixels[..., 0] > GROUND / 2).mean() > 0.99  # no padding came along
        _check(picture, 1.1)
        seen += len(picture.objects.boxes)
    assert seen >= 8


def test_pasted_objects_are_around_their_pixels_and_over_no_other():
    rng = np.random.default_rng(1)
    picture, donor = _picture(rng), _picture(rng)
    view = pasted(picture, cutouts_of(donor) * 2, rng)
    added = len(view.objects.labels) - 1
    assert added >= 1
    _check(view, 0.9, whole=True)
    assert view.objects.labels[1:].tolist() == donor.objects.labels.tolist() * added
    low, high = view.objects.boxes[:, None, :2], view.objects.boxes[None, :, 2:]
    overlap = np.asarray((low < high).all(-1))
    overlap = overlap & overlap.T
    assert np.array_equal(overlap, np.eye(len(overlap), dtype=bool))
    assert (view.objects.boxes[:, 3] <= picture.area[2]).all()  # not on the padding


def test_an_object_that_finds_no_place_is_left_out():
    rng = np.random.default_rng(0)
    full = Picture(
        np.zeros((SIDE, SIDE, 3), np.uint8),
        (0, 0, SIDE, SIDE),
        Objects.of(np.array([[0.0, 0, 112, 112]]), np.array([0])),
    )
    assert len(pasted(full, cutouts_of(_picture(rng)), rng).objects.labels) == 1


def test_colours_change_and_boxes_and_padding_do_not():
    rng = np.random.default_rng(3)
    picture = _picture(rng)
    view = jittered(picture, 0.4, rng)
    assert np.array_equal(view.objects.boxes, picture.objects.boxes)
    assert (view.pixels != picture.pixels)[: picture.area[2]].any()
    assert not view.pixels[picture.area[2] :].any()
    assert np.array_equal(jittered(picture, 0.0, rng).pixels, picture.pixels)


def test_a_view_is_of_its_seed_and_all_kinds_of_changes_come_up():
    pictures = [_picture(np.random.default_rng(seed)) for seed in range(4)]
    cutouts = cutouts_of(pictures[3])
    first, again = (
        [
            draw_view(pictures[0], lambda n: pictures[1 : 1 + n], lambda n: cutouts * n, ViewRule(), rng)
            for rng in map(np.random.default_rng, range(20))
        ]
        for _ in range(2)
    )
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    assert len({view.pixels.tobytes() for view in first}) == 20
    assert {len(view.objects.labels) for view in first} >= {1, 2, 3}
    none = ViewRule(mosaic=0, zoom=(1, 1), mirror=0, paste=0, jitter=0)
    same = draw_view(pictures[0], lambda n: [], lambda n: [], none, np.random.default_rng(0))
    assert np.array_equal(same.pixels, pictures[0].pixels)
    assert np.allclose(same.objects.boxes, pictures[0].objects.boxes)


def test_rare_objects_are_pasted_as_often_as_common_ones(tmp_path):
    images = []
    for number, label in enumerate([0] * 9 + [1]):  # nine images of smoke, one of flames
        pixels, objects = _image(np.random.default_rng(number), 60, 60)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png", compress_level=1)
        told = CocoImage(number, f"{number}.png", 60, 60, Objects.of(objects.boxes, np.array([label])))
        images.append(CameraImage(tmp_path / told.file_name, told, "", "train"))
    drawing, rng = ViewDrawing(images, SIDE, ViewRule(), 0), np.random.default_rng(0)
    labels = [drawing._cutout(rng).label for _ in range(200)]
    assert 70 <= sum(labels) <= 130  # 100, and more than four deviations to each side


def test_an_image_without_objects_stays_without():
    picture = letterbox(np.full((50, 80, 3), GROUND, np.uint8), NOTHING, SIDE)
    assert not zoomed(mirrored(picture), 1.3, np.random.default_rng(0)).objects.labels.size
