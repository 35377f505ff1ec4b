"""COCO JSON: images, categories and boxes, read with every fault named and written back.

Format: Lin et al. 2014, doi:10.1007/978-3-319-10602-1_48, "data format" of https://cocodataset.org. Ids of categories
may have gaps there; labels here are contiguous from 0, in the order of the ids, and the ids are kept beside them.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emberformer.atomic import write_json
from emberformer.detection.boxes import cut_boxes, from_corner_and_size
from emberformer.detection.found import NOTHING, Detections, Objects
from emberformer.errors import InputError

OWN_KEYS = ("id", "file_name", "height", "width")


class Georeference(NamedTuple):
    """Where an image lies.

    Args:
        crs_wkt: coordinate reference system, "" = unknown.
        transform: (a, b, c, d, e, f) from (column, row) of pixel corners to the map.
    """

    crs_wkt: str
    transform: tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class CocoImage:
    """An image and its objects.

    Args:
        image_id: of the file.
        file_name: relative to the folder of the images.
        height, width: in pixels.
        objects: cut to the image.
        about: further keys of its entry, JSON content, such as `video_id`, `crs_wkt` and `transform`.
    """

    image_id: int
    file_name: str
    height: int
    width: int
    objects: Objects = NOTHING
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def georeference(self) -> Georeference | None:
        """Where it lies, where its entry says so."""
        if "transform" not in self.about:
            return None
        a, b, c, d, e, f = map(float, self.about["transform"])
        return Georeference(str(self.about.get("crs_wkt", "")), (a, b, c, d, e, f))


@dataclass(frozen=True)
class CocoSet:
    """A set of images with boxes.

    Args:
        images: in the order of the file.
        categories: names of the labels 0, 1, ...
        category_ids: the file's id of each.
        notes: what was cut or left out, in words.
    """

    images: tuple[CocoImage, ...]
    categories: tuple[str, ...]
    category_ids: tuple[int, ...]
    notes: tuple[str, ...] = ()


def read_coco(path: Path, images: Path | None = None, categories: Sequence[str] | None = None) -> CocoSet:
    """Read a COCO file of boxes.

    Boxes that reach out of their image are cut to it; those without area, in the file or within the image, are left
    out; both are counted in `notes`. Crowds are kept and marked.

    Args:
        path: the JSON file.
        images: folder of the images, in which each of them must lie; None: they are not looked for.
        categories: names to keep, in the order of their labels; None: all, in the order of their ids.

    Raises:
        InputError: no COCO file; an id that is there twice; a box of an image or category that is not there, or that is
            no four finite numbers; a missing image; a category that is asked for and not there.
    """
    content = _content(path)
    by_id = _by_id(path, content, "categories", ("name",))
    names = {number: str(entry["name"]) for number, entry in sorted(by_id.items())}
    chosen = _chosen(path, names, categories)
    entries = _by_id(path, content, "images", ("file_name", "height", "width"))
    if images is not None:
        _look_for(path, images, [str(entry["file_name"]) for entry in entries.values()])
    of_image: dict[int, list[dict[str, Any]]] = {number: [] for number in entries}
    counts: Counter[str] = Counter()
    for number, entry in _by_id(path, content, "annotations", ("image_id", "category_id", "bbox")).items():
        where = f"{path}, annotation {number}"
        if entry["image_id"] not in entries:
            raise _unknown(where, "image", entry["image_id"], entries)
        if entry["category_id"] not in names:
            raise _unknown(where, "category", entry["category_id"], names)
        if entry["category_id"] not in chosen:
            counts["boxes of other categories left out"] += 1
        else:
            of_image[entry["image_id"]].append({**entry, "bbox": _numbers(where, entry["bbox"])})
    read = tuple(_image(number, entry, of_image[number], chosen, counts) for number, entry in entries.items())
    notes = tuple(f"{count} {what}" for what, count in sorted(counts.items()))
    return CocoSet(read, tuple(names[number] for number in chosen), tuple(chosen), notes)


def _content(path: Path) -> dict[str, Any]:
    expected, remedy = "a COCO file: images, annotations and categories", "name the set's file of annotations"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(path, f"it cannot be read: {error.strerror}", expected, remedy) from error
    except ValueError as error:  # of text and of JSON
        raise InputError(path, f"no JSON: {error}", expected, remedy) from error
    if not isinstance(content, dict):
        raise InputError(path, f"a {type(content).__name__}", expected, remedy)
    lacking = [name for name in ("images", "annotations", "categories") if not isinstance(content.get(name), list)]
    if lacking:
        raise InputError(path, f"no list {', '.join(lacking)}", expected, remedy)
    return content


def _by_id(path: Path, content: dict[str, Any], name: str, needed: Sequence[str]) -> dict[int, dict[str, Any]]:
    """Entries of a list by their ids."""
    found: dict[int, dict[str, Any]] = {}
    for place, entry in enumerate(content[name]):
        lacking = [key for key in ("id", *needed) if not isinstance(entry, dict) or key not in entry]
        if lacking:
            expected = f"entries with {', '.join(('id', *needed))}"
            raise InputError(f"{path}, {name}[{place}]", f"no {', '.join(lacking)}", expected, "complete the entry")
        if not isinstance(entry["id"], int):
            found_id, remedy = f"id {entry['id']!r}", "number the entries"
            raise InputError(f"{path}, {name}[{place}]", found_id, "a whole number", remedy)
        if entry["id"] in found:
            remedy = "number them anew, without repetition"
            raise InputError(f"{path}, {name}[{place}]", f"id {entry['id']} a second time", "ids of their own", remedy)
        found[entry["id"]] = entry
    return found


def _chosen(path: Path, names: dict[int, str], categories: Sequence[str] | None) -> dict[int, int]:
    """Label of each category id that is kept, in the order of the labels."""
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise InputError(f"{path}, categories", f"{twice[0]!r} twice", "a name of its own for each", "rename one")
    if categories is None:
        return {number: label for label, number in enumerate(names)}
    ids = {name: number for number, name in names.items()}
    lacking = [name for name in categories if name not in ids]
    if lacking:
        found, expected = f"{', '.join(ids) or 'none'}", f"{', '.join(categories)}"
        raise InputError(f"{path}, categories", found, expected, "name categories that the set has, or rename its own")
    return {ids[name]: label for label, name in enumerate(categories)}


def _look_for(path: Path, images: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (images / name).is_file()]
    if missing:
        found = f"no file {missing[0]}" + (f", and {len(missing) - 1} more are missing" if len(missing) > 1 else "")
        raise InputError(images, found, f"the {len(names)} images that {path} names", "complete or correct the folder")


def _unknown(where: str, kind: str, number: object, known: Mapping[int, object]) -> InputError:
    expected = f"one of the file's {len(known)} ids"
    return InputError(where, f"{kind} {number!r}, which is not in the file", expected, "correct or remove the entry")


def _numbers(where: str, box: Any) -> list[float]:
    """x, y, width and height."""
    numbers = box if isinstance(box, list) and len(box) == 4 else []
    if not numbers or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        raise InputError(where, f"bbox {box!r}", "x, y, width and height in pixels", "correct or remove the entry")
    return [float(number) for number in numbers]


def _image(
    number: int, entry: dict[str, Any], told: list[dict[str, Any]], chosen: Mapping[int, int], counts: Counter[str]
) -> CocoImage:
    """An image with its boxes cut to it; `counts` what was cut and left out."""
    height, width = int(entry["height"]), int(entry["width"])
    corner = np.array([of["bbox"] for of in told], float).reshape(-1, 4)
    boxes = from_corner_and_size(corner)
    flat = (corner[:, 2:] <= 0).any(1)
    inside, kept = cut_boxes(boxes, (height, width), 0.0, 1e-6)
    counts["boxes without area left out"] += int(flat.sum())
    counts["boxes outside their image left out"] += int((~kept & ~flat).sum())
    counts["boxes cut to their image"] += int((kept & ~flat & (np.abs(inside - boxes) > 1e-6).any(1)).sum())
    labels = np.array([chosen[of["category_id"]] for of in told], np.int64)
    crowd = np.array([bool(of.get("iscrowd", 0)) for of in told], bool)
    counts["crowds, which are not taught"] += int((crowd & kept & ~flat).sum())
    for what in [what for what, count in counts.items() if not count]:
        del counts[what]
    about = {key: value for key, value in entry.items() if key not in OWN_KEYS}
    objects = Objects(inside, labels, crowd).chosen(kept & ~flat)
    return CocoImage(number, str(entry["file_name"]), height, width, objects, about)


def coco_content(coco: CocoSet, info: Mapping[str, Any]) -> dict[str, Any]:
    """A set as the content of a COCO file; `area` is that of the box.

    Args:
        coco: the set.
        info: what stands under `info`: description, provenance; JSON content.
    """
    annotations = []
    for image in coco.images:
        for box, label, crowd in zip(*image.objects, strict=True):
            x0, y0, x1, y1 = box.tolist()
            annotations.append({
                "id": len(annotations) + 1, "image_id": image.image_id, "category_id": coco.category_ids[label],
                "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": int(crowd),
            })  # fmt: skip
    return {
        "info": dict(info),
        "images": [
            {"id": of.image_id, "file_name": of.file_name, "height": of.height, "width": of.width, **of.about}
            for of in coco.images
        ],
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name} for number, name in zip(coco.category_ids, coco.categories, strict=True)
        ],
    }


def write_coco(path: Path, coco: CocoSet, info: Mapping[str, Any]) -> None:
    """Write a COCO file, whole or not at all."""
    write_json(path, coco_content(coco, info))


def results_content(found: Sequence[Detections]) -> list[dict[str, Any]]:
    """Detections of images 1, 2, ... as the content of a COCO results file; ids of categories are label + 1."""
    return [
        {"image_id": number, "category_id": label + 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
        for number, of in enumerate(found, 1)
        for (x0, y0, x1, y1), label, score in zip(*(values.tolist() for values in of), strict=True)
    ]
