"""Leakage: what of the training a test has seen already, by content and by ground."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import shapely
import xarray as xr

from emberformer.data.landscape_raster import crs_key
from emberformer.errors import InputError

FireKey = tuple[str, str]  # data set, fire_id
Split = Mapping[str, Mapping[str, str]]  # data set -> fire_id -> split
CROWD = 50  # fires that share one frame; more of them share an ignition that says nothing
MUCH = 0.05  # of the ground of held-out landscapes in windows of training fires
LISTED = 10  # leaks that an error names


def frames_of(fires: xr.Dataset) -> dict[str, list[str]]:
    """Digests of the frames of each fire, in the order of time."""
    digests, starts = fires["frame_digest"].values, fires["row_start"].values
    return {
        str(name): [str(d) for d in digests[start : start + size]]
        for name, start, size in zip(fires["fire_id"].values, starts, fires["row_size"].values, strict=True)
    }


def equal_fires(frames: Mapping[FireKey, list[str]]) -> list[tuple[FireKey, FireKey]]:
    """Pairs of fires of which the shorter has more than half of its different frames in the other.

    Args:
        frames: digests of the frames of every fire.

    >>> equal_fires({("a", "1"): ["p", "q", "r"], ("a", "2"): ["p", "q", "s", "t"], ("a", "3"): ["p", "u"]})
    [(('a', '1'), ('a', '2'))]
    """
    having: dict[str, list[FireKey]] = defaultdict(list)
    for fire, digests in frames.items():
        for digest in dict.fromkeys(digests):
            having[digest].append(fire)
    shared = Counter(pair for of in having.values() if len(of) <= CROWD for pair in combinations(of, 2))
    return [
        (one, other)
        for (one, other), number in shared.items()
        if 2 * number > min(len(set(frames[one])), len(set(frames[other])))
    ]


def alike(fires: Mapping[str, xr.Dataset]) -> list[tuple[FireKey, FireKey]]:
    """Pairs of fires that share most of their frames, and may share their place.

    Small fires in the middle of two windows look alike. On one ground they are the same only in one window; where each
    fire has a ground of its own, the terrain must be the same too.

    Args:
        fires: open fires stores by data set.
    """
    frames, terrain, window = {}, {}, {}
    for name, of in fires.items():
        several = of.sizes["ground"] > 1
        frames |= {(name, fire): digests for fire, digests in frames_of(of).items()}
        for fire, index in zip(map(str, of["fire_id"].values), of["terrain_index"].values.tolist(), strict=True):
            terrain[name, fire] = str(of["terrain_digest"].values[index]) if several else ""
            window[name, fire] = -1 if several else index
    return [
        (one, other)
        for one, other in equal_fires(frames)
        if terrain[one] == terrain[other] and (one[0] != other[0] or window[one] == window[other])
    ]


def equal_content(fires: Mapping[str, xr.Dataset], split: Split) -> list[tuple[FireKey, FireKey]]:
    """Pairs of fires in different splits that are `alike`, also over data sets.

    Args:
        fires: open fires stores by data set.
        split: see `Split`.
    """
    return [pair for pair in alike(fires) if len(_splits(pair, split)) > 1]


def twin_grounds(fires: Mapping[str, xr.Dataset], split: Split) -> list[tuple[FireKey, FireKey]]:
    """Pairs of fires in different splits whose grounds are told to be two, and have the same terrain to the byte.

    The terrain is that of the fires' windows: the elevation, or where there is none all bands. Of many fires on one
    terrain each in another split is paired with the first. Terrain without any data says nothing.
    """
    having: dict[str, list[tuple[FireKey, int]]] = defaultdict(list)
    for name, of in fires.items():
        digests = _terrain_digests(of)
        places = zip(map(str, of["fire_id"].values), of["terrain_index"].values, of["ground_index"].values, strict=True)
        for fire_id, terrain, ground in places:
            if fire_id in split[name] and (digest := digests[int(terrain)]):
                having[digest].append(((name, fire_id), int(ground)))
    pairs = []
    for (first, ground), *others in having.values():
        for other, its in others:
            if (first[0], ground) != (other[0], its) and len(_splits((first, other), split)) > 1:
                pairs.append((first, other))
    return pairs


def twin_keys(fires: xr.Dataset) -> list[str]:
    """Digest of the terrain of each fire where every fire has a ground of its own; "" where that says nothing."""
    if fires.sizes.get("ground", 1) == 1:
        return [""] * fires.sizes["fire"]
    digests = _terrain_digests(fires)
    return [digests[int(terrain)] for terrain in fires["terrain_index"].values]


def _terrain_digests(fires: xr.Dataset) -> list[str]:
    """Digest of the elevation of each window, "" where there is no data."""
    bands = fires["band"].values.tolist()
    chosen = bands.index("elevation") if "elevation" in bands else slice(None)
    found = []
    for window in range(fires.sizes["terrain"]) if fires.sizes["ground"] > 1 else ():
        values = fires["terrain"][window, chosen].values
        found.append(hashlib.sha256(values.tobytes()).hexdigest() if np.isfinite(values).any() else "")
    return found or [""] * fires.sizes["terrain"]


def shared_ground(fires: Mapping[str, xr.Dataset], split: Split, of: str = "test", within: str = "train") -> float:
    """Share of the ground under the windows of one split that lies in windows of another.

    Grounds of one coordinate reference system are compared on the map; of one that is unknown only with itself.

    Args:
        fires: open fires stores by data set.
        split: see `Split`.
        of: the split whose ground is measured; ground under several of its windows counts once.
        within: the other split.

    Returns:
        0 to 1; NaN where one of the two has no fire.
    """
    boxes: dict[str, dict[str, list[shapely.Geometry]]] = {of: defaultdict(list), within: defaultdict(list)}
    for name, store in fires.items():
        for place, fire_id in enumerate(map(str, store["fire_id"].values)):
            if (part := split[name].get(fire_id)) in boxes:
                key, box = _window_box(name, store, place)
                boxes[part][key].append(box)
    if not (boxes[of] and boxes[within]):
        return np.nan
    measured = {key: shapely.union_all(found) for key, found in boxes[of].items()}
    common = [shapely.union_all(boxes[within][key]).intersection(area).area for key, area in measured.items()]
    return sum(common) / sum(area.area for area in measured.values())


def _window_box(name: str, fires: xr.Dataset, fire: int) -> tuple[str, shapely.Geometry]:
    """What a fire's window can be compared with, and the window on the map."""
    row, column, ground = (int(fires[key].values[fire]) for key in ("window_row", "window_col", "ground_index"))
    a, _, c, _, e, f = fires["transform"].values[ground].tolist()
    left, top = c + a * column, f + e * row
    crs = crs_key(str(fires["crs_wkt"].values[ground]))
    box = shapely.box(left, top + e * fires.sizes["y"], left + a * fires.sizes["x"], top)
    return crs or f"{name}, ground {ground}", box


