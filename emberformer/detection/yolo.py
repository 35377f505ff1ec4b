"""Sets with a text file of boxes an image, as D-Fire is published, to COCO.

Each line of a text file is `class cx cy w h`: the number of the category from 0, the centre and the sides of the box as
shares of the image. An image without a text file, or with an empty one, has no object.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from emberformer.detection.boxes import cut_boxes, to_pixels
from emberformer.detection.coco import CocoImage, CocoSet
from emberformer.detection.found import Objects
from emberformer.errors import InputError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def read_yolo(images: Path, labels: Path, categories: Sequence[str]) -> CocoSet:
    """Read a set; `write_coco` then writes it as COCO.

    Args:
        images: folder of the images, with subfolders.
        labels: folder of the text files, with the same subfolders.
        categories: names of the classes 0, 1, ...

    Raises:
        InputError: no image, an image that cannot be read, or a line that is no class and box.
    """
    paths = sorted(path for path in images.rglob("*") if path.suffix.lower() in ENDINGS)
    if not paths:
        raise InputError(images, "no image", f"files that end in {', '.join(ENDINGS)}", "name the folder of the images")
    read, without = [], 0
    for number, path in enumerate(paths, 1):
        name = path.relative_to(images)
        told = labels / name.with_suffix(".txt")
        without += not told.is_file()
        height, width = _size(path)
        objects = _objects(told, (height, width), categories) if told.is_file() else _objects_of([], (height, width))
        read.append(CocoImage(number, name.as_posix(), height, width, objects))
    notes = (f"{without} images without a text file, taken as images without objects",) if without else ()
    return CocoSet(tuple(read), tuple(categories), tuple(range(1, len(categories) + 1)), notes)


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all of Pillow's kinds of damage
        found, expected = f"no readable image: {error}", "a complete image"
        raise InputError(path, found, expected, "supply the file again, or remove it") from error


def _objects(path: Path, size: tuple[int, int], categories: Sequence[str]) -> Objects:
    rows = []
    for place, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split()
        try:
            label, box = int(words[0]), [float(word) for word in words[1:]]
        except (ValueError, IndexError):
            label, box = -1, []
        if words and not (0 <= label < len(categories) and len(box) == 4 and np.isfinite(box).all()):
            expected = f"a class from 0 to {len(categories) - 1} and the centre and sides of a box as shares"
            raise InputError(f"{path}, line {place}", repr(line), expected, "correct it, or name all categories")
        rows += [(label, *box)] if words else []
    return _objects_of(rows, size)


def _objects_of(rows: Sequence[tuple[float, ...]], size: tuple[int, int]) -> Objects:
    """Objects of lines (class, cx, cy, w, h), cut to the image; those without area are left out."""
    values = np.array(rows, float).reshape(-1, 5)
    boxes, kept = cut_boxes(to_pixels(values[:, 1:], size), size, 0.0, 1e-6)
    return Objects.of(boxes[kept], values[kept, 0].astype(np.int64))
