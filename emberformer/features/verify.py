"""Verification of a feature store: every record read back against its checksum, and what is damaged thrown out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from emberformer.errors import InputError
from emberformer.features.begun import read_encoding, read_identity
from emberformer.features.block import Block, write_error
from emberformer.features.location import CHECKSUMS, damaged_files, is_remote, sizes
from emberformer.features.plan import CATALOGUE, PLAN, Plan, forget, plan_folder, read_plan, write_plan
from emberformer.features.shape import AXES, ArrayShape, Axis, StoreShape, block_path
from emberformer.features.store import open_features, read_manifest

log = logging.getLogger(__name__)

NOT_WRITTEN = "missing, or not what was written (SHA-256)"


@dataclass(frozen=True)
class Damage:
    """A file that cannot be trusted.

    Args:
        file: path within the store.
        reason: what is wrong.
        names: the fires (by their terrain or their frames) that it concerns.
        axis: 'frame' or 'terrain', for a block.
        block: number of the block; None: metadata or a coordinate.
    """

    file: str
    reason: str
    names: tuple[str, ...] = ()
    axis: Axis = "frame"
    block: int | None = None


def verify(store: Path, fix: bool = False) -> list[Damage]:
    """Read every record of a store; with `fix` remove damaged files, so that extraction rebuilds them.

    Raises:
        InputError: the folder is no feature store, what says how it was written is damaged, or, with `fix`, the folder
            cannot be written to.
    """
    plan = read_plan(plan_folder(store) / PLAN)
    if not list(plan_folder(store).glob("shard-*.json")):
        raise InputError(
            store, "no finished extraction job", "a store with `.plan/shard-*.json`", "run `snakemake extract_features`"
        )
    shape = StoreShape.of(read_identity(store))
    read_encoding(store)
    found = [Damage(name, NOT_WRITTEN) for name in (*_damaged_tables(store), *_damaged_notes(store))]
    fires = _fires_of_rows(store, plan)
    jobs: list[tuple[Axis, ArrayShape, int]] = [
        (axis, array, n) for axis in AXES for array in shape.arrays(axis) for n in range(plan.axis(axis).blocks)
    ]
    for axis, array, number in tqdm(jobs, desc=store.stem, unit="block", mininterval=1):
        if plan.axis(axis).of_block(number):
            found += _damage_of_block(store, plan, axis, array, number, fires[axis])
    if fix and found:
        try:
            _remove(store, found, plan, shape)
        except OSError as error:
            raise write_error(store, error) from error
    return found


def _damaged_tables(store: Path) -> list[str]:
    return damaged_files(store) if (store / CHECKSUMS).exists() else [CHECKSUMS]


def _damaged_notes(store: Path) -> list[str]:
    """Files of the builder that can be made again."""
    folder = plan_folder(store)
    readers: list[tuple[Path, Callable[[Path], object]]] = [(folder / CATALOGUE, read_plan)]
    readers += [(path, read_manifest) for path in sorted(folder.glob("shard-*.json"))]
    damaged = []
    for path, read in readers:
        try:
            read(path)
        except InputError:
            damaged.append(str(path.relative_to(store)))
    return damaged


def _fires_of_rows(store: Path, plan: Plan) -> dict[Axis, dict[int, str]]:
    """Name of a fire for every row in use; numbers where names are damaged, or of other fires than the plan's."""
    names, of_frame = [f"fire {n}" for n in range(len(plan.terrain_of))], np.zeros(len(plan.frame_of), int)
    with suppress(InputError):
        features = open_features(store)
        if features.attrs["fires_content_digest"] == plan.fires:
            names, of_frame = list(map(str, features.fire_id.values)), features.fire_index.values
    return {
        "frame": {row: names[int(fire)] for row, fire in zip(plan.frame_of, of_frame, strict=True)},
        "terrain": {row: names[fire] for fire, row in enumerate(plan.terrain_of)},
    }