def audit(fires: Mapping[str, xr.Dataset], split: Split, by: str = "fire", held_out: tuple[str, ...] = ()) -> list[str]:
    """What a test has seen in training, as lines; none: nothing was found.

    New fires on known ground are no leak where a split asks for no more (`by: fire`); where it keeps blocks or data
    sets apart, windows that overlap are one.

    Args:
        fires: open fires stores by data set.
        split: see `Split`.
        by: `split.by`.
        held_out: data sets that are for the test alone, as unknown ground.
    """
    lines = [f"{named_pair(pair)} share most of their frames" for pair in equal_content(fires, split)]
    lines += [f"{named_pair(pair)} burn on the same terrain, under two names" for pair in twin_grounds(fires, split)]
    for name in (name for name in fires if by == "block" and name not in held_out):
        if (share := shared_ground({name: fires[name]}, split)) > MUCH:
            lines.append(f"{100 * share:.0f} % of the ground of the test of {name} lies in windows of training fires")
    only = {name: {f: s for f, s in of.items() if s != "test" or name in held_out} for name, of in split.items()}
    if (share := shared_ground(fires, only)) > MUCH:
        names = ", ".join(held_out)
        lines.append(f"{100 * share:.0f} % of the ground of {names}, held out, lies in windows of training fires")
    return lines


def refuse_leaks(where: object, lines: list[str]) -> None:
    """Stop where something leaks.

    Raises:
        InputError: with the first leaks and their number.
    """
    if lines:
        more = f" ... and {len(lines) - LISTED} more" if len(lines) > LISTED else ""
        raise InputError(
            where, f"{len(lines)} leaks: {'; '.join(lines[:LISTED])}{more}", "a test of what training has not seen",
            "remove one of each from the data, or set `split.leakage: report` to go on with the leaks written down",
        )  # fmt: skip


def _splits(pair: tuple[FireKey, FireKey], split: Split) -> set[str]:
    """Splits of two fires; those that are in none do not count."""
    return {of for name, fire in pair if (of := split[name].get(fire))}


def named_pair(pair: tuple[FireKey, FireKey]) -> str:
    """Two fires as a message names them.

    >>> named_pair((("valley", "fire_1"), ("coast", "fire_9")))
    'valley/fire_1 and coast/fire_9'
    """
    return " and ".join("/".join(fire) for fire in pair)
