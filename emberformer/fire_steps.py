"""Steps of fires, one after another: what is known at the initial time, and what was observed some frames later."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from jaxtyping import Float, UInt8

from emberformer.data.fires import UNKNOWN, held, observed


@dataclass(frozen=True)
class FireStep:
    """One forecast of one fire. Only `new_fire` is of the future; its pixels are read when asked for.

    Args:
        fires: the opened fires store.
        row: row of the initial frame in it.
        fire_id: the fire.
        split: the fires it belongs to.
        init_step: number of the initial frame, from 0.
        burned: newest frames [y, x], newest first: init_step, init_step - 1 ...; 1 burned, 0 not, 255 unknown.
        winds: towards east and north, m s-1, NaN = unknown, from each frame to the next, from the initial one to the
            fire's last; of that very time where the source says so (`row_offset`).
        terrain: band -> values [y, x], NaN = no data.
        lead: frames ahead.
        foresees_wind: the wind of coming steps is known, as from a weather forecast; else that of the initial frame is.
    """

    fires: xr.Dataset
    row: int
    fire_id: str
    split: str
    init_step: int
    burned: tuple[UInt8[np.ndarray, "y x"], ...]
    winds: Float[np.ndarray, "frame 2"]
    terrain: Mapping[str, Float[np.ndarray, "y x"]]
    lead: int = 1
    foresees_wind: bool = True

    @property
    def wind(self) -> tuple[float, float]:
        """Mean of the known winds until the frame that is forecast; NaN where none is known."""
        return mean_wind(self.winds[: self.lead if self.foresees_wind else 1])

    @property
    def was_observed(self) -> bool:
        """Whether there is a frame so far ahead."""
        return self.lead < len(self.winds)

    @property
    def init_time(self) -> np.datetime64:
        return self.fires["valid_time"].values[self.row]

    @property
    def cell_m(self) -> float:
        return float(self.fires.attrs["cell_m"])

    @property
    def seconds(self) -> float:
        """Time from the initial frame to the one that is forecast."""
        return self.lead * float(self.fires.attrs["seconds_per_frame"])

    @cached_property
    def new_fire(self) -> UInt8[np.ndarray, "y x"]:
        """What scores look at: 1 burned since, 0 still unburned, 255 burned before for good, or unknown."""
        open_to_fire = held(self.fires, self.row) == 0
        return np.where(open_to_fire, observed(self.fires, self.row + self.lead), np.uint8(UNKNOWN))


def fire_steps(
    fires: xr.Dataset,
    split_of: Mapping[str, str],
    splits: Collection[str],
    *,
    frames: int = 1,
    bands: Sequence[str] = (),
    lead: int = 1,
    foresees_wind: bool = True,
) -> Iterator[FireStep]:
    """All forecasts of the fires of some splits that were observed; frames are read one by one, and few are held.

    Args:
        fires: an opened fires store.
        split_of: fire_id -> split; fires that are not named are left out.
        splits: the splits wanted.
        frames: number of newest frames given with each step (fewer at the start of a fire).
        bands: terrain bands given with each step.
        lead: frames ahead.
        foresees_wind: see `FireStep`.
    """
    starts, sizes, terrain_index = (fires[name].values for name in ("row_start", "row_size", "terrain_index"))
    winds = fires["weather"].sel(weather_variable=["wind_u", "wind_v"]).values
    numbers = {name: fires["band"].values.tolist().index(name) for name in bands}
    for fire, fire_id in enumerate(fires["fire_id"].values.tolist()):
        if (split := split_of.get(fire_id)) is None or split not in splits:
            continue
        terrain = {name: fires["terrain"][int(terrain_index[fire]), number].values for name, number in numbers.items()}
        newest: deque[np.ndarray] = deque(maxlen=frames)
        own = winds[int(starts[fire]) : int(starts[fire]) + int(sizes[fire])]
        for step in range(int(sizes[fire]) - lead):
            row = int(starts[fire]) + step
            newest.appendleft(fires["burned"][row].values)
            yield FireStep(fires, row, fire_id, split, step, tuple(newest), own[step:], terrain, lead, foresees_wind)


def mean_wind(winds: Float[np.ndarray, "frame 2"]) -> tuple[float, float]:
    """Mean of winds, over those that are known; NaN where none is.

    >>> mean_wind(np.array([[2.0, 0.0], [4.0, np.nan]]))
    (2.0, 0.0)
    """
    known = winds[np.isfinite(winds).all(1)]
    east, north = known.mean(0).tolist() if len(known) else (np.nan, np.nan)
    return east, north


def count_steps(fires: xr.Dataset, split_of: Mapping[str, str], splits: Collection[str], lead: int = 1) -> int:
    """How many forecasts `fire_steps` gives."""
    fire_ids, sizes = fires["fire_id"].values.tolist(), fires["row_size"].values.tolist()
    return sum(
        max(size - lead, 0) for fire_id, size in zip(fire_ids, sizes, strict=True) if split_of.get(fire_id) in splits
    )
