"""Detections on the map and in pictures: boxes go there and back, files are read by other tools."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
from faster_coco_eval import COCO
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle
from PIL import Image
from pyproj import CRS

from emberformer.detection.coco import CocoImage, CocoSet, Georeference, write_coco
from emberformer.detection.detections_out import (
    FoundInFrame,
    boxes_in_pixels,
    boxes_on_map,
    detection_table,
    write_detections,
    write_results,
)
from emberformer.detection.found import NOTHING, Detections, Objects
from emberformer.detection.pictures import Panel, draw_panels, fire_pixels, write_panels
from emberformer.errors import InputError

UTM = CRS.from_epsg(32719).to_wkt()
PLACE = Georeference(UTM, (30.0, 0.0, 340_000.0, 0.0, -30.0, 6_160_000.0))
CATEGORIES = ("front_now", "spot_next")
FOUND = Detections(np.array([[0.0, 0, 10, 20], [3, 4, 5, 6]]), np.array([1, 0]), np.array([0.9, 0.4]))
TIMES = np.array(["2026-01-31T14:00:00", "2026-01-31T14:30:00"], "datetime64[s]")


def _frame(place: Georeference = PLACE, found: Detections = FOUND) -> FoundInFrame:
    return FoundInFrame("sequence_001", TIMES[0], TIMES, place, found)


def test_a_box_on_the_map_by_hand():
    (outline,) = boxes_on_map(np.array([[1.0, 2, 3, 5]]), PLACE)
    assert outline.bounds == (340_030, 6_159_850, 340_090, 6_159_940)
    assert outline.exterior.is_ccw


@given(st.integers(0, 10**6), st.floats(-3, 3))
def test_boxes_go_to_the_map_and_back(seed, turn):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 300, (4, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 90, (4, 2))], 1)
    place = Georeference("", (30.0, 0.0, 5e5 + turn, 0.0, -29.0, 6e6 - turn))
    assert np.allclose(boxes_in_pixels(boxes_on_map(boxes, place), place), boxes, atol=1e-6)


def test_a_geopackage_has_a_row_a_detection_in_the_maps_crs(tmp_path):
    write_detections(tmp_path / "found.gpkg", [_frame()], CATEGORIES)
    read = geopandas.read_file(tmp_path / "found.gpkg", layer="detections")
    assert read.crs == CRS.from_epsg(32719)
    assert read.category.tolist() == ["front_now", "spot_next"]
    assert read.score.tolist() == [0.4, 0.9]
    assert read.fire_id.tolist() == ["sequence_001"] * 2
    assert read.valid_time.dt.strftime("%H:%M").tolist() == ["14:00", "14:30"]
    assert read.geometry.area.tolist() == [4 * 900, 200 * 900]
    assert [path.name for path in tmp_path.iterdir()] == ["found.gpkg"]


def test_nothing_found_is_a_layer_without_rows(tmp_path):
    nothing = Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
    write_detections(tmp_path / "found.gpkg", [_frame(found=nothing)], CATEGORIES)
    assert len(geopandas.read_file(tmp_path / "found.gpkg", layer="detections")) == 0


def test_two_reference_systems_are_two_files():
    with pytest.raises(InputError, match="2 coordinate reference systems"):
        detection_table([_frame(), _frame(PLACE._replace(crs_wkt=CRS.from_epsg(32718).to_wkt()))], CATEGORIES)


def test_coco_tools_read_the_results(tmp_path):
    told = CocoSet((CocoImage(1, "a.png", 40, 60, Objects.of(FOUND.boxes, FOUND.labels)),), CATEGORIES, (1, 2))
    write_coco(tmp_path / "told.json", told, {})
    write_results(tmp_path / "found.json", [FOUND], ["a.png"])
    read = COCO(str(tmp_path / "told.json")).loadRes(str(tmp_path / "found.json"))
    assert [of["bbox"] for of in read.loadAnns(read.getAnnIds())] == [[0, 0, 10, 20], [3, 4, 2, 2]]
    assert [of["category_id"] for of in read.loadAnns(read.getAnnIds())] == [2, 1]
    assert {of["file_name"] for of in json.loads((tmp_path / "found.json").read_text())} == {"a.png"}


def _panel() -> Panel:
    before, after = np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.uint8)
    before[10:15, 10:15], after[10:20, 10:20], after[0, 0] = 1, 1, 255
    return Panel(fire_pixels(after, before), Objects.of(np.array([[10.0, 10, 20, 20]]), np.array([0])), FOUND, "a fire")


def test_boxes_are_drawn_around_their_pixels():
    panel = _panel()
    figure = draw_panels([panel, panel._replace(told=NOTHING)], CATEGORIES, least_score=0.5)
    (first, second) = figure.axes
    drawn = [[p.get_bbox().bounds for p in of.patches if isinstance(p, Rectangle)] for of in (first, second)]
    assert drawn == [[(10, 10, 10, 10), (0, 0, 10, 20)], [(0, 0, 10, 20)]]
    assert list(first.images[0].get_extent()) == [0, 40, 30, 0]
    new, old, ground = panel.pixels[18, 18], panel.pixels[12, 12], panel.pixels[25, 30]
    assert len({tuple(colour) for colour in (new, old, ground, panel.pixels[0, 0])}) == 4


@pytest.mark.parametrize("name", ["found.png", "found.svg"])
def test_pictures_are_written_and_repeat(tmp_path: Path, name):
    for folder in ("one", "two"):
        write_panels(tmp_path / folder / name, [_panel()], CATEGORIES)
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    if name.endswith("png"):
        with Image.open(tmp_path / "one" / name) as image:
            assert min(image.size) > 300
