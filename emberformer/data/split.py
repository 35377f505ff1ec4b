"""Splits: which fires are trained on, chosen on and tested on; always whole fires, written as one file.

Every group of fires that must stay together gets a rank from a hash of its name, and the ranks are cut by the shares.
A new fire therefore moves at most one other group across each cut, and never reshuffles the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from rasterio.crs import CRS
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from emberformer.atomic import write_whole
from emberformer.data.fires import fire_rows
from emberformer.data.given_splits import split_as_published, split_by_sequence, split_by_year
from emberformer.data.landscape_raster import crs_key
from emberformer.data.leakage import refuse_leaks, twin_keys
from emberformer.data_settings import SplitSettings
from emberformer.errors import InputError

SPLITS = ("train", "validation", "test")
REMEDY = "give more fires, a larger share or (by: block) a smaller split.block_km; a split not wanted has the share 0"


def make_split(fires_by_dataset: dict[str, xr.Dataset], settings: SplitSettings) -> dict:
    """Divide all fires.

    by: fire       fires of each data set at random. New fires on known ground.
    by: block      square blocks of `block_km`, by the centre of a fire's first burned area. The windows of fires in
                   neighbouring blocks may still overlap; the ground on which they began does not. Grounds of one
                   projected CRS share their blocks; of another CRS or none, each has blocks of its own.
    by: landscape  the data sets `test_landscapes` are the test, the fires of all others are divided at random into
                   training and validation. New fires on unknown ground.

    by: year       a fold of WildfireSpreadTS.
    by: published  as Next Day Wildfire Spread is.
    by: sequence   as the original deep_crown code does it.
                   Of these three see `emberformer.data.given_splits`; nothing is kept together that they divide.

    The data sets `test_landscapes` are for the test alone with `fire` and `block` too; all others are then divided in
    three, so that one model is tested on known and on unknown ground.

    Fires with equal content (`fire_digest`) under two names stay together, and with `fire` and `landscape` those whose
    grounds are told to be two and have the same terrain to the byte.

    Args:
        fires_by_dataset: open fires stores by name of their data set.
        settings: how to divide.

    Returns:
        {"by", "seed", "fires": {dataset: {fire_id: split}}, "counts": {dataset: {split: number of fires}}}.

    Raises:
        InputError: a split with a share above 0 gets no fire, or a landscape for the test is not among the data sets.
    """
    if settings.by == "landscape" or settings.test_landscapes:
        _check_landscapes(fires_by_dataset, settings)
    assigned: dict[str, dict[str, str]] = {}
    for dataset, fires in sorted(fires_by_dataset.items()):
        names = fires["fire_id"].values.tolist()
        if settings.by == "year" and settings.fold is not None:
            assigned[dataset] = split_by_year(dataset, names, settings.fold)
        elif settings.by == "published":
            assigned[dataset] = split_as_published(dataset, names)
        elif settings.by == "sequence":
            shares = settings.train, settings.validation
            assigned[dataset] = split_by_sequence(dataset, names, *shares, settings.seed)
        else:
            assigned[dataset] = _split_by_rank(dataset, fires, settings)
    _check_not_empty(assigned, settings)
    counts = {dataset: dict.fromkeys(SPLITS, 0) | Counter(splits.values()) for dataset, splits in assigned.items()}
    return {"by": settings.by, "seed": settings.seed, "fires": assigned, "counts": counts}


def _split_by_rank(dataset: str, fires: xr.Dataset, settings: SplitSettings) -> dict[str, str]:
    """Split of each fire of a data set: groups in the order of their ranks, cut by the shares."""
    groups = _fire_groups(fires, settings)
    ranked = sorted(groups, key=lambda name: _rank(settings.seed, dataset, name))
    cut = cut_groups([len(groups[name]) for name in ranked], _shares(dataset, settings))
    of_fire = {fire_id: split for name, split in zip(ranked, cut, strict=True) for fire_id in groups[name]}
    return {fire_id: of_fire[fire_id] for fire_id in fires["fire_id"].values.tolist()}


def cut_groups(sizes: list[int], shares: dict[str, float]) -> list[str]:
    """Cut ranked groups by the shares of fires.

    A group belongs to the split that holds the middle of its fires. Each split with a share above 0 gets at least one
    group, training first, if there are enough groups.

    Args:
        sizes: number of fires of each group, in the order of the ranks.
        shares: share of each split; they add up to 1.

    Returns:
        The split of each group.

    >>> cut_groups([1] * 6, {"train": 0.5, "validation": 0.25, "test": 0.25})
    ['train', 'train', 'train', 'validation', 'test', 'test']
    """
    wanted = [split for split in SPLITS if shares.get(split, 0) > 0]
    middles = (np.cumsum(sizes) - np.array(sizes) / 2) / max(sum(sizes), 1)
    ends = np.cumsum([shares[split] for split in wanted])
    cuts = [0]
    for position, end in enumerate(ends[:-1], 1):
        at_least, at_most = cuts[-1] + 1, len(sizes) - (len(wanted) - position)
        cuts.append(max(at_least, min(int((middles < end - 1e-9).sum()), at_most)))
    cuts.append(max(len(sizes), cuts[-1]))
    return [split for split, length in zip(wanted, np.diff(cuts), strict=True) for _ in range(length)][: len(sizes)]


def _rank(seed: int, dataset: str, group: str) -> str:
    return hashlib.sha256(json.dumps([seed, dataset, group]).encode()).hexdigest()


def _shares(dataset: str, settings: SplitSettings) -> dict[str, float]:
    if dataset in settings.test_landscapes:
        return {"test": 1.0}
    if settings.by != "landscape":
        return {"train": settings.train, "validation": settings.validation, "test": settings.test}
    both = settings.train + settings.validation
    return {"train": settings.train / both, "validation": settings.validation / both}


def _fire_groups(fires: xr.Dataset, settings: SplitSettings) -> dict[str, list[str]]:
    """Fires that must stay together, by the name of their group."""
    names = fires["fire_id"].values.tolist()
    if settings.by == "block":
        keys = [f"block {place}" for place in _blocks(fires, settings.block_km)]
    else:
        keys = [names[first] for first in _first_alike(fires["fire_digest"].values.tolist(), twin_keys(fires))]
    groups: dict[str, list[str]] = {}
    for name, key in zip(names, keys, strict=True):
        groups.setdefault(key, []).append(name)
    return groups


def _first_alike(*keys: list[str]) -> list[int]:
    """Position of the first of all that hang together with each, by equal keys of any kind; "" is equal to nothing.

    >>> _first_alike(["p", "q", "q", "r"], ["", "a", "", "a"])
    [0, 1, 1, 1]
    """
    count = len(keys[0])
    first: dict[tuple[int, str], int] = {}
    edges = [(i, first.setdefault((kind, of[i]), i)) for kind, of in enumerate(keys) for i in range(count) if of[i]]
    rows, columns = zip(*edges, strict=True) if edges else ((), ())
    _, labels = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), shape=(count, count)))
    _, firsts, places = np.unique(labels, return_index=True, return_inverse=True)
    return firsts[places].tolist()


def _blocks(fires: xr.Dataset, block_km: float) -> list[str]:
    """Row and column of the block in which each fire begins, and what the two count from.

    On one ground that is its upper left corner. Several of one projected CRS count on the map, northward and eastward,
    with the CRS behind the two (of several texts of one the first in the order of the alphabet); where there is none,
    the number of the ground stands behind them.
    """
    of_ground = ("window_row", "window_col", "ground_index")
    side, keys = 1000 * block_km, []
    written = {crs_key(text): text for text in sorted(set(fires["crs_wkt"].values.tolist()), reverse=True)}
    for name, *place in zip(fires["fire_id"].values.tolist(), *(fires[key].values for key in of_ground), strict=True):
        centre, (row, column, ground) = first_burned_centre(fires, name), map(int, place)
        several = fires.sizes["ground"] > 1
        crs_wkt = written[crs_key(str(fires["crs_wkt"].values[ground]))] if several else ""
        metres = _metres(crs_wkt)
        at = np.array([centre[0] + row, centre[1] + column])
        if metres:
            a, _, c, _, e, f = fires["transform"].values[ground].tolist()
            at, origin = metres * (np.array([f, c]) + np.array([e, a]) * at), crs_wkt
        else:
            at, origin = fires.attrs["cell_m"] * at, ground
        down, right = np.floor(at / side).astype(int).tolist()
        keys.append(f"{down} {right} {origin}" if several else f"{down} {right}")
    return keys


def _metres(crs_wkt: str) -> float:
    """Length of a CRS's unit in metres; 0 where it is not projected or unknown."""
    crs = CRS.from_wkt(crs_wkt) if crs_wkt else None
    return crs.linear_units_factor[1] if crs and crs.is_projected else 0.0


