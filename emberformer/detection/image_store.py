"""The image store: features of the images of camera sets and of their views, with their boxes; one Zarr v3 group.

    patches (image, view, patch_y, patch_x, feature)        tokens after the final LayerNorm, float16 or float32
    layers (image, view, layer, patch_y, patch_x, feature)  tokens after chosen blocks, where some are stored
    cls (image, view, feature)                              CLS tokens; NaN = the image has no such view, in all three
    valid (image, view, patch_y, patch_x)                   share of a patch that is image and not padding
    box (object, corner), label, crowd (object)             x0 y0 x1 y1 in pixels of the square canvas; ragged:
    box_start, box_count (image, view)                      the objects of a view are these rows
    on image                                                image_id, file_name, group, split, height, width, scale
    attributes                                              categories, side, views, and what the features follow from

View 0 is the image, scaled to fit the canvas at its upper left; the others are seeded views of training images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from emberformer.detection.found import Objects
from emberformer.errors import InputError

NEEDED = ("patches", "cls", "valid", "box", "label", "crowd", "box_start", "box_count", "split", "scale")
READ = ("patches", "layers", "cls", "valid")
REMEDY = "write the image store again"


class ImageStore:
    """An opened image store.

    Args:
        path: the store.

    Raises:
        InputError: there is none, or it is unfinished.
    """

    def __init__(self, path: Path):
        if not (path / "zarr.json").is_file():
            raise InputError(path, "no store", "an image store (Zarr v3)", REMEDY)
        table = xr.open_zarr(path, consolidated=False, zarr_format=3, chunks=None)
        lacking = [name for name in NEEDED if name not in table.variables]
        if lacking:
            raise InputError(path, f"no {', '.join(lacking)}", "a finished image store", REMEDY)
        self.path, self.table, self.identity = path, table, table.attrs
        self.categories = tuple(map(str, table.attrs["categories"]))
        self.side, self.grid = int(table.attrs["side"]), (int(table.attrs["grid"][0]), int(table.attrs["grid"][1]))
        self.views, self.layers = int(table.attrs["views"]), tuple(table.attrs["layers"])
        self.split, self.scale = np.array(table.split.values.tolist()), table.scale.values
        self._start, self._count = table.box_start.values, table.box_count.values
        self._objects = Objects(table.box.values, table.label.values.astype(np.int64), table.crowd.values.astype(bool))
        self._arrays = {name: zarr.open_array(path, path=name, mode="r") for name in table.data_vars if name in READ}

    def objects(self, image: int, view: int = 0) -> Objects:
        """Objects of a view in pixels of the canvas."""
        start = int(self._start[image, view])
        return self._objects.chosen(np.arange(start, start + int(self._count[image, view])))

    def read(self, array: str, image: int, view: int = 0) -> np.ndarray:
        """A record of `patches`, `layers`, `cls` or `valid`.

        Raises:
            InputError: it is damaged, or the image has no such view.
        """
        where = f"{self.path}, {array}, image {image}, view {view}"
        try:
            values = np.asarray(self._arrays[array][image, view])
        except Exception as error:  # storage and codecs raise errors of their own kinds
            found = f"{type(error).__name__}: {error}"
            raise InputError(where, found, "undamaged features", REMEDY) from error
        if np.isnan(values.flat[0]):
            raise InputError(where, "nothing is stored", "a view that the image has", REMEDY)
        return values
