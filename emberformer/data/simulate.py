"""The embedded demo: simulated fires on a generated landscape, written in the deep_crown layout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from PIL import Image
from tqdm import tqdm

from emberformer.atomic import replacing
from emberformer.data.spread import spread
from emberformer.data.valley import Terrain, generate_valley, generate_wind, write_terrain
from emberformer.data_settings import SimulationSettings
from emberformer.errors import InputError

BURNED, UNBURNED = (253, 231, 36, 255), (68, 1, 84, 255)  # both ends of the viridis colours, RGBA
IGNITION_RADIUS = 2.0  # cells: a fire is first seen as a spot of 13 cells
MOISTURE = (0.05, 0.75)  # range of the fuel's moisture as a share of that of extinction; one value a fire, never shown
ATTEMPTS = 200  # ignitions tried for one fire
MARK = "simulated by emberformer.data.simulate"  # in meta.json: this folder may be replaced


@dataclass(frozen=True)
class Fire:
    """One simulated fire.

    Args:
        window_row: row in the landscape of the upper left pixel of the window.
        window_column: its column.
        ignition: burned cells at time 0.
        arrival_time: seconds since ignition, NaN = not burned before the last frame.
        frames: number of frames; frame k shows what has burned k steps after ignition.
        wind_speed: km h-1, row k drives the step from frame k to k + 1.
        wind_direction: degrees clockwise from north that the wind blows from.
        moisture: share of the moisture of extinction; what makes two fires under equal wind differ.
    """

    window_row: int
    window_column: int
    ignition: Bool[np.ndarray, "H W"]
    arrival_time: Float[np.ndarray, "H W"]
    frames: int
    wind_speed: np.ndarray
    wind_direction: np.ndarray
    moisture: float


def simulate_dataset(settings: SimulationSettings, root: Path, minutes_per_frame: float) -> None:
    """Simulate fires and write them where, and as, a reader of the deep_crown layout expects them.

    Everything follows from the settings: the same settings write the same bytes. Beside the layout there are
    `arrival_time.npz` (seconds since ignition under each fire's folder name, NaN = not burned) and `meta.json` (each
    fire's ignition and moisture), for whoever wants the truth. The folder is complete or absent, never half-written.

    Args:
        settings: how many fires, their windows and frames, the landscape, the seed.
        root: folder to write; an earlier simulation there is replaced.
        minutes_per_frame: length of a step.

    Raises:
        InputError: `root` holds something else than a simulation, the window does not fit into the landscape, or
            no fire grows for long enough inside its window.
    """
    _refuse_foreign(root)
    if settings.window > settings.landscape:
        raise InputError(
            "simulation.window",
            f"{settings.window} pixels",
            f"at most the landscape's {settings.landscape}",
            "shrink it",
        )
    terrain = generate_valley(settings.landscape, settings.cell_m, np.random.default_rng([settings.seed, 0]))
    with replacing(root) as folder:
        (folder / "landscape" / "Weathers").mkdir(parents=True)
        write_terrain(folder / "landscape" / "Input_Geotiff.tif", terrain)
        fires = {}
        for number in tqdm(range(1, settings.fires + 1), desc="simulate", unit="fire"):
            rng = np.random.default_rng([settings.seed, number])  # so that more fires leave the first ones as they are
            fires[number] = draw_fire(terrain, settings, minutes_per_frame, rng)
            _write_frames(folder, number, fires[number], minutes_per_frame)
            _write_weather(folder, number, fires[number], minutes_per_frame)
        _write_tables(folder, fires, settings, minutes_per_frame)


def draw_fire(
    terrain: Terrain, settings: SimulationSettings, minutes_per_frame: float, rng: np.random.Generator
) -> Fire:
    """Draw windows, ignitions, winds and moistures until a fire grows over enough frames inside its window.

    A fire is over at the last frame before one without growth or with fire at the window's edge. It counts with
    three frames or more (two, where no more are asked for).

    Args:
        terrain: the whole landscape.
        settings: size of a window, most frames.
        minutes_per_frame: length of a step.
        rng: the only source of chance.

    Raises:
        InputError: none does in 200 attempts.
    """
    size, seconds = settings.window, minutes_per_frame * 60
    for _ in range(ATTEMPTS):
        row, column = rng.integers(0, settings.landscape - size + 1, 2).tolist()
        window = terrain.window(row, column, size)
        centre = rng.integers(size // 4, size - size // 4, 2)
        ignition = np.hypot(*(np.indices((size, size)) - centre[:, None, None])) <= IGNITION_RADIUS
        speed, direction = generate_wind(settings.frames, rng)
        moisture = round(float(rng.uniform(*MOISTURE)), 3)
        if not window.burnable[ignition].all():
            continue
        towards = np.radians(direction + 180)
        u, v = speed / 3.6 * np.sin(towards), speed / 3.6 * np.cos(towards)
        wind = list(zip(u.tolist(), v.tolist(), strict=True))[:-1]  # nothing follows the last frame
        arrival_time = spread(window, ignition, wind, seconds, moisture)
        frames = count_frames(arrival_time, seconds, settings.frames)
        if frames >= min(3, settings.frames):
            arrival_time[arrival_time > (frames - 1) * seconds] = np.nan
            return Fire(row, column, ignition, arrival_time, frames, speed, direction, moisture)
    raise InputError(
        "simulation",
        f"no fire grows and stays inside a window of {size} pixels at {minutes_per_frame:g} minutes a frame",
        "three frames or more of growth before the fire meets the window's edge",
        "fit minutes_per_frame, simulation.window and simulation.cell_m to each other (demo: 30 minutes, 112, 30 m)",
    )


def count_frames(arrival_time: Float[np.ndarray, "H W"], step_seconds: float, most: int) -> int:
    """Frames until a fire stops growing or reaches the edge.

    Args:
        arrival_time: seconds since ignition, NaN = not burned.
        step_seconds: time between two frames.
        most: frames at most.

    Returns:
        1 (the ignition alone) to `most`.

    >>> count_frames(np.array([[np.nan] * 5, [np.nan, 0, 60, 70, np.nan], [np.nan] * 5]), 60.0, 8)
    3
    """
    edge = np.concatenate([arrival_time[[0, -1]].ravel(), arrival_time[:, [0, -1]].ravel()])
    for frame in range(1, most):
        end = frame * step_seconds
        grows = np.any((arrival_time > end - step_seconds) & (arrival_time <= end))
        if not grows or np.any(edge <= end):
            return frame
    return most


def _refuse_foreign(root: Path) -> None:
    """A wrong path in a configuration must not cost anybody their data."""
    meta = root / "meta.json"
    ours = meta.is_file() and MARK in meta.read_text()
    if not ours and (root.is_file() or any(path.is_file() for path in root.rglob("*"))):
        raise InputError(
            root,
            "files that no simulation wrote",
            "no folder, or an earlier simulation",
            "move them away, or choose another root",
        )


def _write_frames(root: Path, number: int, fire: Fire, minutes_per_frame: float) -> None:
    """Frames and isochrones; both show everything burned so far."""
    folders = root / "fire_frames" / f"sequence_{number:03d}", root / "isochrones" / f"sequence_{number:03d}"
    for folder in folders:
        folder.mkdir(parents=True)
    for frame in range(fire.frames):
        burned = fire.arrival_time <= frame * minutes_per_frame * 60
        picture = Image.fromarray(np.where(burned[:, :, None], BURNED, UNBURNED).astype(np.uint8))
        for folder, name in zip(folders, ("fire", "iso"), strict=True):
            picture.save(folder / f"{name}_{frame:03d}.png")


def _write_weather(root: Path, number: int, fire: Fire, minutes_per_frame: float) -> None:
    start = datetime(2024, 1, 1, 12) + timedelta(days=number - 1)
    times = [str(start + row * timedelta(minutes=minutes_per_frame)) for row in range(len(fire.wind_speed))]
    table = pd.DataFrame({"datetime": times, "WS": fire.wind_speed, "WD": fire.wind_direction})
    table.insert(0, "Scenario", f"simulated_{number}")
    table.to_csv(root / "landscape" / "Weathers" / f"Weather{number}.csv", index=False)


def _write_tables(root: Path, fires: dict[int, Fire], settings: SimulationSettings, minutes_per_frame: float) -> None:
    """What lists all fires: windows, weather files, arrival times and the hidden truth."""
    size = settings.window
    windows = {
        n: [f.window_row, f.window_row + size, f.window_column, f.window_column + size] for n, f in fires.items()
    }
    (root / "landscape" / "indices.json").write_text(json.dumps(windows))
    history = "".join(f"landscape/Weathers/Weather{number}.csv\n" for number in fires)
    (root / "landscape" / "WeatherHistory.csv").write_text(history)
    arrival_times = {f"sequence_{number:03d}": fire.arrival_time for number, fire in fires.items()}
    np.savez_compressed(root / "arrival_time.npz", allow_pickle=False, **arrival_times)
    sequences = [
        {
            "sequence": number,
            "window": windows[number],
            "ignition_row_col": np.argwhere(fire.ignition).mean(axis=0).round().astype(int).tolist(),
            "frames": fire.frames,
            "moisture": fire.moisture,
        }
        for number, fire in fires.items()
    ]
    meta = {
        "source": MARK,
        "settings": settings.model_dump(),
        "minutes_per_frame": minutes_per_frame,
        "sequences": sequences,
    }
    (root / "meta.json").write_text(json.dumps(meta, indent=1))
