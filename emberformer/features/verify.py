"""Verification of a feature store: every record read back against its checksum, and what is damaged thrown out."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from emberformer.errors import InputError
from emberformer.features.block import Block
from emberformer.features.plan import AXES, Axis, plan_folder, read_plan
from emberformer.features.store import StoreShape, block_path, open_features, shard_manifests

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Damage:
    """A block that cannot be trusted: its array, its number, what is wrong, and the fires or terrain windows in it."""

    array: str
    block: int
    reason: str
    names: tuple[str, ...]


def verify(store: Path, fix: bool = False) -> list[Damage]:
    """Read every record of a store; with `fix` remove damaged blocks, so that extraction rebuilds them.

    Raises:
        InputError: the folder is no feature store.
    """
    plan = read_plan(plan_folder(store) / "plan.json")
    manifests = shard_manifests(store)
    if not manifests:
        raise InputError(
            store, "no finished extraction job", "a store with `.plan/shard-*.json`", "run `snakemake extract_features`"
        )
    identity = manifests[0]["identity"]
    shape = StoreShape(tuple(identity["grid"]), len(identity["channels"]), identity["features"], identity["dtype"])
    found = []
    jobs: list[tuple[Axis, str, int]] = [
        (axis, array, n) for axis in AXES for array in shape.arrays(axis) for n in range(plan.axis(axis).blocks)
    ]
    for axis, array, number in tqdm(jobs, desc=store.stem, unit="block", mininterval=1):
        part = plan.axis(axis)
        if not part.records(number):
            continue
        begin, end = number * part.block, (number + 1) * part.block
        entries = [e for e in part.entries if e.row < end and e.row + e.size > begin]
        try:
            block = Block(block_path(store, array, number), shape.record(array), shape.dtype, part.block)
        except InputError as error:
            found.append(Damage(array, number, error.found, tuple(e.name for e in entries)))
            continue
        bad = set(block.damaged()) | {n for n in range(block.records) if not np.isfinite(block[n]).all()}
        rows = {e.name: range(max(e.row, begin) - begin, min(e.row + e.size, end) - begin) for e in entries}
        names = tuple(name for name, of in rows.items() if bad.intersection(of) or of.stop > block.records)
        if names:
            found.append(Damage(array, number, "checksum, NaN or missing record", names))
    if fix and found:
        _remove(store, found, shape)
    return found


def _remove(store: Path, found: list[Damage], shape: StoreShape) -> None:
    """Throw out damaged blocks, the marks of the jobs that wrote them, and the root: nothing reads the store then."""
    (store / "zarr.json").unlink(missing_ok=True)
    for damage in found:
        block_path(store, damage.array, damage.block).unlink(missing_ok=True)
    for path in plan_folder(store).glob("shard-*.json"):
        manifest = json.loads(path.read_text())
        if any(damage.block % manifest["shards"] == manifest["shard"] for damage in found):
            path.unlink()
    log.info("removed %d blocks; run `snakemake extract_features` to rebuild them", len(found))


def describe(store: Path) -> dict[str, str]:
    """What a store holds, for people.

    Raises:
        InputError: the folder is no finished feature store.
    """
    features = open_features(store)
    size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    used = int((features.fire_index.values >= 0).sum())
    facts = {
        "store": str(store),
        "model": features.attrs["model"],
        "weights (SHA-256)": features.attrs["weights_sha256"][:16],
        "fires": str(features.sizes["fire"]), "frames": f"{used} in {features.sizes['frame']} rows",
        "terrain windows": f"{features.sizes['terrain']} of {features.sizes['band']} images",
        "patch grid": f"{features.sizes['patch_y']} x {features.sizes['patch_x']}, a patch is "
        f"{features.attrs['pixels_per_patch']} x {features.attrs['pixels_per_patch']} pixels",
        "feature": f"{features.sizes['feature']} x {features.attrs['dtype']}", "precision": features.attrs["precision"],
        "size": f"{size / 1e6:.1f} MB",
    }  # fmt: skip
    if features.attrs["weights"] == "random":
        facts["warning"] = "the backbone is untrained: these features carry nothing of DINOv2's pretraining"
    return facts
