"""The plan: which row of the feature store holds which frame, and which job writes it.

Rows are given out once and never moved. A new or edited fire gets fresh rows in a fresh block; the rows of a
removed fire stay where they are, unnamed. So whatever comes or goes, only the fire that changed is extracted,
and no two jobs ever write one file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import xarray as xr

from emberformer.errors import InputError

Axis = Literal["frame", "terrain"]
AXES: tuple[Axis, ...] = ("frame", "terrain")
BLOCK_RECORDS = {"frame": (16, 512), "terrain": (4, 32)}  # least and most records of a block
BLOCKS_AT_FIRST = 16  # what a new store is cut into, so that several jobs have work


@dataclass(frozen=True)
class Entry:
    """Consecutive rows: all frames of one fire, or one terrain window."""

    name: str
    digest: str
    row: int
    size: int


@dataclass(frozen=True)
class AxisPlan:
    """Rows along one axis, in blocks of `block` records; `rows` counts the ones given out, holes included."""

    block: int
    rows: int
    entries: tuple[Entry, ...]

    @property
    def blocks(self) -> int:
        return -(-self.rows // self.block)

    def records(self, block: int) -> int:
        """Rows given out in a block, from its first one on."""
        last = max(
            (min(e.row + e.size, (block + 1) * self.block) for e in self.entries if e.row < (block + 1) * self.block),
            default=0,
        )
        return max(0, last - block * self.block)


@dataclass(frozen=True)
class Plan:
    """Rows of frames and of terrain windows."""

    frame: AxisPlan
    terrain: AxisPlan

    def axis(self, axis: Axis) -> AxisPlan:
        return self.frame if axis == "frame" else self.terrain


def plan_folder(store: Path) -> Path:
    """Where the builder of a store keeps its own files."""
    return store / ".plan"


def wanted_entries(fires: xr.Dataset) -> dict[Axis, list[tuple[str, str, int]]]:
    """Name, content hash and number of rows of everything the fires store wants features of."""
    frame_digest = fires.frame_digest.values
    frames = []
    for name, start, size in zip(fires.fire_id.values, fires.row_start.values, fires.row_size.values, strict=True):
        content = hashlib.sha256("".join(frame_digest[start : start + size]).encode()).hexdigest()[:16]
        frames.append((str(name), content, int(size)))
    return {"frame": frames, "terrain": [(str(d), str(d), 1) for d in fires.terrain_digest.values]}


def make_plan(fires: xr.Dataset, store: Path) -> Plan:
    """Give rows to whatever the fires store holds and the catalogue of the feature store does not, and write the plan.

    Without a catalogue the store is begun anew: blocks of unknown content are removed.
    """
    folder = plan_folder(store)
    catalogue = folder / "catalogue.json"
    before = read_plan(catalogue) if catalogue.exists() else None
    if before is None:
        shutil.rmtree(store, ignore_errors=True)
    wanted = wanted_entries(fires)
    axes = {axis: _allocate(wanted[axis], before.axis(axis) if before else None, axis) for axis in AXES}
    plan = Plan(**axes)
    folder.mkdir(parents=True, exist_ok=True)
    _write(plan, catalogue)
    _write(plan, folder / "plan.json")
    return plan


def _allocate(wanted: list[tuple[str, str, int]], before: AxisPlan | None, axis: Axis) -> AxisPlan:
    least, most = BLOCK_RECORDS[axis]
    total = sum(size for _, _, size in wanted)
    if before is None:
        block = least
        while block < most and block * BLOCKS_AT_FIRST < total:
            block *= 2
        before = AxisPlan(block, 0, ())
    known = {(entry.name, entry.digest): entry for entry in before.entries}
    rows = before.blocks * before.block  # a finished block never gains a row
    entries = []
    for name, content, size in wanted:
        entry = known.get((name, content))
        if entry is None:
            entry = Entry(name, content, rows, size)
            rows += size
        entries.append(entry)
    return AxisPlan(before.block, max([before.rows, *(e.row + e.size for e in entries)]), tuple(entries))


def _write(plan: Plan, path: Path) -> None:
    content = {
        axis: {
            "block": plan.axis(axis).block,
            "rows": plan.axis(axis).rows,
            "entries": [[e.name, e.digest, e.row, e.size] for e in plan.axis(axis).entries],
        }
        for axis in AXES
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content))
    os.replace(partial, path)


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        InputError: there is none, or it is no plan.
    """
    try:
        content = json.loads(path.read_text())
        return Plan(
            **{a: AxisPlan(v["block"], v["rows"], tuple(Entry(*e) for e in v["entries"])) for a, v in content.items()}
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, str(error), "the plan of a feature store", "run `emberformer features plan`") from error


def record_sources(plan: Plan, axis: Axis, fires: xr.Dataset, block: int) -> list[int | None]:
    """For each record of a block the row (or terrain) of the fires store that it renders; None where it is gone."""
    part = plan.axis(axis)
    first = block * part.block
    sources: list[int | None] = [None] * part.records(block)
    if axis == "frame":
        start = dict(zip(map(str, fires.fire_id.values), map(int, fires.row_start.values), strict=True))
    else:
        start = {str(d): n for n, d in enumerate(fires.terrain_digest.values)}
    for entry in part.entries:
        for offset in range(max(0, first - entry.row), min(entry.size, first + len(sources) - entry.row)):
            sources[entry.row + offset - first] = start[entry.name] + offset
    return sources