def _damage_of_block(
    store: Path, plan: Plan, axis: Axis, array: ArrayShape, number: int, fires: dict[int, str]
) -> list[Damage]:
    part = plan.axis(axis)
    path = block_path(store, array.name, number)
    file, begin = str(path.relative_to(store)), number * part.block
    wanted = [n for n, content in enumerate(part.of_block(number)) if content]
    try:
        block = Block(path, array.record, array.dtype, part.block)
    except InputError as error:
        names = tuple(dict.fromkeys(fires[begin + n] for n in wanted if begin + n in fires))
        return [Damage(file, error.found, names, axis, number)]
    damaged = block.damaged()
    bad = [n for n in wanted if n >= block.count or n in damaged]
    if array.kind in ("float16", "float32"):
        bad += [
            n for n in wanted if n not in bad and not np.isfinite(block[n].flat[:1] if array.gaps else block[n]).all()
        ]
    if not bad and not damaged:
        return []
    names = tuple(dict.fromkeys(fires[begin + n] for n in sorted(bad) if begin + n in fires))
    return [Damage(file, "checksum, NaN or missing record", names, axis, number)]


def _remove(store: Path, found: list[Damage], plan: Plan, shape: StoreShape) -> None:
    """Throw out damaged blocks, the marks of the jobs that wrote them, and the root: nothing reads the store then."""
    (store / "zarr.json").unlink(missing_ok=True)
    files = {damage.file for damage in found}
    if str((plan_folder(store) / CATALOGUE).relative_to(store)) in files:
        write_plan(plan, store)
    blocks: set[tuple[Axis, int]] = {(d.axis, d.block) for d in found if d.block is not None}
    for axis, block in blocks:
        for array in reversed(shape.arrays(axis)):  # the one that says that the block is finished goes first
            block_path(store, array.name, block).unlink(missing_ok=True)
    for axis in AXES:
        forget(store, axis, {block for of, block in blocks if of == axis})
    for path in plan_folder(store).glob("shard-*.json"):
        manifest = {} if str(path.relative_to(store)) in files else read_manifest(path)
        if not manifest or any(block % manifest["shards"] == manifest["shard"] for _, block in blocks):
            path.unlink()
    log.info("removed %d blocks; run `snakemake extract_features` to rebuild them", len(blocks))


def is_copy(location: Path | str) -> bool:
    """Whether a finished store stands without the notes of its builder."""
    return is_remote(location) or ((Path(location) / "zarr.json").exists() and not plan_folder(Path(location)).exists())


def describe(store: Path | str) -> dict[str, str]:
    """What a store holds, for people.

    Raises:
        InputError: the folder is no finished feature store.
    """
    features = open_features(store)
    size = sum(sizes(store).values())
    told = features.attrs
    frames, unique = features.sizes["observation"], len(np.unique(features.frame_of.values))
    length = f"{told['components']} components of {told['features']}" if told["components"] else str(told["features"])
    facts = {
        "store": str(store),
        "model": told["model"],
        "weights (SHA-256)": told["weights_sha256"][:16],
        "fires": str(features.sizes["fire"]),
        "frames": f"{frames}, {unique} different, in {features.sizes['frame']} rows",
        "terrain windows": f"{features.sizes['terrain']} of {features.sizes['band']} images",
        "patch grid": f"{features.sizes['patch_y']} x {features.sizes['patch_x']}, a patch is "
        f"{told['pixels_per_patch']} x {told['pixels_per_patch']} pixels",
        "token": f"{length} x {told['dtype']}", "precision": f"{told['precision']}, {told['runtime']}",
        "hidden layers": ", ".join(map(str, told["layers"])) or "none beside the last",
        "size": f"{size / 1e6:.1f} MB",
    }  # fmt: skip
    if told["weights"] == "random":
        facts["warning"] = "the backbone is untrained: these features carry nothing of DINOv2's pretraining"
    return facts
