"""What was observed of the forecasts of a store, a forecast at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import xarray as xr
from tqdm import tqdm

from emberformer.data.fires import UNKNOWN, held, observed
from emberformer.errors import InputError
from emberformer.evaluate.scored_part import EVERYTHING, ScoredPart, crop_of

HISTORY_LENGTHS = (1, 2, 3, 4, 5)  # frames seen; the last group holds all longer histories too


class _Location(NamedTuple):
    row_start: int
    row_size: int


class ObservedForecast(NamedTuple):
    """One forecast at one lead time, with what was burned at its initial time and what was observed; rasters [y, x].

    `burned` is what the forecast has no say in (`emberformer.data.fires.held`): nothing, where fires go out.
    `history` is the number of frames seen; 5 = 5 or more.
    """

    fire_id: str
    init_step: int
    lead: int
    history: int
    values: np.ndarray
    target: np.ndarray
    burned: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Pixels that are known at both times [y, x]."""
        return (self.burned != UNKNOWN) & (self.target != UNKNOWN)

    @property
    def new_fire(self) -> np.ndarray:
        """Known pixels that the forecast has a say in [y, x]."""
        return self.known & (self.burned == 0)


class ObservedFrame(NamedTuple):
    """What was observed from the initial time of one forecast on.

    Args:
        place: of the forecast in its store.
        fire_id, init_step, history, burned: as in `ObservedForecast`.
        window: rows and columns that are scored.
        targets: lead -> what was observed then [y, x], of the leads that were observed.
    """

    place: int
    fire_id: str
    init_step: int
    history: int
    window: tuple[slice, slice]
    burned: np.ndarray
    targets: dict[int, np.ndarray]


def scored_steps(forecasts: xr.Dataset, fires: xr.Dataset, part: ScoredPart) -> set[tuple[str, int, int, str]]:
    """Fire, initial step, lead and split of the forecasts of a store that are scored, by its coordinates alone.

    Args:
        forecasts: an opened forecast store.
        fires: the opened fires store of the same data set.
        part: which of them.

    Raises:
        InputError: see `known_steps`.
    """
    size = known_steps(forecasts, fires)
    about = (
        forecasts[name].values[~_too_early(forecasts, part)].tolist() for name in ("fire_id", "split", "init_step")
    )
    return {
        (fire_id, step, lead, split)
        for fire_id, split, step in zip(*about, strict=True)
        for lead in forecasts.lead.values.tolist()
        if step + lead < size[fire_id]
    }


def observed_forecasts(
    forecasts: xr.Dataset, fires: xr.Dataset, purpose: str, part: ScoredPart = EVERYTHING
) -> Iterator[ObservedForecast]:
    """Forecasts of a store for times that were observed, in its order, with a progress bar.

    Args:
        forecasts: an opened forecast store.
        fires: the opened fires store of the same data set.
        purpose: a word for the progress bar.
        part: which of them, and of which pixels.

    Raises:
        InputError: the stores do not belong together.
    """
    leads = forecasts.lead.values.tolist()
    for frame in observed_frames(forecasts, fires, purpose, part):
        values = forecasts.probability[frame.place].values[:, *frame.window]
        for lead, target in frame.targets.items():
            about = frame.fire_id, frame.init_step, lead, frame.history
            yield ObservedForecast(*about, values[leads.index(lead)], target, frame.burned)


