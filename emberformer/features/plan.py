"""The plan: which row of the feature store holds which image, and which job writes it.

Rows are given out by content: equal frames share a row, whatever fire they belong to, and so do equal terrain windows.
A row is given out once and never moved; a new image gets a fresh row in a fresh block. So whatever comes or goes, only
images that the store does not hold yet pass the backbone, and no two jobs ever write one file.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from emberformer.errors import InputError
from emberformer.features.block import write_error
from emberformer.features.sealed import read_sealed, write_sealed
from emberformer.features.shape import AXES, Axis, block_path

BLOCK_RECORDS = {"frame": (16, 512), "terrain": (4, 64)}  # least and most records of a block
BLOCKS_AT_FIRST = 16  # what a new store is cut into, so that several jobs have work
DIGEST = 16  # hexadecimal digits
PLAN, CATALOGUE = "plan.json", "catalogue.json"


@dataclass(frozen=True)
class AxisPlan:
    """Rows along one axis, in blocks of `block` records.

    Args:
        block: rows of a block.
        digests: content of every row that was ever given out; "" where a row holds nothing (any more).
    """

    block: int
    digests: tuple[str, ...]

    @property
    def rows(self) -> int:
        return len(self.digests)

    @property
    def blocks(self) -> int:
        return -(-self.rows // self.block)

    def of_block(self, block: int) -> tuple[str, ...]:
        """Contents of a block's rows, up to the last one that holds something."""
        part = self.digests[block * self.block : (block + 1) * self.block]
        filled = [n for n, content in enumerate(part) if content]
        return part[: filled[-1] + 1] if filled else ()


@dataclass(frozen=True)
class Plan:
    """Rows of frames and of terrain windows, and who uses them.

    Args:
        frame: rows of frames.
        terrain: rows of terrain windows.
        frame_of: row of every frame of the fires store, in its order.
        terrain_of: row of every fire's terrain.
        origin: upper left pixel (y, x) of every fire's window within its raster; (0, 0) where all of it is seen.
        images: what all images are like: size, bands and their kinds.
        fires: content of the fires store, as its digest.
    """

    frame: AxisPlan
    terrain: AxisPlan
    frame_of: tuple[int, ...]
    terrain_of: tuple[int, ...]
    origin: tuple[tuple[int, int], ...]
    images: str
    fires: str

    def axis(self, axis: Axis) -> AxisPlan:
        return self.frame if axis == "frame" else self.terrain


def plan_folder(store: Path) -> Path:
    """Where the builder of a store keeps its own files."""
    return store / ".plan"


