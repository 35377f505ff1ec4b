"""Tiles of Next Day Wildfire Spread, one a record: their files, their features by name, what they share.

    next_day_wildfire_spread_train_00.tfrecord ... train_14, eval_00, eval_01, test_00, test_01

A record is a tf.train.Example with 64 x 64 numbers under each of the keys `FEATURES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

import numpy as np
from jaxtyping import Float32

from emberformer.data.ndws.inputs import CONDITIONS, FIRE, PREVIOUS_FIRE, SIDE, TERRAIN
from emberformer.data.tf_example import Feature, parse_example
from emberformer.data.tf_records import Record, damaged, read_records
from emberformer.errors import InputError

PublishedSplit = Literal["train", "eval", "test"]
SPLITS: tuple[PublishedSplit, ...] = get_args(PublishedSplit)
FEATURES = (*TERRAIN, *CONDITIONS, PREVIOUS_FIRE, FIRE)
MASK_VALUES = (-1.0, 0.0, 1.0)
NAME = re.compile(r"(?:^|_)(train|eval|test)_(\d+)\.tfrecord(?:\.gz)?$")
EXPECTED_FILES = "files such as next_day_wildfire_spread_train_00.tfrecord (or .tfrecord.gz)"


class TileFile(NamedTuple):
    """One file: its published split and its number there, as the file's name has it ("00")."""

    split: PublishedSplit
    number: str
    path: Path

    def tile_id(self, record: int) -> str:
        """Name of a tile: split, file, record of the file, such as train_00_000123."""
        return f"{self.split}_{self.number}_{record:06d}"


class Tile(NamedTuple):
    """One tile: feature by name, in the source's units."""

    tile_id: str
    features: dict[str, Float32[np.ndarray, "64 64"]]


def find_tile_files(root: Path) -> list[TileFile]:
    """Files of the data set, in the order train, eval, test, and by number.

    Raises:
        InputError: there is none, or two have one split and number.
    """
    remedy = "check `root` of the data set"
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        raise InputError(root, str(error), f"a folder with {EXPECTED_FILES}", remedy) from error
    files: dict[tuple[int, int], TileFile] = {}
    for path in entries:
        if path.name.startswith(".") or not (match := NAME.search(path.name)):
            continue
        file = TileFile(cast(PublishedSplit, match[1]), match[2], path)
        place = SPLITS.index(file.split), int(file.number)
        if place in files:
            found = f"{files[place].path.name} and {path.name}"
            raise InputError(root, found, "one file a split and number", "remove one of the two")
        files[place] = file
    if not files:
        raise InputError(root, f"{len(entries)} entries, none of such a name", EXPECTED_FILES, remedy)
    return [files[place] for place in sorted(files)]


def read_tiles(files: list[TileFile], on_damage: Callable[[str, InputError], None]) -> Iterator[Tile]:
    """Tiles of all files, one at a time.

    Args:
        files: what `find_tile_files` gives, or a part of it.
        on_damage: is told the name of a tile that cannot be read, and why; if it returns, the tile is left out.
    """
    for file in files:
        for record in read_records(file.path, lambda number, error, of=file: on_damage(of.tile_id(number), error)):
            try:
                features = _read_features(record, file.path)
            except InputError as error:
                on_damage(file.tile_id(record.number), error)
            else:
                yield Tile(file.tile_id(record.number), features)


def _read_features(record: Record, path: Path) -> dict[str, Float32[np.ndarray, "64 64"]]:
    try:
        features = parse_example(record.content)
    except ValueError as error:
        raise damaged(path, record.number, str(error), "a tf.train.Example") from error
    if missing := [name for name in FEATURES if name not in features]:
        found = f"no {', '.join(missing)} among the keys {', '.join(sorted(features)) or '(none)'}"
        raise damaged(path, record.number, found, f"the keys {', '.join(FEATURES)}")
    tile = {name: _check_feature(features[name], name, record, path) for name in FEATURES}
    for name in (PREVIOUS_FIRE, FIRE):
        if not np.isin(tile[name], MASK_VALUES).all():
            other = tile[name][~np.isin(tile[name], MASK_VALUES)][0]
            raise damaged(path, record.number, f"{name} holds {other:g}", "1 fire, 0 none, -1 unknown")
    return tile


def _check_feature(values: Feature, name: str, record: Record, path: Path) -> Float32[np.ndarray, "64 64"]:
    expected = f"{SIDE} x {SIDE} numbers, float32"
    if isinstance(values, list) or values.dtype != np.float32:
        kind = "byte strings" if isinstance(values, list) else "whole numbers"
        raise damaged(path, record.number, f"{name} is a list of {kind}", expected)
    if values.size != SIDE**2:
        raise damaged(path, record.number, f"{name} has {values.size} numbers", expected)
    return values.reshape(SIDE, SIDE)


def published_split(tile_id: str) -> PublishedSplit:
    """Split that a tile was published in.

    >>> published_split("eval_01_000007")
    'eval'
    """
    return cast(PublishedSplit, tile_id.partition("_")[0])
