"""Leakage: content of one split in another, and ground that they share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from emberformer.checks.duplicates import SHOWN
from emberformer.checks.finding import Finding
from emberformer.data.leakage import MUCH, FireKey, equal_content, named_pair, shared_ground, twin_grounds
from emberformer.data.split import SPLITS


def check_content(fires: Mapping[str, xr.Dataset], split: Mapping[str, Mapping[str, str]]) -> Finding:
    """The same fire in two splits, also over data sets.

    Args:
        fires: open fires stores by data set.
        split: {dataset: {fire_id: split}}.
    """
    return _of_pairs(
        "content in two splits",
        equal_content(fires, split),
        "pairs of fires share most of their frames",
        "remove one of each from the data",
    )


def check_twins(fires: Mapping[str, xr.Dataset], split: Mapping[str, Mapping[str, str]]) -> Finding:
    """The same terrain under two names in two splits, also over data sets.

    Args:
        fires: open fires stores by data set.
        split: {dataset: {fire_id: split}}.
    """
    return _of_pairs(
        "terrain in two splits",
        twin_grounds(fires, split),
        "fires burn on terrain that has another name in another split",
        "remove one of each from the data, or see scores as of known ground",
    )


def _of_pairs(subject: str, pairs: list[tuple[FireKey, FireKey]], said: str, remedy: str) -> Finding:
    """An error where there are pairs of fires of which something is said, with the first of them."""
    names = ", ".join(map(named_pair, pairs[:SHOWN]))
    message = f"{len(pairs)} {said} ({names})" if pairs else "none"
    return Finding("ERROR" if pairs else "OK", subject, message, remedy if pairs else "", {"pairs": len(pairs)})


def check_ground(fires: xr.Dataset, split: Mapping[str, str], by: str) -> Finding:
    """How much of the test's ground the network has seen in training, by what the split asks for.

    Args:
        fires: an open fires store.
        split: fire_id -> split.
        by: `split.by`.
    """
    share = shared_ground({"": fires}, {"": split})
    if np.isnan(share):
        return Finding("OK", "ground of the test", "this data set is not both in training and in the test")
    said, level, remedy = f"{100 * share:.0f} % of it lies in windows of training fires", "OK", ""
    if by in ("fire", "sequence"):
        said += f" (by: {by} asks for new fires on known ground)" if share > MUCH else ""
    elif share > MUCH:
        reach = "windows reach over the blocks' edges: " if by == "block" else ""
        level, remedy = "WARNING", f"{reach}see scores as of partly known ground"
    return Finding(level, "ground of the test", said, remedy, {"share": share, "by": by})


def check_split_sizes(split: Mapping[str, Mapping[str, str]]) -> Finding:
    """Number of fires in each split."""
    count = {name: sum(s == name for of in split.values() for s in of.values()) for name in SPLITS}
    empty = [name for name in SPLITS if not count[name]]
    few = [name for name in SPLITS if 0 < count[name] < 5]
    said = ", ".join(f"{number} {name}" for name, number in count.items())
    level = "ERROR" if "train" in empty or "validation" in empty else "WARNING" if empty or few else "OK"
    remedy = f"{', '.join(empty + few)}: give more fires or other shares in `split`" if level != "OK" else ""
    return Finding(level, "fires a split", said, remedy, dict(count))
