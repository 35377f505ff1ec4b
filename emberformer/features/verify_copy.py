"""Verification of a copy: a finished store of any codec in any place, read through zarr-python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import xarray as xr
from tqdm import tqdm

from emberformer.errors import InputError
from emberformer.features.location import read_files
from emberformer.features.rows import ZarrRows, parts_of, used_rows
from emberformer.features.shape import AXES, Axis, StoreShape
from emberformer.features.store import open_features
from emberformer.features.verify import Damage

ROWS_AT_ONCE = 64


def verify_copy(location: Path | str) -> list[Damage]:
    """Read every row in use of every array; codecs and zarr-python check the checksums.

    Raises:
        InputError: the place cannot be read, or it holds no finished feature store whose tables are what was written.
    """
    features = open_features(location)
    shape, found = StoreShape.of(features.attrs), []
    for axis in AXES:
        names = _fires_of_rows(features, axis)
        for array in shape.arrays(axis):
            metadata = f"{array.name}/zarr.json"
            rows = ZarrRows(location, array.name, json.loads(read_files(location, [metadata])[metadata]))
            found += _damage(rows, used_rows(location, array.name), names)
    return found


def _damage(rows: ZarrRows, used: np.ndarray, names: dict[int, str]) -> list[Damage]:
    """Damaged rows of one array, each by itself."""
    damaged = []
    for part in tqdm(parts_of(used, ROWS_AT_ONCE), desc=rows.array, unit="part", mininterval=1):
        if _reads(rows, part) is None:
            continue
        errors = {row: _reads(rows, range(row, row + 1)) for row in part}
        damaged += [Damage(f"{rows.array}, row {row}", e.found, (names[row],)) for row, e in errors.items() if e]
    return damaged


def _reads(rows: ZarrRows, run: range) -> InputError | None:
    try:
        rows.pieces(run)
    except InputError as error:
        return error
    return None


def _fires_of_rows(features: xr.Dataset, axis: Axis) -> dict[int, str]:
    """A fire that uses a row, for every row in use."""
    fires = list(map(str, features.fire_id.values))
    if axis == "terrain":
        return dict(zip(features.terrain_index.values.tolist(), fires, strict=True))
    of_frame = features.fire_index.values
    return {row: fires[int(fire)] for row, fire in zip(features.frame_of.values.tolist(), of_frame, strict=True)}
