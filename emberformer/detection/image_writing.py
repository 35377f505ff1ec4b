"""Writing an image store: the backbone runs over the images of camera sets and over their views."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
import zarr
from tqdm import tqdm
from zarr.codecs import Crc32cCodec

from emberformer.ahead import ahead
from emberformer.atomic import put_in_place, write_json
from emberformer.detection.camera_images import CameraSet, CameraSource, list_images
from emberformer.detection.camera_input import as_images, in_colour, pixels_of
from emberformer.detection.pixel_views import Picture, ViewRule
from emberformer.detection.view_drawing import ViewDrawing
from emberformer.errors import InputError
from emberformer.feature_settings import FeatureSettings
from emberformer.features.backbone import Backbone, load_backbone
from emberformer.features.encoding import Encoding
from emberformer.features.extraction import BATCH_TOKENS, choose_device, forward, to_array
from emberformer.features.rendering import pixels_per_patch

log = logging.getLogger(__name__)

BLOCK_BYTES, BLOCK_IMAGES = 2**26, 64  # of features that are written together
SCHEMA = 1  # raise it when the code computes other features from the same settings
DONE = ".done"  # in an unfinished store: the objects of every block that is written
FEATURES = ("patches", "layers", "cls", "valid")


def write_image_store(
    path: Path,
    sources: Sequence[CameraSource],
    settings: FeatureSettings,
    side: int,
    *,
    views: int = 1,
    rule: ViewRule | None = None,
    categories: Sequence[str] | None = None,
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
    batch_tokens: int = 0,
    device: str = "auto",
) -> None:
    """Run the backbone over the images of camera sets and their views, and write the store, whole or not at all.

    What an interrupted call has written lies beside it (`<name>.partial`); the same call goes on there.

    Args:
        path: the store.
        sources: COCO sets.
        settings: backbone and what is kept of it; images keep their colours, whatever `channel_map` says.
        side: of the square canvas in pixels, whole patches.
        views: of every training image, the image itself among them.
        rule: which views there are.
        categories: names of the labels; None: those of the first source.
        shares: of train, validation and test, where a source is divided; by default 0.7, 0.15 and 0.15.
        seed: of the split and the views.
        batch_tokens: tokens that pass the backbone together; 0: what suits the device.
        device: 'auto', 'cpu', 'cuda' or 'cuda:N'.

    Raises:
        InputError: a set or an image that cannot be read, a side that is no whole number of patches, tokens that do not
            fit into the store's type, or a full disk.
    """
    if settings.dtype not in ("float16", "float32") or settings.components:
        found = f"{settings.dtype}" + (f" with {settings.components} components" if settings.components else "")
        expected = "float16 or float32, of all features"
        raise InputError("features.dtype of an image store", found, expected, "set features.dtype: float16")
    shares = shares or {"train": 0.7, "validation": 0.15, "test": 0.15}
    told = list_images(sources, categories, shares, seed)
    for note in told.notes:
        log.info("%s", note)
    backbone = load_backbone(in_colour(settings), choose_device(device))
    pixels = pixels_per_patch(backbone.patch_size, settings.scale)
    if side < pixels or side % pixels:
        remedy = f"take {max(1, round(side / pixels)) * pixels}"
        raise InputError("side of the canvas", f"{side} pixels", f"a multiple of {pixels}, a patch's side", remedy)
    rule = rule or ViewRule()
    identity = _identity(told, settings, backbone, side, views, rule, seed)
    drawing = ViewDrawing(told.images, side, rule, seed)
    tokens = batch_tokens or BATCH_TOKENS[backbone.device.type]
    unfinished = path.with_name(f"{path.name}.partial")
    try:
        group, block = _begun(unfinished, identity, len(told.images))
        blocks = range(0, len(told.images), block)
        for start in tqdm(blocks, desc=path.stem, unit="block", mininterval=1):
            done = unfinished / DONE / f"{start}.json"
            if not done.exists():
                rows = range(start, min(start + block, len(told.images)))
                write_json(done, _write_block(group, drawing, rows, backbone, settings, tokens))
        objects = [json.loads((unfinished / DONE / f"{start}.json").read_text()) for start in blocks]
        _finish(unfinished, told, views, side, [of for in_block in objects for of in in_block])
        put_in_place(unfinished, path)
    except OSError as error:
        remedy = "free some space or make it writable, then run this again: it goes on where it stopped"
        found = f"it cannot be written: {error.strerror or error}"
        raise InputError(path, found, "a folder with room that may be written to", remedy) from error


def _identity(
    told: CameraSet, settings: FeatureSettings, backbone: Backbone, side: int, views: int, rule: ViewRule, seed: int
) -> dict[str, Any]:
    """What the store says of itself; equal for two calls that write the same."""
    pixels = pixels_per_patch(backbone.patch_size, settings.scale)
    return {
        "schema": SCHEMA,
        "categories": list(told.categories),
        "notes": list(told.notes),
        "entries_sha256": told.entries_sha256(),
        "model": backbone.name,
        "weights": settings.weights,
        "weights_sha256": backbone.weights_sha256,
        "weights_licence": backbone.licence,
        "scale": settings.scale,
        "precision": settings.precision,
        "dtype": settings.dtype,
        "layers": list(settings.layers),
        "patch_size": backbone.patch_size,
        "pixels_per_patch": pixels,
        "grid": [side // pixels, side // pixels],
        "features": backbone.features,
        "side": side,
        "views": views,
        "view_rule": json.loads(json.dumps(vars(rule))),
        "seed": seed,
    }


def _begun(unfinished: Path, identity: dict[str, Any], images: int) -> tuple[zarr.Group, int]:
    """The unfinished store of this identity, or a new one, and the number of images that are written together."""
    grid, features, views, layers = tuple(identity["grid"]), identity["features"], identity["views"], identity["layers"]
    one = views * (1 + len(layers)) * grid[0] * grid[1] * features * np.dtype(identity["dtype"]).itemsize
    block = int(np.clip(BLOCK_BYTES // one, 1, BLOCK_IMAGES))
    if (unfinished / "zarr.json").is_file() and dict(zarr.open_group(unfinished, mode="r").attrs) == identity:
        return zarr.open_group(unfinished, mode="r+"), block
    # Made elsewhere and moved, so that an unfinished store has all its arrays.
    making = unfinished.with_name(f"{unfinished.name}.begun")
    for remains in (unfinished, making):
        shutil.rmtree(remains, ignore_errors=True)
    group = zarr.create_group(making, attributes=identity, zarr_format=3)
    names = ("patch_y", "patch_x", "feature")
    records = {"patches": ((*grid, features), names), "cls": ((features,), names[2:]), "valid": (grid, names[:2])}
    if layers:
        records["layers"] = ((len(layers), *grid, features), ("layer", *names))
    for name, (record, dims) in records.items():
        group.create_array(
            name, shape=(images, views, *record), dtype="float32" if name == "valid" else identity["dtype"],
            chunks=(1, 1, *record), shards=(block, views, *record), compressors=Crc32cCodec(), filters=None,
            fill_value=np.nan, dimension_names=("image", "view", *dims),
        )  # fmt: skip
    (making / DONE).mkdir()
    making.rename(unfinished)
    return zarr.open_group(unfinished, mode="r+"), block


def _write_block(
    group: zarr.Group, drawing: ViewDrawing, rows: range, backbone: Backbone, settings: FeatureSettings, tokens: int
) -> list[list[Any]]:
    """Write the features of some images; gives image, view and objects of each of their views."""
    arrays: dict[str, Any] = {name: group[name] for name in FEATURES if name in group}
    views, pixels = arrays["patches"].shape[1], pixels_per_patch(backbone.patch_size, settings.scale)
    filled = {name: np.full((len(rows), *of.shape[1:]), np.nan, of.dtype) for name, of in arrays.items()}
    at_once, told = max(1, tokens // (drawing.side // pixels) ** 2), []
    places = [(n, view) for n, row in enumerate(rows) for view in range(views) if drawing.has(row, view)]
    parts = [places[start : start + at_once] for start in range(0, len(places), at_once)]

    def draw(some: list[tuple[int, int]]) -> list[Picture]:
        return [drawing.view(rows[n], view) for n, view in some]

    with closing(ahead(partial(draw, some) for some in parts)) as drawn:
        for some, pictures in zip(parts, drawn, strict=True):
            stored = _stored(pictures, backbone, settings, at_once)
            for k, ((n, view), picture) in enumerate(zip(some, pictures, strict=True)):
                for name, values in filled.items():
                    values[n, view] = stored[name][k]
                told.append([rows[n], view, *(of.tolist() for of in picture.objects)])
    for name, values in filled.items():
        arrays[name][rows.start : rows.stop] = values
    return told


def _stored(
    pictures: Sequence[Picture], backbone: Backbone, settings: FeatureSettings, at_once: int
) -> dict[str, np.ndarray]:
    """Arrays of some pictures as they are written.

    Raises:
        InputError: a value that is no number or does not fit into the store's type.
    """
    seen = forward(as_images(pixels_of(pictures)), backbone, settings.scale, at_once)
    assert seen is not None, "there are images"
    kind, pixels = getattr(torch, settings.dtype), pixels_per_patch(backbone.patch_size, settings.scale)
    arrays = {"patches": seen.patches, "cls": seen.cls, "layers": seen.layers}
    stored = {name: to_array(values.to(kind)) for name, values in arrays.items()}
    finite = all(np.isfinite(values).all() for values in stored.values())
    Encoding(settings.dtype, None, {}).refuse_unless(finite)
    return {**stored, "valid": np.stack([picture.valid_share(pixels) for picture in pictures])}


def _finish(unfinished: Path, told: CameraSet, views: int, side: int, objects: Sequence[list[Any]]) -> None:
    """Add the tables of images and objects to a store whose features are written."""
    count = np.zeros((len(told.images), views), np.int32)
    boxes, labels, crowd = [], [], []
    for image, view, box, label, flags in objects:  # ordered by image, then by view
        count[image, view] = len(label)
        boxes += box
        labels += label
        crowd += flags
    images = [image.told for image in told.images]
    text = {"file_name": [image.file_name for image in images], "group": [image.group for image in told.images],
            "split": [image.split for image in told.images]}  # fmt: skip
    numbers = {name: [getattr(image, name) for image in images] for name in ("image_id", "height", "width")}
    scale = [side / max(image.height, image.width) for image in images]
    table = xr.Dataset(
        {
            "box": (("object", "corner"), np.array(boxes, float).reshape(-1, 4)),
            "label": ("object", np.array(labels, np.int32)),
            "crowd": ("object", np.array(crowd, bool)),
            "box_start": (("image", "view"), (np.cumsum(count) - count.ravel()).astype(np.int32).reshape(count.shape)),
            "box_count": (("image", "view"), count),
        },
        coords={
            **{name: ("image", np.array(values, "T")) for name, values in text.items()},
            **{name: ("image", np.array(values, np.int64)) for name, values in numbers.items()},
            "scale": ("image", np.array(scale), {"long_name": "pixels of the canvas to one of the image"}),
        },
    )
    table.attrs = dict(zarr.open_group(unfinished, mode="r").attrs)  # xarray replaces those that are there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr v3 has not settled its text type yet
        table.to_zarr(unfinished, mode="a", zarr_format=3, consolidated=False)
        zarr.consolidate_metadata(unfinished, zarr_format=3)
    shutil.rmtree(unfinished / DONE)  # last: without it, a call that was stopped here would begin anew
