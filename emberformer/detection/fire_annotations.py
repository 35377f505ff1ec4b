"""Objects of fires as a COCO set: pictures of frames, boxes, and where they lie; for any detector of images.

Read as a camera set (`CameraSource` with `group="fire_id"`), its pictures get views too, where boxes are of what is new
in the picture itself (horizon 'now'): mosaics, and spots, which are rare, pasted on unburned ground (`FIRE_VIEWS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image
from tqdm import tqdm

from emberformer.atomic import replacing
from emberformer.data.fires import fire_crs, fire_transform
from emberformer.detection.coco import CocoImage, CocoSet, write_coco
from emberformer.detection.fire_objects import KINDS, SPOT, ClusterRule, objects_new_in
from emberformer.detection.fire_samples import Horizon
from emberformer.detection.found import Objects
from emberformer.detection.pictures import fire_pixels
from emberformer.detection.pixel_views import ViewRule
from emberformer.provenance import provenance

FIRE_VIEWS = ViewRule(
    mosaic=0.2, zoom=(0.8, 1.25), mirror=0.5, paste=0.5, pasted=3, pasted_labels=(SPOT,), jitter=0.0, margin=4
)


def write_fire_annotations(
    folder: Path,
    fires: xr.Dataset,
    split_of: Mapping[str, str],
    rule: ClusterRule,
    horizons: tuple[Horizon, ...] = ("now",),
) -> None:
    """Write `<split>.json` for every split and `images/<fire_id>_<step>.png`, whole or not at all.

    Images carry fire_id, step, valid_time (UTC), crs_wkt and transform; a box (x, y, w, h) has its corner on the map at
    a x + c, e y + f.

    Args:
        folder: to write; replaced if it exists.
        fires: an opened fires store.
        split_of: fire_id -> split; fires that are not named are left out.
        rule: what makes an object.
        horizons: objects that are new in the frame ('now'), one frame later ('next'), or both; see `FireObjectSamples`.
    """
    categories = tuple(f"{kind}_{horizon}" for horizon in horizons for kind in KINDS)
    entries: dict[str, list[CocoImage]] = {split: [] for split in sorted(set(split_of.values()))}
    info = {"description": f"objects of the fires of {fires.attrs['dataset']}", "rule": vars(rule), **provenance(),
            "fires_content_digest": fires.attrs["content_digest"]}  # fmt: skip
    rows = zip(fires.fire_id.values.tolist(), fires.row_start.values, fires.row_size.values, strict=True)
    with replacing(folder) as partial:
        (partial / "images").mkdir()
        for fire_id, start, size in tqdm(list(rows), desc="annotations", unit="fire", mininterval=1):
            if fire_id not in split_of:
                continue
            height, width = fires.sizes["y"], fires.sizes["x"]
            place = {"crs_wkt": fire_crs(fires, fire_id), "transform": list(fire_transform(fires, fire_id))[:6]}
            for step in range(int(size)):
                row, name = int(start) + step, f"{fire_id}_{step:03d}.png"
                before = fires["burned"][row - 1].values if step else None
                pixels = fire_pixels(fires["burned"][row].values, before)
                Image.fromarray(pixels).save(partial / "images" / name)
                about = {"fire_id": fire_id, "step": step, "valid_time": f"{fires.valid_time.values[row]}Z", **place}
                objects = _objects(fires, row, step, int(size), rule, horizons)
                images = entries[split_of[fire_id]]
                images.append(CocoImage(row + 1, name, height, width, objects, about))
        for split, images in entries.items():
            ids = tuple(range(1, len(categories) + 1))
            write_coco(partial / f"{split}.json", CocoSet(tuple(images), categories, ids), info)


def _objects(
    fires: xr.Dataset, row: int, step: int, size: int, rule: ClusterRule, horizons: tuple[Horizon, ...]
) -> Objects:
    """Objects of a frame over all horizons; none of the next after the last frame."""
    boxes, labels = [np.zeros((0, 4))], [np.zeros(0, np.int64)]
    for number, horizon in enumerate(horizons):
        later = int(horizon == "next")
        if step + later < size:
            told = objects_new_in(fires, row + later, rule).boxes(rule)
            boxes.append(told.boxes)
            labels.append(told.labels + number * len(KINDS))
    return Objects.of(np.concatenate(boxes), np.concatenate(labels))