def window_origins(fires: xr.Dataset, window: int | None) -> tuple[tuple[int, int], ...]:
    """Upper left pixel of every fire's window: centred on what burns in its first frame, within the raster.

    Only the first frame decides, so that nothing of a fire's future is known from where its window lies; what leaves
    the window is forecast as unburned. A fire without a burned pixel gets the middle of the raster.

    Raises:
        InputError: the window is larger than the raster.
    """
    height, width = fires.sizes["y"], fires.sizes["x"]
    if window is None:
        return ((0, 0),) * fires.sizes["fire"]
    if window > min(height, width):
        raise InputError(
            "features.window", f"{window} pixels", f"at most the raster's {height} x {width}", "choose a smaller window"
        )
    origins = []
    for row in fires.row_start.values:
        burned = np.argwhere(fires.burned[int(row)].values == 1)
        centre = burned.mean(0) if len(burned) else np.array([height, width]) / 2
        corner = np.clip(np.round(centre).astype(int) - window // 2, 0, [height - window, width - window])
        origins.append((int(corner[0]), int(corner[1])))
    return tuple(origins)


def cut(values: np.ndarray, origin: tuple[int, int], window: int | None) -> np.ndarray:
    """The window of rasters [..., H, W]."""
    return values if window is None else values[..., origin[0] : origin[0] + window, origin[1] : origin[1] + window]


def _frame_digests(fires: xr.Dataset, origins: tuple[tuple[int, int], ...], window: int | None) -> Iterator[str]:
    if window is None:
        yield from (str(digest)[:DIGEST] for digest in fires.frame_digest.values)
        return
    for fire, row in zip(fires.fire_index.values, range(fires.sizes["frame"]), strict=True):
        yield _content(cut(fires.burned[row].values, origins[int(fire)], window))


def _terrain_digests(fires: xr.Dataset, origins: tuple[tuple[int, int], ...], window: int | None) -> Iterator[str]:
    own = [str(digest)[:DIGEST] for digest in fires.terrain_digest.values]
    for index, origin in zip(fires.terrain_index.values, origins, strict=True):
        if window is None:
            yield own[int(index)]
        else:  # which terrain and where in it says what is in it
            yield hashlib.sha256(f"{own[int(index)]} {origin} {window}".encode()).hexdigest()[:DIGEST]


def _content(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:DIGEST]


def make_plan(fires: xr.Dataset, store: Path, window: int | None = None) -> Plan:
    """Give rows to whatever the fires store holds and the feature store does not, and write the plan.

    Rows of finished blocks keep their content in the catalogue even when no fire uses them now. Without a catalogue, or
    with one of images of another size or other bands, the store is begun anew.

    Raises:
        InputError: a window larger than the raster, a damaged catalogue, or a folder that cannot be written to.
    """
    catalogue = plan_folder(store) / CATALOGUE
    before = read_plan(catalogue) if catalogue.exists() else None
    images = _images(fires, window)
    if before is None or before.images != images:
        before = None
        _clear(store)
    origins = window_origins(fires, window)
    wanted = {
        "frame": list(_frame_digests(fires, origins, window)),
        "terrain": list(_terrain_digests(fires, origins, window)),
    }
    axes = {axis: _allocate(wanted[axis], _still_there(before, axis, store, set(wanted[axis])), axis) for axis in AXES}
    rows = {axis: {content: row for row, content in enumerate(axes[axis].digests) if content} for axis in AXES}
    plan = Plan(
        **axes,
        frame_of=tuple(rows["frame"][content] for content in wanted["frame"]),
        terrain_of=tuple(rows["terrain"][content] for content in wanted["terrain"]),
        origin=origins,
        images=images,
        fires=fires.attrs["content_digest"],
    )
    write_plan(plan, store)
    return plan


def _clear(store: Path) -> None:
    try:
        if store.exists():
            shutil.rmtree(store)
    except OSError as error:
        raise write_error(store, error) from error


def _images(fires: xr.Dataset, window: int | None) -> str:
    size = window or f"{fires.sizes['y']} x {fires.sizes['x']}"
    return f"{size}: " + ", ".join(f"{b} {k}" for b, k in zip(fires.band.values, fires.band_kind.values, strict=True))


def _still_there(before: Plan | None, axis: Axis, store: Path, wanted: set[str]) -> AxisPlan | None:
    """The rows given out before, without the ones of unfinished blocks that nothing can fill any more."""
    if before is None:
        return None
    part = before.axis(axis)
    finished = {block for block in range(part.blocks) if block_path(store, f"{axis}_patches", block).exists()}
    kept = (
        content if content in wanted or row // part.block in finished else ""
        for row, content in enumerate(part.digests)
    )
    return AxisPlan(part.block, tuple(kept))


def block_records(axis: Axis, rows: int) -> int:
    """Records of a block in a new store of so many rows."""
    block, most = BLOCK_RECORDS[axis]
    while block < most and block * BLOCKS_AT_FIRST < rows:
        block *= 2
    return block


def _allocate(wanted: list[str], before: AxisPlan | None, axis: Axis) -> AxisPlan:
    unique = list(dict.fromkeys(wanted))
    if before is None:
        before = AxisPlan(block_records(axis, len(unique)), ())
    known = set(before.digests)
    fresh = [content for content in unique if content not in known]
    if not fresh:
        return before
    holes = before.blocks * before.block - before.rows  # a block that was given out never gains a row
    return AxisPlan(before.block, (*before.digests, *[""] * holes, *fresh))


def forget(store: Path, axis: Axis, blocks: set[int]) -> None:
    """Strike contents of removed blocks that no fire uses from the plan: nothing could fill their rows again."""
    plan = read_plan(plan_folder(store) / PLAN)
    part = plan.axis(axis)
    used = set(plan.frame_of if axis == "frame" else plan.terrain_of)
    kept = tuple(
        content if row in used or row // part.block not in blocks else "" for row, content in enumerate(part.digests)
    )
    if kept != part.digests:
        write_plan(replace(plan, **{axis: AxisPlan(part.block, kept)}), store)


def write_plan(plan: Plan, store: Path) -> None:
    """Write the plan twice: as the workflow's file, which it may delete, and as the catalogue that stays.

    Raises:
        InputError: the folder cannot be written to.
    """
    content = {
        **{axis: {"block": plan.axis(axis).block, "digests": " ".join(d or "-" for d in plan.axis(axis).digests)}
           for axis in AXES},
        "frame_of": plan.frame_of, "terrain_of": plan.terrain_of, "origin": plan.origin, "images": plan.images,
        "fires": plan.fires,
    }  # fmt: skip
    for name in (CATALOGUE, PLAN):
        write_sealed(plan_folder(store) / name, content)


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        InputError: there is none, it is no plan, or it is damaged.
    """
    remedy = "run `emberformer features plan`"
    if path.name == CATALOGUE:
        remedy = "run `emberformer features verify --fix`, which restores it from the plan, or delete the store"
    content = read_sealed(path, "the plan of a feature store", remedy)
    axes = {
        axis: AxisPlan(content[axis]["block"], tuple("" if d == "-" else d for d in content[axis]["digests"].split()))
        for axis in AXES
    }
    return Plan(
        **axes, frame_of=tuple(content["frame_of"]), terrain_of=tuple(content["terrain_of"]),
        origin=tuple((y, x) for y, x in content["origin"]), images=content["images"], fires=content["fires"],
    )  # fmt: skip


def current_plan(store: Path, fires: xr.Dataset) -> Plan:
    """The plan of a store, made from the fires as they are now.

    Raises:
        InputError: there is no plan, it is damaged, or the fires have changed since it was made.
    """
    plan = read_plan(plan_folder(store) / PLAN)
    if plan.fires != fires.attrs["content_digest"]:
        raise InputError(
            plan_folder(store) / PLAN, "a plan of other fires than the fires store holds now", "one of these",
            "run `emberformer features plan`, then extract",
        )  # fmt: skip
    return plan


def first_uses(plan: Plan, axis: Axis) -> dict[int, int]:
    """For each row in use, the first frame (or fire) of the fires store that shows its content."""
    first: dict[int, int] = {}
    for place, row in enumerate(plan.frame_of if axis == "frame" else plan.terrain_of):
        first.setdefault(row, place)
    return first
