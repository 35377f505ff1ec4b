"""Fires as a COCO set: boxes lie around new fire on the picture and on the map; spots are pasted on plain ground."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emberformer.data.fires import fire_transform
from emberformer.detection.camera_images import CameraSource, list_images
from emberformer.detection.coco import read_coco
from emberformer.detection.detections_out import boxes_on_map
from emberformer.detection.fire_annotations import FIRE_VIEWS, write_fire_annotations
from emberformer.detection.fire_objects import ClusterRule
from emberformer.detection.found import NOTHING
from emberformer.detection.pictures import fire_pixels
from emberformer.detection.pixel_views import Cutout, letterbox, pasted
from emberformer.detection.view_drawing import ViewDrawing
from tests.small_fires import disc, small_fires

SHAPE = (40, 60)
FRONT = disc(SHAPE, (20, 15), 5)
SPOT = FRONT | disc(SHAPE, (20, 15), 8) | disc(SHAPE, (8, 45), 2)


@pytest.fixture
def written(tmp_path):
    window = {name: ("fire", np.array([number, 0])) for name, number in (("window_row", 100), ("window_col", 200))}
    fires = small_fires({"a": [FRONT, SPOT], "b": [FRONT]}).assign_coords(window)
    write_fire_annotations(tmp_path / "set", fires, {"a": "train", "b": "test"}, ClusterRule(), ("now", "next"))
    return fires, tmp_path / "set"


def _red(path: Path) -> np.ndarray:
    pixels = np.asarray(Image.open(path)).astype(int)
    return pixels[..., 0] - pixels[..., 2] > 60


def test_boxes_are_around_what_is_new_and_have_a_place_on_the_map(written):
    fires, folder = written
    read = read_coco(folder / "train.json", folder / "images")
    assert read.categories == ("front_now", "spot_now", "front_next", "spot_next")
    first, second = read.images
    assert first.objects.labels.tolist() == [1, 2, 3]
    assert (_red(folder / "images" / first.file_name) == FRONT).all()  # a first frame is new
    assert second.objects.labels.tolist() == [0, 1]
    red = _red(folder / "images" / second.file_name)
    assert np.array_equal(red, (SPOT == 1) & (FRONT == 0))
    x0, y0, x1, y1 = second.objects.boxes[1].astype(int)
    assert red[y0:y1, x0:x1].any(0).all()
    assert red[y0:y1, x0:x1].any(1).all()
    place = second.georeference
    assert place is not None
    assert place.transform == tuple(fire_transform(fires, "a"))[:6]
    assert boxes_on_map(second.objects.boxes[1:], place)[0].bounds == (243 * 30, -111 * 30, 248 * 30, -106 * 30)
    assert second.about["valid_time"] == "1970-01-01T00:30:00Z"
    assert [image.about["fire_id"] for image in read_coco(folder / "test.json").images] == ["b"]


def test_spots_are_pasted_on_unburned_ground_away_from_the_fire():
    picture = letterbox(fire_pixels(SPOT, FRONT), NOTHING, 60)
    spot = Cutout(np.full((3, 3, 3), 200, np.uint8), 1)
    view = pasted(picture, [spot] * 12, np.random.default_rng(0), FIRE_VIEWS.margin)
    assert len(view.objects.labels) > 3
    margin = FIRE_VIEWS.margin or 0
    for x0, y0, x1, y1 in view.objects.boxes.astype(int):
        near = SPOT[max(y0 - margin, 0) : y1 + margin, max(x0 - margin, 0) : x1 + margin]
        assert not near.any()


def test_only_spots_are_pasted(written):
    _, folder = written
    (source,) = [CameraSource(folder / "train.json", folder / "images", "train", "fire_id")]
    images = list_images([source], ("front_now", "spot_now"), {}, 0).images
    drawing = ViewDrawing(images, 60, replace(FIRE_VIEWS, paste=1.0, mosaic=0.0, zoom=(1, 1), mirror=0.0), 0)
    pasted_labels = [drawing.view(1, view).objects.labels[2:].tolist() for view in range(1, 10)]
    assert sum(map(len, pasted_labels)) > 5
    assert {label for labels in pasted_labels for label in labels} == {1}
