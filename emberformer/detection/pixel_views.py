"""Views of camera images on a square canvas: mirrored, enlarged, four in one, with rare objects pasted in, recoloured.

Features are computed once, so what acts on pixels is drawn before they are: every image gets some seeded views, and
each view carries its boxes with it. Mosaic: Bochkovskiy et al. 2020, arXiv:2004.10934; copy-paste: Ghiasi et al. 2021,
doi:10.1109/CVPR46437.2021.00294, here of whole boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from emberformer.detection.boxes import cut_boxes
from emberformer.detection.found import Objects

LEAST_SHARE = 0.3  # of a box that must be seen for it to stay an object
LEAST_SIDE = 2.0  # pixels
PADDING = 0  # black
TRIES = 20  # places that are tried for a pasted object
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Picture:
    """An image on a square canvas.

    Args:
        pixels: red, green and blue; `PADDING` outside the area.
        area: y0, x0, y1, x1 of the image on the canvas.
        objects: boxes in pixels of the canvas.
    """

    pixels: UInt8[np.ndarray, "side side 3"]
    area: tuple[int, int, int, int]
    objects: Objects

    @property
    def side(self) -> int:
        """Height and width of the canvas."""
        return self.pixels.shape[0]

    def valid_share(self, pixels: int) -> Float[np.ndarray, "Gy Gx"]:
        """Share of each patch that is image and not padding; a patch has so many pixels on a side."""
        inside = np.zeros((self.side, self.side), np.float32)
        y0, x0, y1, x1 = self.area
        inside[y0:y1, x0:x1] = 1
        grid = self.side // pixels
        return inside.reshape(grid, pixels, grid, pixels).mean((1, 3))


@dataclass(frozen=True)
class Cutout:
    """An object to paste: its pixels and its category."""

    pixels: UInt8[np.ndarray, "h w 3"]
    label: int


@dataclass(frozen=True)
class ViewRule:
    """Which views are drawn; shares of the views that have each change.

    Args:
        mosaic: four images in one.
        zoom: least and greatest factor of an enlargement, drawn evenly in its logarithm; of all views but mosaics.
        mirror: east-west.
        paste: rare objects of other images pasted in.
        pasted: objects that are pasted at most.
        jitter: greatest change of brightness, contrast and saturation, as a share; 0 for pictures of fires, whose
            colours say what is burned.
        margin: pixels around a pasted object that must be of one colour, as the unburned ground of a picture of a fire
            is, so that a spot is pasted on no burned ground and not beside it; None: it may lie anywhere.
        pasted_labels: categories that are pasted, each as often as the others; None: all.
    """

    mosaic: float = 0.3
    zoom: tuple[float, float] = (0.6, 1.6)
    mirror: float = 0.5
    paste: float = 0.3
    pasted: int = 3
    jitter: float = 0.3
    margin: int | None = None
    pasted_labels: tuple[int, ...] | None = None


def letterbox(image: UInt8[np.ndarray, "h w 3"], objects: Objects, side: int) -> Picture:
    """An image scaled to fit a square canvas, at its upper left."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    pixels, boxes = resampled(image, objects.boxes, (0, 0, height, width), size)
    return Picture(_on_canvas(pixels, (0, 0), side), (0, 0, *size), objects._replace(boxes=boxes))


def draw_view(
    picture: Picture,
    others: Callable[[int], Sequence[Picture]],
    cutouts: Callable[[int], Sequence[Cutout]],
    rule: ViewRule,
    rng: np.random.Generator,
) -> Picture:
    """A random view of an image.

    Args:
        picture: the image.
        others: gives so many further ones, for a mosaic.
        cutouts: gives so many objects to paste, or fewer.
        rule: which views there are.
        rng: chance.
    """
    if rng.random() < rule.mosaic:
        view = mosaic([picture, *others(3)], rng)
    else:
        low, high = np.log(rule.zoom)
        view = zoomed(picture, float(np.exp(rng.uniform(low, high))), rng)
    if rng.random() < rule.mirror:
        view = mirrored(view)
    if rng.random() < rule.paste and rule.pasted:
        view = pasted(view, cutouts(1 + int(rng.integers(rule.pasted))), rng, rule.margin)
    return jittered(view, rule.jitter, rng)


def mirrored(picture: Picture) -> Picture:
    """An image mirrored east-west."""
    y0, x0, y1, x1 = picture.area
    boxes, side = picture.objects.boxes.copy(), picture.side
    boxes[:, [0, 2]] = side - boxes[:, [2, 0]]
    area, objects = (y0, side - x1, y1, side - x0), picture.objects._replace(boxes=boxes)
    return Picture(np.ascontiguousarray(picture.pixels[:, ::-1]), area, objects)


def zoomed(picture: Picture, factor: float, rng: np.random.Generator) -> Picture:
    """An image enlarged (factor > 1; a random part of it fills its area) or made smaller (at a random place)."""
    y0, x0, y1, x1 = picture.area
    height, width, side = y1 - y0, x1 - x0, picture.side
    if factor >= 1:
        part = height / factor, width / factor
        top, left = y0 + rng.uniform(0, height - part[0]), x0 + rng.uniform(0, width - part[1])
        window, size, corner = (top, left, top + part[0], left + part[1]), (height, width), (y0, x0)
    else:
        size = max(1, round(height * factor)), max(1, round(width * factor))
        corner = int(rng.integers(side - size[0] + 1)), int(rng.integers(side - size[1] + 1))
        window = picture.area
    pixels, boxes = resampled(picture.pixels, picture.objects.boxes, window, size)
    boxes, kept = cut_boxes(boxes, size, LEAST_SHARE, LEAST_SIDE)
    objects = picture.objects._replace(boxes=boxes + np.tile(corner[::-1], 2)).chosen(kept)
    return Picture(_on_canvas(pixels, corner, side), (*corner, corner[0] + size[0], corner[1] + size[1]), objects)


