"""Sim2Real-Fire as fires: what had burned hour by hour, every scene a ground of its own."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from emberformer.data.fires import UNKNOWN, Fire, FireSource, Frame, Ground, Window
from emberformer.data.sim2real.layers import SceneGround, open_ground
from emberformer.data.sim2real.masks import MaskFiles, find_masks, read_mask
from emberformer.data.sim2real.tree import FireFiles, SceneFiles, find_scenes, find_weather
from emberformer.data.sim2real.wxs import KEPT, drive_days, drive_frames, read_wxs
from emberformer.data.source_provenance import source_provenance
from emberformer.data.weather import frame_times
from emberformer.errors import InputError
from emberformer.settings import expand
from emberformer.sim2real_settings import Sim2RealSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckedFire:
    """A fire whose files can all be read.

    Args:
        fire_id: name in the store.
        split: of the code's tree, "" = none.
        scene: whose ground it burns on.
        masks: from the first with fire on.
        weather: SI [frame, weather_variable].
        valid_time: datetime64[s] [frame].
        greys: pixels of all masks that are neither near black nor near white.
    """

    fire_id: str
    split: str
    scene: str
    masks: MaskFiles
    weather: Float32[np.ndarray, "frame weather_variable"]
    valid_time: np.ndarray
    greys: int


def read_sim2real(dataset: str, settings: Sim2RealSettings) -> FireSource:
    """Check all files of a data set and make its pixels ready to be read.

    Args:
        dataset: name of the data set.
        settings: where it lies and how it is read.

    Raises:
        InputError: naming the first file that does not fit, unless such fires are skipped; or no fire is left.
    """
    scenes = find_scenes(expand(settings.root), settings.layout)
    grounds, fires, skipped = _survey(dataset, scenes, settings)
    number = {name: index for index, name in enumerate(grounds)}
    height, width = (max(ground.first.shape[axis] for ground in grounds.values()) for axis in (0, 1))
    _warn(dataset, fires)
    return FireSource(
        dataset=dataset,
        fires=tuple(
            Fire(fire.fire_id, Window(0, 0, height, width, number[fire.scene]), fire.weather, fire.valid_time)
            for fire in fires
        ),
        frames=_read_frames(dataset, fires, grounds, (height, width)),
        bands=next(iter(grounds.values())).bands,
        grounds=tuple(Ground(one.first.crs_wkt, one.first.transform[:6], one.read) for one in grounds.values()),
        weather_variables={"wind_u": "m s-1", "wind_v": "m s-1"} | (KEPT if settings.weather else {}),
        cell_m=_cell_m(list(grounds.values())),
        seconds_per_frame=60 * settings.minutes_per_frame,
        fires_skipped=skipped,
        provenance={
            **source_provenance(settings),
            "rasters": {name: [raster.path.name for raster in one.rasters] for name, one in grounds.items()},
            "rasters_left_out": {name: list(one.left_out) for name, one in grounds.items()},
            "published_splits": _splits(fires),
        },
    )


def _survey(
    dataset: str, scenes: list[SceneFiles], settings: Sim2RealSettings
) -> tuple[dict[str, SceneGround], list[CheckedFire], dict[str, str]]:
    """Read everything once but the terrain's pixels: grounds by scene, fires, and those left out with the reason."""
    grounds: dict[str, SceneGround] = {}
    fires: list[CheckedFire] = []
    skipped: dict[str, str] = {}

    def leave_out(unread: tuple[FireFiles, ...], error: InputError) -> None:
        if settings.on_error == "stop":
            raise error
        for fire in unread:
            log.warning("%s: %s is skipped: %s", dataset, fire.fire_id, error)
            skipped[fire.fire_id] = f"{Path(error.where).name}: {error.found}"  # without folders, which change

    for scene in scenes:
        try:
            ground = open_ground(scene, settings)
        except InputError as error:
            leave_out(scene.fires, error)
            continue
        for files in tqdm(scene.fires, desc=f"check {dataset} {scene.name}", unit="fire"):
            try:
                fires.append(_check_fire(files, scene.name, ground.first.shape, settings))
            except InputError as error:
                leave_out((files,), error)
            else:
                grounds[scene.name] = ground
    if not fires:
        found, remedy = f"{len(skipped)} fires, none that can be read", "mend what the warnings name"
        raise InputError(settings.root, found, "at least one fire", remedy)
    return grounds, fires, skipped


def _check_fire(files: FireFiles, scene: str, shape: tuple[int, int], settings: Sim2RealSettings) -> CheckedFire:
    masks = find_masks(files.folder)
    read = [(bool(burned.any()), greys) for burned, greys in (read_mask(path, shape) for path in masks.paths)]
    unlit = next((index for index, (burned, _) in enumerate(read) if burned), len(read))
    if len(read) - unlit < 2:
        found = f"{len(read)} masks, of which the first {unlit} show no fire"
        raise InputError(files.folder, found, "two masks from the first fire on", "remove the folder")
    days = None if masks.days is None else masks.days[unlit:]
    lit = MaskFiles(masks.paths[unlit:], masks.first + unlit, days)
    frames, times = len(lit.paths), None
    weather = np.full((frames, 2), np.nan, "float32")
    if settings.weather:
        table = read_wxs(find_weather(files), settings.units)
        if days is None:
            weather = drive_frames(table, lit.first + settings.row_offset, frames)
        else:
            weather = drive_days(table, days, settings.row_offset)
        times = None if table.time is None or np.isnat(table.time).any() else table.time[lit.first :]
    valid_time = frame_times(times, frames, 60 * settings.minutes_per_frame) if days is None else days
    return CheckedFire(files.fire_id, files.split, scene, lit, weather, valid_time, sum(greys for _, greys in read))


def _warn(dataset: str, fires: list[CheckedFire]) -> None:
    """Log what a user should know: greys that may be either."""
    if grey := [fire for fire in fires if fire.greys]:
        log.warning(
            "%s: %d pixels of %d fires (first %s) are mid-grey, neither burned nor not; above 127 counts as burned",
            *(dataset, sum(fire.greys for fire in grey), len(grey), grey[0].fire_id),
        )


def _cell_m(grounds: list[SceneGround]) -> float:
    first = grounds[0].first
    for ground in grounds[1:]:
        if not math.isclose(ground.first.cell_m, first.cell_m, rel_tol=0.01):
            expected = f"{first.cell_m:g} m, as {first.path}"
            remedy = "make a data set of each cell size, or bring them to one with gdalwarp"
            raise InputError(ground.first.path, f"cells of {ground.first.cell_m:g} m", expected, remedy)
    return first.cell_m


def _splits(fires: list[CheckedFire]) -> dict[str, list[str]]:
    splits = defaultdict(list)
    for fire in fires:
        if fire.split:
            splits[fire.split].append(fire.fire_id)
    return dict(splits)


def _read_frames(
    dataset: str, fires: list[CheckedFire], grounds: dict[str, SceneGround], size: tuple[int, int]
) -> Iterator[Frame]:
    """Frames of one size: a smaller scene's are padded at the right and bottom with what is unknown."""
    for fire in tqdm(fires, desc=f"ingest {dataset}", unit="fire"):
        rows, columns = grounds[fire.scene].first.shape
        for path in fire.masks.paths:
            padded = np.full(size, UNKNOWN, "uint8")
            padded[:rows, :columns], _ = read_mask(path, (rows, columns))
            yield Frame(padded, None)
