"""COCO files: a round trip, a label map without gaps, and every fault named."""

import json
from pathlib import Path

import numpy as np
import pytest

from emberformer.detection.coco import CocoImage, CocoSet, coco_content, read_coco, write_coco
from emberformer.detection.found import Objects
from emberformer.errors import InputError
from tests.detection.camera_sets import CATEGORIES, write_camera_set


def _content(**changes) -> dict:
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "height": 40, "width": 60}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 90, "bbox": [10, 20, 30, 10]}],
        "categories": [{"id": 90, "name": "smoke"}, {"id": 3, "name": "flame"}],
    }
    return content | changes


def _written(folder: Path, content: object) -> Path:
    path = folder / "set.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _annotation(**changes) -> dict:
    return _content()["annotations"][0] | changes


def test_labels_are_contiguous_in_the_order_of_the_files_ids(tmp_path):
    read = read_coco(_written(tmp_path, _content()))
    assert read.categories == ("flame", "smoke")
    assert read.category_ids == (3, 90)
    assert read.images[0].objects.labels.tolist() == [1]
    assert read.images[0].objects.boxes.tolist() == [[10, 20, 40, 30]]
    assert not read.notes


def test_what_is_written_is_read_again(tmp_path):
    georeference = {"crs_wkt": "", "transform": [30.0, 0, 340000.0, 0, -30.0, 6160000.0], "fire_id": "sequence_001"}
    objects = Objects(np.array([[0.0, 1, 3.5, 4]]), np.array([1]), np.array([True]))
    images = (CocoImage(4, "a.png", 10, 20, objects, georeference), CocoImage(9, "b.png", 10, 20))
    written = CocoSet(images, ("front", "spot"), (5, 8))
    write_coco(tmp_path / "set.json", written, {"description": "test"})
    read = read_coco(tmp_path / "set.json")
    assert coco_content(read, {}) == coco_content(written, {})
    place = read.images[0].georeference
    assert place is not None
    assert place.transform == (30.0, 0, 340000.0, 0, -30.0, 6160000.0)
    assert read.images[1].georeference is None
    assert not list(tmp_path.glob("*.partial"))


def test_categories_are_chosen_by_name_in_the_order_asked_for(tmp_path):
    path = _written(tmp_path, _content())
    assert read_coco(path, categories=("smoke", "flame")).images[0].objects.labels.tolist() == [0]
    without = read_coco(path, categories=("flame",))
    assert not without.images[0].objects.labels.size
    assert without.notes == ("1 boxes of other categories left out",)
    with pytest.raises(InputError, match=r"flame, smoke[\s\S]*fog"):
        read_coco(path, categories=("fog",))


@pytest.mark.parametrize(
    ("bbox", "boxes", "note"),
    [
        ([50, 30, 20, 20], [[50, 30, 60, 40]], "1 boxes cut to their image"),
        ([-5, -5, 20, 20], [[0, 0, 15, 15]], "1 boxes cut to their image"),
        ([70, 30, 20, 20], [], "1 boxes outside their image left out"),
        ([10, 10, 0, 5], [], "1 boxes without area left out"),
        ([10, 10, 5, -5], [], "1 boxes without area left out"),
    ],
)
def test_boxes_are_cut_or_left_out_and_counted(tmp_path, bbox, boxes, note):
    read = read_coco(_written(tmp_path, _content(annotations=[_annotation(bbox=bbox)])))
    assert read.images[0].objects.boxes.tolist() == boxes
    assert read.notes == (note,)


def test_crowds_are_kept_and_marked(tmp_path):
    read = read_coco(_written(tmp_path, _content(annotations=[_annotation(iscrowd=1)])))
    assert read.images[0].objects.crowd.tolist() == [True]
    assert read.notes == ("1 crowds, which are not taught",)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("{", "no JSON"),
        ([], "a list"),
        ({"images": [], "annotations": []}, "no list categories"),
        (_content(images=[{"id": 7, "file_name": "a.jpg"}]), "no height, width"),
        (_content(images=_content()["images"] * 2), "id 7 a second time"),
        (_content(annotations=[_annotation()] * 2), "id 1 a second time"),
        (_content(images=[_content()["images"][0] | {"id": "x"}]), "id 'x'"),
        (_content(categories=[{"id": n, "name": "smoke"} for n in (90, 91)]), "'smoke' twice"),
        (_content(annotations=[_annotation(image_id=8)]), "image 8, which is not in the file"),
        (_content(annotations=[_annotation(category_id=0)]), "category 0, which is not in the file"),
        (_content(annotations=[_annotation(bbox=[1, 2, 3])]), r"bbox \[1, 2, 3\]"),
        (_content(annotations=[_annotation(bbox=[1, 2, 3, None])]), r"bbox \[1, 2, 3, None\]"),
        (_content(annotations=[_annotation(bbox=[1, 2, 3, float("nan")])]), r"bbox \[1.*nan\]"),
    ],
)
def test_faults_are_named(tmp_path, content, found):
    with pytest.raises(InputError, match=found):
        read_coco(_written(tmp_path, content))


def test_a_missing_file_of_annotations_or_image_is_named(tmp_path):
    with pytest.raises(InputError, match="it cannot be read"):
        read_coco(tmp_path / "set.json")
    path, images = write_camera_set(tmp_path / "set", count=3)
    (images / "0001.png").unlink()
    (images / "0002.png").unlink()
    with pytest.raises(InputError, match=r"no file 0001.png, and 1 more are missing"):
        read_coco(path, images)


def test_drawn_sets_have_exact_boxes(tmp_path):
    path, images = write_camera_set(tmp_path / "set", count=4)
    read = read_coco(path, images)
    assert read.categories == CATEGORIES
    assert all(1 <= len(image.objects.labels) <= 4 for image in read.images)
    assert {str(image.about["camera"]) for image in read.images} == {"camera 0", "camera 1", "camera 2"}
