"""Steps of fires, one after another: what is known at the initial time, and what was observed one frame later."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from jaxtyping import Float, UInt8

from emberformer.data.fires import UNKNOWN, observed


@dataclass(frozen=True)
class FireStep:
    """One step of one fire. Only `new_fire` and `valid_time` are of the future; pixels of it are read when asked for.

    Args:
        fires: the opened fires store.
        row: row of the initial frame in it.
        fire_id: the fire.
        split: the fires it belongs to.
        init_step: number of the initial frame, from 0.
        burned: newest frames [y, x], newest first: init_step, init_step - 1 ...; 1 burned, 0 not, 255 unknown.
        wind: towards east and north, m s-1, NaN = unknown; of the step itself where the source says so (`row_offset`).
        terrain: band -> values [y, x], NaN = no data.
    """

    fires: xr.Dataset
    row: int
    fire_id: str
    split: str
    init_step: int
    burned: tuple[UInt8[np.ndarray, "y x"], ...]
    wind: tuple[float, float]
    terrain: Mapping[str, Float[np.ndarray, "y x"]]

    @property
    def init_time(self) -> np.datetime64:
        return self.fires["valid_time"].values[self.row]

    @property
    def valid_time(self) -> np.datetime64:
        return self.fires["valid_time"].values[self.row + 1]

    @property
    def cell_m(self) -> float:
        return float(self.fires.attrs["cell_m"])

    @property
    def seconds(self) -> float:
        """Length of the step."""
        return float(self.fires.attrs["seconds_per_frame"])

    @cached_property
    def new_fire(self) -> UInt8[np.ndarray, "y x"]:
        """What new-fire scores look at: 1 burned in this step, 0 still unburned, 255 burned before or unknown."""
        return np.where(self.burned[0] == 0, observed(self.fires, self.row + 1), np.uint8(UNKNOWN))


def fire_steps(
    fires: xr.Dataset,
    split_of: Mapping[str, str],
    splits: Collection[str],
    *,
    frames: int = 1,
    bands: Sequence[str] = (),
) -> Iterator[FireStep]:
    """All steps of the fires of some splits; frames are read one by one, and few are held.

    Args:
        fires: an opened fires store.
        split_of: fire_id -> split; fires that are not named are left out.
        splits: the splits wanted.
        frames: number of newest frames given with each step (fewer at the start of a fire).
        bands: terrain bands given with each step.
    """
    starts, sizes, terrain_index = (fires[name].values for name in ("row_start", "row_size", "terrain_index"))
    winds = fires["weather"].sel(weather_variable=["wind_u", "wind_v"]).values
    numbers = {name: fires["band"].values.tolist().index(name) for name in bands}
    for fire, fire_id in enumerate(fires["fire_id"].values.tolist()):
        if (split := split_of.get(fire_id)) is None or split not in splits:
            continue
        terrain = {name: fires["terrain"][int(terrain_index[fire]), number].values for name, number in numbers.items()}
        newest: deque[np.ndarray] = deque(maxlen=frames)
        for step in range(int(sizes[fire]) - 1):
            row = int(starts[fire]) + step
            newest.appendleft(fires["burned"][row].values)
            wind = (float(winds[row, 0]), float(winds[row, 1]))
            yield FireStep(fires, row, fire_id, split, step, tuple(newest), wind, terrain)


def count_steps(fires: xr.Dataset, split_of: Mapping[str, str], splits: Collection[str]) -> int:
    """How many steps `fire_steps` gives."""
    fire_ids, sizes = fires["fire_id"].values.tolist(), fires["row_size"].values.tolist()
    return sum(
        max(size - 1, 0) for fire_id, size in zip(fire_ids, sizes, strict=True) if split_of.get(fire_id) in splits
    )
