"""Next Day Wildfire Spread as fires: each tile is one fire of two frames, the day before and the day to be forecast.

What burns on a day may go out (`fire_kind` active), and -1, what the satellite did not see, is unknown in both frames.
Weather, drought and vegetation are those of the first day: its conditions. Of the second day the source has none.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from tqdm import tqdm

from emberformer.data.fires import UNKNOWN, Band, Fire, FireSource, Frame, Ground, Window
from emberformer.data.ndws.inputs import CONDITIONS, FIRE, PREVIOUS_FIRE, SIDE, TERRAIN
from emberformer.data.ndws.tiles import Tile, TileFile, find_tile_files, published_split, read_tiles
from emberformer.data.source_provenance import source_provenance
from emberformer.data.weather import FIRST_TIME, usable_wind, wind_towards
from emberformer.errors import InputError
from emberformer.ndws_settings import NdwsSettings
from emberformer.settings import expand

log = logging.getLogger(__name__)
CELL_M, DAY_S = 1000.0, 86400.0
PUBLISHED_TILES = {"train": 14979, "eval": 1877, "test": 1689}


class TileFacts(NamedTuple):
    """What is kept of a tile beside its pixels.

    Args:
        tile_id: such as train_00_000123.
        file: where it stands.
        wind: mean over the tile, m s-1 towards east and north, NaN = unknown.
    """

    tile_id: str
    file: TileFile
    wind: Float32[np.ndarray, " 2"]


def read_ndws(dataset: str, settings: NdwsSettings) -> FireSource:
    """Check all tiles of a data set and make them ready to be read again, one at a time.

    Args:
        dataset: name of the data set.
        settings: where it lies, and what a damaged record does.

    Raises:
        InputError: naming the first record that cannot be read, unless those are skipped; or there is no tile.
    """
    files = find_tile_files(expand(settings.root))
    tiles, skipped = _survey(dataset, files, settings)
    reading = _read_in_order()
    return FireSource(
        dataset=dataset,
        fires=tuple(_fire(number, tile) for number, tile in enumerate(tiles)),
        frames=_read_frames(dataset, tiles),
        bands=tuple(Band(name, "continuous", unit) for name, unit in TERRAIN.items()),
        grounds=tuple(
            Ground("", (CELL_M, 0.0, 0.0, 0.0, -CELL_M, 0.0), partial(_terrain, reading, tile)) for tile in tiles
        ),
        weather_variables={"wind_u": "m s-1", "wind_v": "m s-1"},
        cell_m=CELL_M,
        seconds_per_frame=DAY_S,
        fire_kind="active",
        conditions=tuple(
            Band(name, "angle" if name == "th" else "continuous", unit) for name, unit in CONDITIONS.items()
        ),
        fires_skipped=skipped,
        provenance={
            **source_provenance(settings),
            "published_splits": dict(Counter(published_split(tile.tile_id) for tile in tiles)),
        },
    )


def mean_wind(
    speed: Float32[np.ndarray, "y x"], direction: Float32[np.ndarray, "y x"], warmest: Float32[np.ndarray, "y x"]
) -> Float32[np.ndarray, " 2"]:
    """Mean wind vector of a tile, over the pixels whose weather can be true.

    Where the source's weather ends it holds zeros, 0 K among them, and a few of its angles are no angles.

    Args:
        speed: m s-1.
        direction: degrees clockwise from north that the wind blows from.
        warmest: highest temperature of the day, K.

    Returns:
        m s-1 towards east and north; NaN where no pixel is usable.
    """
    usable = usable_wind(speed, direction) & (warmest > 0)
    if not usable.any():
        return np.full(2, np.nan, "float32")
    towards = wind_towards(speed[usable].astype("float64"), direction[usable].astype("float64"))
    return towards.mean(axis=0).astype("float32")


def _survey(dataset: str, files: list[TileFile], settings: NdwsSettings) -> tuple[list[TileFacts], dict[str, str]]:
    """Read everything once: facts of the tiles, and those that are left out with the reason."""
    skipped: dict[str, str] = {}

    def on_damage(tile_id: str, error: InputError) -> None:
        if settings.on_error == "stop":
            raise error
        log.warning("%s: %s is skipped: %s", dataset, tile_id, error.found)
        skipped[tile_id] = error.found

    facts = []
    for file in tqdm(files, desc=f"check {dataset}", unit="file"):
        for tile_id, features in read_tiles([file], on_damage):
            wind = mean_wind(features["vs"], features["th"], features["tmmx"])
            facts.append(TileFacts(tile_id, file, wind))
    if not facts:
        found = f"{len(files)} files without a tile that can be read"
        raise InputError(settings.root, found, "at least one tile", "supply the files again")
    counts = Counter(published_split(tile.tile_id) for tile in facts)
    for split, published in PUBLISHED_TILES.items():
        if counts[split] != published:  # a file cut between two records looks whole
            log.warning("%s: %d tiles of %r; %d were published", dataset, counts[split], split, published)
    return facts, skipped


def _fire(number: int, tile: TileFacts) -> Fire:
    weather = np.stack([tile.wind, np.full(2, np.nan, "float32")])
    days = FIRST_TIME + np.array([0, int(DAY_S)], "timedelta64[s]")
    return Fire(tile.tile_id, Window(0, 0, SIDE, SIDE, number), weather, days)


def _read_frames(dataset: str, tiles: list[TileFacts]) -> Iterator[Frame]:
    read = _read_in_order()
    unseen = np.full((len(CONDITIONS), SIDE, SIDE), np.nan, "float32")
    for tile in tqdm(tiles, desc=f"ingest {dataset}", unit="fire"):
        features = read(tile)
        conditions = np.stack([features[name] for name in CONDITIONS])
        yield Frame(_burning(features[PREVIOUS_FIRE]), None, conditions)
        yield Frame(_burning(features[FIRE]), None, unseen)


def _burning(published: Float32[np.ndarray, "y x"]) -> UInt8[np.ndarray, "y x"]:
    return np.where(published < 0, UNKNOWN, published).astype("uint8")


def _terrain(read: Callable[[TileFacts], dict], tile: TileFacts, window: Window) -> Float32[np.ndarray, "band y x"]:
    features = read(tile)
    part = slice(window.row, window.row + window.height), slice(window.column, window.column + window.width)
    return np.stack([features[name][part] for name in TERRAIN])


def _read_in_order() -> Callable[[TileFacts], dict[str, Float32[np.ndarray, "64 64"]]]:
    """A function that reads tiles; asked for them in their order, it passes each file once, and a gzip'd one too."""
    reading: Iterator[Tile] = iter(())

    def read(wanted: TileFacts) -> dict[str, Float32[np.ndarray, "64 64"]]:
        nonlocal reading
        for _ in ("on from the tile before", "from the beginning of the file"):
            for tile_id, features in reading:
                if tile_id == wanted.tile_id:
                    return features
            reading = read_tiles([wanted.file], lambda *_: None)
        remedy = "run it again when nothing writes to the file"
        raise InputError(wanted.file.path, f"no {wanted.tile_id} any more", "the file as it was read before", remedy)

    return read
