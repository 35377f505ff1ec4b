"""Sets of text files become COCO sets: a box by hand, images without objects, and lines that are none."""

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from emberformer.cli import app
from emberformer.detection.coco import read_coco, write_coco
from emberformer.detection.yolo import read_yolo
from emberformer.errors import InputError


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    images, labels = tmp_path / "images", tmp_path / "labels"
    for name in ("a/one.jpg", "a/two.jpg", "b/three.png"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (labels / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 100)).save(images / name)
    (labels / "a/one.txt").write_text("1 0.5 0.5 0.25 0.5\n\n0 0.95 0.5 0.2 0.2\n")
    (labels / "a/two.txt").write_text("")
    return images, labels


def test_boxes_are_read_in_pixels_and_written_as_coco(folders, tmp_path):
    read = read_yolo(folders[0], folders[1], ("smoke", "fire"))
    first = read.images[0]
    assert first.file_name == "a/one.jpg"
    assert first.objects.labels.tolist() == [1, 0]
    assert first.objects.boxes.tolist() == [[75, 25, 125, 75], [170, 40, 200, 60]]
    assert [len(image.objects.labels) for image in read.images] == [2, 0, 0]
    assert read.notes == ("1 images without a text file, taken as images without objects",)
    write_coco(tmp_path / "set.json", read, {})
    again = read_coco(tmp_path / "set.json", folders[0])
    assert again.images[0].objects.boxes.tolist() == first.objects.boxes.tolist()
    assert again.categories == ("smoke", "fire")


@pytest.mark.parametrize("line", ["2 0.5 0.5 0.1 0.1", "0 0.5 0.5 0.1", "fire 0.5 0.5 0.1 0.1", "0 0.5 nan 0.1 0.1"])
def test_a_line_that_is_no_box_is_named(folders, line):
    (folders[1] / "a/one.txt").write_text(f"1 0.5 0.5 0.25 0.5\n{line}\n")
    with pytest.raises(InputError, match=r"one\.txt, line 2"):
        read_yolo(folders[0], folders[1], ("smoke", "fire"))


def test_folders_without_images_and_damaged_images_are_named(folders, tmp_path):
    with pytest.raises(InputError, match="no image"):
        read_yolo(tmp_path / "labels", folders[1], ("smoke",))
    (folders[0] / "a/two.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"two\.jpg[\s\S]*no readable image"):
        read_yolo(folders[0], folders[1], ("smoke", "fire"))


def test_the_command_line_converts(folders, tmp_path):
    options = {"images": folders[0], "labels": folders[1], "category": "smoke", "out": tmp_path / "set.json"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    run = CliRunner().invoke(app, ["detection", "convert", *words, "--category", "fire"])
    assert run.exit_code == 0, run.output
    assert "3 images" in run.output
    assert read_coco(tmp_path / "set.json").categories == ("smoke", "fire")