def observed_frames(
    forecasts: xr.Dataset, fires: xr.Dataset, purpose: str, part: ScoredPart = EVERYTHING
) -> Iterator[ObservedFrame]:
    """What was observed of each forecast of a store, in its order, with a progress bar.

    Args:
        forecasts: an opened forecast store or member store.
        fires: the opened fires store of the same data set.
        purpose: a word for the progress bar.
        part: which forecasts, and which pixels.

    Raises:
        InputError: the stores do not belong together.
    """
    where = where_of(forecasts)
    if {name: forecasts.sizes[name] for name in "yx"} != {name: fires.sizes[name] for name in "yx"}:
        raise mismatch(where, f"frames of {forecasts.sizes['y']} x {forecasts.sizes['x']}")
    rows = zip(fires.row_start.values.tolist(), fires.row_size.values.tolist(), strict=True)
    locations = dict(zip(fires.fire_id.values.tolist(), (_Location(*row) for row in rows), strict=True))
    leads = whole_leads(forecasts.lead.values, where)
    known_steps(forecasts, fires)
    fire_ids, init_steps = forecasts.fire_id.values.tolist(), forecasts.init_step.values.tolist()
    history, early = forecasts.history_length.values, _too_early(forecasts, part)
    crop = cache(lambda fire_id: crop_of(fires, fire_id, part.crop))
    for k in tqdm(range(len(fire_ids)), desc=f"{purpose} {where}", unit="forecast", mininterval=1):
        if early[k]:
            continue
        fire, step = locations[fire_ids[k]], init_steps[k]
        window = crop(fire_ids[k])
        targets = {
            lead: observed(fires, fire.row_start + step + lead)[window] for lead in leads if step + lead < fire.row_size
        }
        burned, seen = held(fires, fire.row_start + step)[window], min(int(history[k]), HISTORY_LENGTHS[-1])
        yield ObservedFrame(k, fire_ids[k], step, seen, window, burned, targets)


def known_steps(forecasts: xr.Dataset, fires: xr.Dataset) -> dict[str, int]:
    """Number of frames of each fire; forecasts of no fire, from no frame of it, and several of one step are refused.

    Raises:
        InputError: with the fire and the step.
    """
    where = where_of(forecasts)
    size = dict(zip(fires.fire_id.values.tolist(), fires.row_size.values.tolist(), strict=True))
    steps = list(zip(forecasts.fire_id.values.tolist(), forecasts.init_step.values.tolist(), strict=True))
    if len(set(steps)) < len(steps):
        fire_id, step = next(step for step, times in Counter(steps).items() if times > 1)
        raise mismatch(where, f"several forecasts of {fire_id} from step {step}")
    for fire_id, step in steps:
        if fire_id not in size:
            raise mismatch(where, f"fire {fire_id!r}, which is not in the fires store")
        if not 0 <= step < size[fire_id]:
            raise mismatch(where, f"a forecast of {fire_id} from step {step}, of steps 0 to {size[fire_id] - 1}")
    return size


def _too_early(forecasts: xr.Dataset, part: ScoredPart) -> np.ndarray:
    """Which forecasts are of the test and begin before the first step that is scored [forecast]."""
    return (forecasts.split.values == "test") & (forecasts.init_step.values < part.first_step)


def whole_leads(leads: np.ndarray, where: str) -> list[int]:
    """Lead times as steps ahead.

    Raises:
        InputError: they are no whole numbers from 1 on, or do not rise.
    """
    whole = leads.dtype.kind in "iuf" and bool((leads == np.floor(leads)).all())
    if not whole or (np.diff(leads.astype(float), prepend=0) <= 0).any():
        found, expected = f"lead {leads.astype(str).tolist()}", "steps ahead that rise: 1, 2 ..."
        raise InputError(where, found, expected, "number the lead times in steps of the fire's frames, and sort them")
    return [int(lead) for lead in leads]


def where_of(forecasts: xr.Dataset) -> str:
    """A store in words, for messages."""
    return f"forecasts of {forecasts.attrs['method']} for {forecasts.attrs['dataset']}"


def mismatch(where: str, found: str) -> InputError:
    """The error of a forecast store and a fires store that do not belong together."""
    expected = "one forecast of each step, for every known pixel of the fires in the fires store, on its grid"
    return InputError(
        where, found, expected, "make the forecasts again; docs/forecast-store.md says what a store holds"
    )


def require_same_steps(own: Sequence[tuple], theirs: Sequence[tuple], where: str, others: str) -> None:
    """Refuse forecasts that are not of the same steps as those of another method.

    Args:
        own: of each forecast the data set, the fire, the initial step, the lead, and what else must agree.
        theirs: the same of the other method.
        where: whose forecasts, for the message.
        others: whose others, likewise.
    """
    if differing := set(own) ^ set(theirs):
        dataset, fire_id, init_step, lead, *_ = min(differing)
        found = f"other steps than {others}, at first of {fire_id} of {dataset}: from step {init_step} at lead {lead}"
        raise InputError(where, found, "the same steps of the same fires by all", "make the forecasts again")
