"""A small COCO set of drawn camera images: coloured smoke and flames on textured ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import zoom

from emberformer.detection.coco import CocoImage, CocoSet, write_coco
from emberformer.detection.found import Objects

CATEGORIES = ("smoke", "flame")
COLOURS = {"smoke": (0.85, 0.85, 0.92), "flame": (0.98, 0.45, 0.08)}
SIDES = (14, 70)  # pixels of an object


def draw_image(rng: np.random.Generator, height: int = 140, width: int = 140) -> tuple[np.ndarray, Objects]:
    """An image [y x 3] uint8 with one to four objects that do not touch each other: boxes are exact."""
    coarse = rng.random((height // 10 + 2, width // 10 + 2, 3)) * [0.2, 0.4, 0.15] + 0.1
    ground = np.asarray(zoom(coarse, (10, 10, 1), order=1))[:height, :width]
    image = ground + rng.normal(0, 0.03, ground.shape)
    boxes, labels = [], []
    for _ in range(int(rng.integers(1, 5))):
        sides = np.minimum(rng.integers(SIDES[0], SIDES[1] + 1, 2), [width - 2, height - 2])
        x0, y0 = (int(rng.integers(0, whole - side)) for whole, side in zip((width, height), sides, strict=True))
        x1, y1 = x0 + int(sides[0]), y0 + int(sides[1])
        if any(x0 <= b[2] and b[0] <= x1 and y0 <= b[3] and b[1] <= y1 for b in boxes):
            continue
        label = int(rng.integers(len(CATEGORIES)))
        centre, half = (np.array([y0 + y1, x0 + x1]) - 1) / 2, np.array([y1 - y0, x1 - x0]) / 2
        away = np.hypot(*((np.moveaxis(np.indices((height, width)), 0, -1) - centre) / half).transpose(2, 0, 1))
        shade = 1 - 0.25 * rng.random((height, width, 1))
        image = np.where((away <= 1)[..., None], np.array(COLOURS[CATEGORIES[label]]) * shade, image)
        rows, columns = (np.flatnonzero((away <= 1).any(axis)) for axis in (1, 0))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        labels.append(label)
    objects = Objects.of(np.array(boxes, float).reshape(-1, 4), np.array(labels, np.int64))
    return (image.clip(0, 1) * 255).astype(np.uint8), objects


def write_camera_set(
    folder: Path, count: int = 6, seed: int = 0, size: tuple[int, int] = (140, 140), cameras: int = 3
) -> tuple[Path, Path]:
    """Write images and annotations; gives the file of annotations and the folder of images."""
    images = folder / "images"
    images.mkdir(parents=True)
    entries = []
    for number in range(count):
        pixels, objects = draw_image(np.random.default_rng((seed, number)), *size)
        Image.fromarray(pixels).save(images / f"{number:04d}.png", compress_level=1)
        about = {"camera": f"camera {number % cameras}"}
        entries.append(CocoImage(number + 1, f"{number:04d}.png", *size, objects, about))
    write_coco(folder / "annotations.json", CocoSet(tuple(entries), CATEGORIES, (1, 2)), {"description": "drawn"})
    return folder / "annotations.json", images