def first_burned_centre(fires: xr.Dataset, fire_id: str) -> tuple[float, float]:
    """Where a fire begins: the mean row and column of the first frame that has anything burned.

    Returns:
        Row and column in pixels of the fire's window, counted from its upper left corner.

    Raises:
        InputError: nothing burns in any frame.
    """
    rows = fire_rows(fires, fire_id)
    for row in range(rows.start, rows.stop):
        y, x = np.nonzero(fires["burned"][row].values == 1)
        if y.size:
            return float(y.mean() + 0.5), float(x.mean() + 0.5)
    where = f"{fire_id} of data set {fires.attrs['dataset']!r}"
    raise InputError(where, "nothing burns in any frame", "a fire", "remove it from the source and ingest again")


def _check_landscapes(fires_by_dataset: dict[str, xr.Dataset], settings: SplitSettings) -> None:
    known, held_out = set(fires_by_dataset), set(settings.test_landscapes)
    if not held_out or held_out - known or held_out == known:
        raise InputError(
            "settings `split.test_landscapes`",
            str(sorted(held_out)),
            f"at least one of the data sets {sorted(known)}, and not all",
            "name the data sets to hold out for the test",
        )
    if settings.train + settings.validation == 0:
        found, remedy = "split.train and split.validation are 0", "give training and validation a share"
        raise InputError("settings `split`", found, "shares of the fires that are not held out", remedy)


