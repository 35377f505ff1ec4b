"""Small feature stores of every kind of feature, and what their patches are by zarr-python alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import zarr

from tests.stores import make_stores, tiny_experiment

KINDS = {
    "float16": {},
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"dtype": "int8"},
    "components": {"components": 16},
    "int8 components": {"dtype": "int8", "components": 16},
}
BACKBONE = {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32"}


def store_of_kind(folder: Path, kind: str) -> Path:
    """An extracted store of 30 frames in two blocks, 3 x 4 patches each."""
    settings, layout = tiny_experiment(folder, {"tiny": (42, 56)}, features={**BACKBONE, **KINDS[kind]})
    make_stores(settings, layout)
    return layout.features("tiny")


def patches_by_zarr(store: Path | str, axis: str) -> np.ndarray:
    """Tokens of all rows as float32, by the words of the store's own attributes."""
    group = zarr.open_group(str(store), mode="r")
    values = np.asarray(group[f"{axis}_patches"][:])  # type: ignore[index, arg-type]
    told = group.attrs
    if told["dtype"] == "bfloat16":
        return (values.astype("uint32") << 16).view("float32")
    values = values.astype("float32")
    if told["dtype"] == "int8":
        values = values * np.asarray(group[f"{axis}_scale"][:]).astype("float32")[..., None]  # type: ignore[index, arg-type]
        values = values if told["components"] else values + np.asarray(group["blank"][:])  # type: ignore[index, arg-type]
    return values