def mosaic(pictures: Sequence[Picture], rng: np.random.Generator) -> Picture:
    """Parts of four images around a random point near the middle; each keeps its proportions."""
    side = pictures[0].side
    y, x = (int(rng.uniform(0.3, 0.7) * side) for _ in range(2))
    quarters = [(0, 0, y, x), (0, x, y, side), (y, 0, side, x), (y, x, side, side)]
    canvas, found = np.full_like(pictures[0].pixels, PADDING), []
    for picture, (top, left, bottom, right) in zip(pictures, quarters, strict=True):
        y0, x0, y1, x1 = picture.area
        size = bottom - top, right - left
        scale = max(size[0] / (y1 - y0), size[1] / (x1 - x0))  # covers the quarter
        part = size[0] / scale, size[1] / scale
        row, column = rng.uniform(y0, max(y1 - part[0], y0)), rng.uniform(x0, max(x1 - part[1], x0))
        window = row, column, min(row + part[0], y1), min(column + part[1], x1)
        canvas[top:bottom, left:right], boxes = resampled(picture.pixels, picture.objects.boxes, window, size)
        boxes, kept = cut_boxes(boxes, size, LEAST_SHARE, LEAST_SIDE)
        found.append(picture.objects._replace(boxes=boxes + np.array([left, top, left, top])).chosen(kept))
    objects = Objects(*(np.concatenate(of) for of in zip(*found, strict=True)))
    return Picture(canvas, (0, 0, side, side), objects)


def pasted(picture: Picture, cutouts: Sequence[Cutout], rng: np.random.Generator, margin: int | None = None) -> Picture:
    """An image with objects pasted where no other is; one that finds no free place is left out.

    Args:
        picture: the image.
        cutouts: objects to paste.
        rng: chance.
        margin: as in `ViewRule`.
    """
    y0, x0, y1, x1 = picture.area
    pixels, objects = picture.pixels.copy(), picture.objects
    for cutout in cutouts:
        height, width = cutout.pixels.shape[:2]
        for _ in range(TRIES if height <= y1 - y0 and width <= x1 - x0 else 0):
            top, left = y0 + int(rng.integers(y1 - y0 - height + 1)), x0 + int(rng.integers(x1 - x0 - width + 1))
            low, high = objects.boxes[:, :2], objects.boxes[:, 2:]
            if ((low < [left + width, top + height]) & (high > [left, top])).all(1).any():
                continue
            if margin is not None and not _is_plain(pixels, (top, left, top + height, left + width), margin):
                continue
            pixels[top : top + height, left : left + width] = cutout.pixels
            objects = Objects(
                np.concatenate([objects.boxes, [[left, top, left + width, top + height]]]),
                np.append(objects.labels, cutout.label), np.append(objects.crowd, False),
            )  # fmt: skip
            break
    return replace(picture, pixels=pixels, objects=objects)


def _is_plain(pixels: np.ndarray, place: tuple[int, int, int, int], margin: int) -> bool:
    """Whether a part of an image and what lies around it are of one colour."""
    top, left, bottom, right = place
    part = pixels[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]
    return bool((part == part[0, 0]).all())


def jittered(picture: Picture, most: float, rng: np.random.Generator) -> Picture:
    """An image with other brightness, contrast and saturation; boxes stay."""
    y0, x0, y1, x1 = picture.area
    values = picture.pixels[y0:y1, x0:x1].astype(np.float32)
    brightness, contrast, saturation = (1 + rng.uniform(-most, most, 3)).astype(np.float32)
    grey = (values @ LUMA)[..., None]
    values = (grey + saturation * (values - grey)) * brightness
    values = values.mean() + contrast * (values - values.mean())
    pixels = picture.pixels.copy()
    pixels[y0:y1, x0:x1] = np.clip(np.round(values), 0, 255).astype(np.uint8)
    return replace(picture, pixels=pixels)


def cutouts_of(picture: Picture) -> list[Cutout]:
    """The objects of an image as they can be pasted into others."""
    found = []
    for box, label, crowd in zip(*picture.objects, strict=True):
        x0, y0, x1, y1 = np.round(box).astype(int)
        if not crowd and x1 > x0 and y1 > y0:
            found.append(Cutout(picture.pixels[y0:y1, x0:x1].copy(), int(label)))
    return found


def resampled(
    pixels: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "n 4"],
    window: tuple[float, float, float, float],
    size: tuple[int, int],
) -> tuple[UInt8[np.ndarray, "a b 3"], Float[np.ndarray, "n 4"]]:
    """Part of an image at another size, bilinear and without aliasing, and its boxes there, uncut.

    Args:
        pixels: the image.
        boxes: in its pixels.
        window: y0, x0, y1, x1 of the part; edges may lie within pixels.
        size: height and width of the result.
    """
    y0, x0, y1, x1 = window
    image = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR, box=(x0, y0, x1, y1))
    scale = np.tile([size[1] / (x1 - x0), size[0] / (y1 - y0)], 2)
    return np.asarray(image), (boxes - [x0, y0, x0, y0]) * scale


def _on_canvas(pixels: np.ndarray, corner: tuple[int, int], side: int) -> np.ndarray:
    canvas = np.full((side, side, 3), PADDING, np.uint8)
    canvas[corner[0] : corner[0] + pixels.shape[0], corner[1] : corner[1] + pixels.shape[1]] = pixels
    return canvas