def _check_not_empty(assigned: dict[str, dict[str, str]], settings: SplitSettings) -> None:
    present = {split for splits in assigned.values() for split in splits.values()}
    for split in SPLITS:
        wanted = getattr(settings, split) > 0 or (settings.by == "landscape" and split == "test")
        if wanted and split not in present:
            total = sum(len(splits) for splits in assigned.values())
            found = f"no fire for {split}, of {total} fires in {len(assigned)} data sets (by: {settings.by})"
            raise InputError("settings `split`", found, f"at least one fire for {split}", REMEDY)


def write_split(path: Path, split: dict) -> None:
    """Write a split as JSON, whole or not at all."""
    write_whole(path, json.dumps(split, indent=1) + "\n")


def read_split(path: Path, leakage: Literal["stop", "report"] = "stop") -> dict[str, dict[str, str]]:
    """Read a split.

    Args:
        path: the file.
        leakage: `split.leakage`; stop: refuse a split that was made with `report` and has leaks. Who trains, draws or
            scores hands over the configuration's; who only tells of the fires asks for "report".

    Returns:
        {dataset: {fire_id: "train", "validation" or "test"}}.

    Raises:
        InputError: the file is missing or is no split, or has leaks that are not allowed.
    """
    expected, remedy = 'a split: {"fires": {dataset: {fire_id: split}}}', "run `emberformer split`"
    try:
        content = json.loads(Path(path).read_text())
        fires, leaks = content["fires"], content.get("leaks", [])
        unknown = {split for splits in fires.values() for split in splits.values()} - set(SPLITS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(path, repr(error), expected, remedy) from error
    if unknown:
        raise InputError(path, f"splits {sorted(unknown)}", f"only {', '.join(SPLITS)}", remedy)
    if leakage == "stop":
        refuse_leaks(path, leaks)
    return fires
