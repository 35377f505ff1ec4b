"""Reader of the deep_crown layout, the PNG frames and rasters that most simulated-fire collections come in.

    fire_frames/sequence_001/fire_000.png ...   what is burned by each frame
    isochrones/sequence_001/iso_000.png ...     the source's own targets (optional, `isochrones: false`)
    landscape/Input_Geotiff.tif                 terrain and fuels
    landscape/indices.json                      window of each sequence in the landscape
    landscape/WeatherHistory.csv                line i names the weather file of sequence i (optional, `weather: null`)
    landscape/Weathers/*.csv                    one row a step

Numbers may be padded with any number of zeros; sequences and frames are sorted as integers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from emberformer.data.fires import Fire, FireSource, Frame, Ground, Window
from emberformer.data.frame_images import decode_burned
from emberformer.data.landscape_raster import check_windows, open_landscape, read_windows
from emberformer.data.numbered import check_contiguous, numbered
from emberformer.data.source_provenance import source_provenance
from emberformer.data.weather import (
    WeatherTable,
    common_columns,
    drive_steps,
    frame_times,
    read_history,
    read_weather,
    weather_variables,
)
from emberformer.data_settings import DeepCrownSettings, EncodingSettings, WeatherSettings
from emberformer.errors import InputError
from emberformer.settings import expand

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sequence:
    """Files of one fire: `isochrones` is empty if the source has none."""

    number: int
    fire_id: str
    frames: tuple[Path, ...]
    isochrones: tuple[Path, ...]


def read_deep_crown(dataset: str, settings: DeepCrownSettings) -> FireSource:
    """Check the tables of a data set and make its pixels ready to be read.

    Raises:
        InputError: naming the first file that does not fit; files with pixels are only read with the frames.
    """
    root = expand(settings.root)
    sequences, skipped = find_sequences(root, settings.isochrones)
    for fire_id, reason in skipped.items():
        log.warning("%s: %s is skipped: %s", dataset, fire_id, reason)
    landscape = open_landscape(root / "landscape" / "Input_Geotiff.tif", settings.bands)
    indices = root / "landscape" / "indices.json"
    windows = read_windows(indices)
    check_windows(indices, [sequence.number for sequence in sequences], windows, landscape.shape)
    variables, fires = _read_fires(root, sequences, windows, settings)
    return FireSource(
        dataset=dataset,
        fires=fires,
        frames=_read_frames(dataset, sequences, fires, settings.encoding),
        bands=tuple(source.band for source in landscape.sources),
        grounds=(Ground(landscape.crs_wkt, landscape.transform[:6], landscape.read),),
        weather_variables=variables,
        cell_m=landscape.cell_m,
        seconds_per_frame=60 * settings.minutes_per_frame,
        fires_skipped=skipped,
        provenance={
            **source_provenance(settings),
            "bands_left_out": list(landscape.left_out),
        },
    )


def find_sequences(root: Path, isochrones: bool) -> tuple[list[Sequence], dict[str, str]]:
    """Sequences that can be forecast, sorted by number, and the others with the reason why not.

    Args:
        root: root folder of the data set.
        isochrones: whether the source has isochrones.

    Raises:
        InputError: no sequence can be forecast, two have one number, or files of one are missing.
    """
    folders = numbered(root / "fire_frames", r"(\d+)$", "sequence folders such as fire_frames/sequence_001")
    all_frames = {n: numbered(folder, r"(\d+)\.png$", "frames such as fire_000.png") for n, folder in folders.items()}
    first = min([1, *(number for frames in all_frames.values() for number in frames)])  # some collections count from 1
    sequences, skipped = [], {}
    for number, folder in folders.items():
        frames = all_frames[number]
        if len(frames) < 2:
            skipped[folder.name] = f"{len(frames)} frame(s); a forecast needs two"
            continue
        check_contiguous(folder, list(frames), first)
        targets = _find_isochrones(root / "isochrones" / folder.name, frames) if isochrones else ()
        sequences.append(Sequence(number, folder.name, tuple(frames.values()), targets))
    if not sequences:
        found = f"{len(folders)} sequences, none with two frames"
        raise InputError(root / "fire_frames", found, "at least one fire of two frames", "check `root` of the data set")
    return sequences, skipped


def _find_isochrones(folder: Path, frames: dict[int, Path]) -> tuple[Path, ...]:
    remedy = "supply the isochrones, or set `isochrones: false` for the data set: the next frame is then the target"
    if not folder.is_dir():
        raise InputError(folder, "no such folder", f"{len(frames)} isochrones such as iso_000.png", remedy)
    isochrones = numbered(folder, r"(\d+)\.png$", "isochrones such as iso_000.png")
    if list(isochrones) != list(frames):
        differing = sorted(set(isochrones) ^ set(frames))[:5]
        found = f"{len(isochrones)} isochrones for {len(frames)} frames; in only one of the two: {differing}"
        raise InputError(folder, found, "one isochrone a frame, with the same numbers", remedy)
    return tuple(isochrones.values())


def _read_fires(
    root: Path, sequences: list[Sequence], windows: dict[int, Window], settings: DeepCrownSettings
) -> tuple[dict[str, str], tuple[Fire, ...]]:
    """Weather variables, and all fires without their pixels."""
    weather, seconds = settings.weather, 60 * settings.minutes_per_frame
    tables = _read_tables(root / "landscape", sequences, weather) if weather else {}
    names = common_columns(list(tables.values()))
    fires = []
    for sequence in sequences:
        table, frames = tables.get(sequence.number), len(sequence.frames)
        if weather and table:
            values = drive_steps(table, names, frames, weather)
        else:
            values = np.full((frames, 2), np.nan, "float32")
        times = frame_times(table.time if table else None, frames, seconds)
        fires.append(Fire(sequence.fire_id, windows[sequence.number], values, times))
    return weather_variables(names, weather), tuple(fires)


def _read_tables(landscape: Path, sequences: list[Sequence], settings: WeatherSettings) -> dict[int, WeatherTable]:
    """Weather table of each sequence; a file that many share is read once."""
    path = landscape / "WeatherHistory.csv"
    history, tables = dict(enumerate(read_history(path), 1)), {}
    for sequence in sequences:
        if not (name := history.get(sequence.number)):
            remedy = "add the line, or set `weather: null` for the data set"
            raise InputError(path, f"no line {sequence.number}", f"the weather file of {sequence.fire_id}", remedy)
        if name not in tables:
            tables[name] = read_weather(landscape / "Weathers" / name, settings)
    return {sequence.number: tables[history[sequence.number]] for sequence in sequences}


def _read_frames(
    dataset: str, sequences: list[Sequence], fires: tuple[Fire, ...], encoding: EncodingSettings
) -> Iterator[Frame]:
    for sequence, fire in tqdm(list(zip(sequences, fires, strict=True)), desc=f"ingest {dataset}", unit="fire"):
        targets = sequence.isochrones or (None,) * len(sequence.frames)
        anything_burned = False
        for path, target in zip(sequence.frames, targets, strict=True):
            frame = _read_pair(path, target, fire.window, encoding)
            anything_burned |= bool(frame.burned.any())
            yield frame
        if not anything_burned:
            raise InputError(
                sequence.frames[0].parent,
                f"no pixel of any frame has the value {encoding.value} in channel {encoding.channel}",
                "a fire",
                "correct `encoding` (channel and value) of the data set",
            )


def _read_pair(path: Path, target: Path | None, window: Window, encoding: EncodingSettings) -> Frame:
    content = path.read_bytes()
    burned = decode_burned(content, path, window, encoding)
    if target is None:
        return Frame(burned, None)
    other = target.read_bytes()
    return Frame(burned, burned if other == content else decode_burned(other, target, window, encoding))
