"""Extraction: one job runs the frozen backbone over its blocks of frames and terrain windows."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from tqdm import tqdm

from emberformer.features.backbone import Backbone, load_backbone
from emberformer.features.block import BlockWriter
from emberformer.features.plan import AXES, Axis, Plan, plan_folder, read_plan, record_sources
from emberformer.features.rendering import (
    dino_input,
    patch_grid,
    pixels_per_patch,
    render_frame,
    render_terrain,
    terrain_channels,
)
from emberformer.features.store import StoreShape, block_path
from emberformer.layout import STORE_SCHEMA
from emberformer.settings import FeatureSettings

log = logging.getLogger(__name__)


def choose_device(device: str) -> torch.device:
    """'auto' is the GPU where there is one, else the CPU (which is said in the log)."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
        log.info("device: %s", device)
    return torch.device(device)


def store_identity(settings: FeatureSettings, backbone: Backbone, fires: xr.Dataset) -> dict:
    """What the store says of itself; the same for all jobs of a store."""
    pixels = pixels_per_patch(backbone.patch_size, settings.scale)
    return {
        "model": backbone.name,
        "weights": settings.weights,
        "weights_sha256": backbone.weights_sha256,
        "weights_licence": "none (untrained)" if settings.weights == "random" else "see the model card",
        "rendering": "one grey image a band, ImageNet normalisation; emberformer.features.rendering",
        "store_schema": STORE_SCHEMA,
        "scale": settings.scale,
        "precision": settings.precision,
        "dtype": settings.dtype,
        "patch_size": backbone.patch_size,
        "pixels_per_patch": pixels,
        "grid": list(patch_grid(fires.sizes["y"], fires.sizes["x"], pixels)),
        "features": backbone.features,
        "channels": terrain_channels(list(map(str, fires.band.values)), list(map(str, fires.band_kind.values))),
    }


def extract(
    store: Path,
    fires: xr.Dataset,
    settings: FeatureSettings,
    shard: int,
    shards: int,
    batch_size: int = 8,
    device: str = "auto",
) -> None:
    """Write the blocks that are this job's and not there yet, and a manifest of what was done.

    Block b belongs to job `b mod shards`. The backbone is loaded once. A killed job goes on after the last whole
    batch of its unfinished block.

    Raises:
        InputError: no plan, or a backbone that cannot be had.
        OverflowError: a feature does not fit into the store's type.
    """
    plan = read_plan(plan_folder(store) / "plan.json")
    backbone = load_backbone(settings)
    where = choose_device(device)
    backbone.model.to(where)
    identity = store_identity(settings, backbone, fires)
    shape = StoreShape(tuple(identity["grid"]), len(identity["channels"]), backbone.features, settings.dtype)
    encoded = {}
    for axis in AXES:
        size = batch_size if axis == "frame" else 1  # a terrain window is a batch by itself: one image a channel
        todo = _open_writers(store, plan, axis, shape, shard, shards, size)
        encoded[axis] = sum(plan.axis(axis).records(block) - pair[0].records for block, pair in todo)
        with tqdm(
            total=encoded[axis], desc=f"{store.stem} {axis} {shard + 1}/{shards}", unit=axis, mininterval=1
        ) as bar:
            for block, writers in todo:
                sources = record_sources(plan, axis, fires, block)
                for batch in _batches(sources, writers[0].records, size):
                    tokens = _encode(axis, fires, batch, backbone, settings, where)
                    for writer, values in zip(writers, tokens, strict=True):
                        for record in _checked(values, settings.dtype, store):
                            writer.append(record)
                    bar.update(len(batch))
                for writer in writers:
                    writer.finish()
    log.info("encoded %d frames and %d terrain windows", encoded["frame"], encoded["terrain"])
    manifest = {
        "identity": identity,
        "software": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "shard": shard,
        "shards": shards,
        **{f"encoded_{a}": n for a, n in encoded.items()},
    }
    partial = plan_folder(store) / f"shard-{shard}.partial"
    partial.write_text(json.dumps(manifest, indent=1))
    os.replace(partial, partial.with_suffix(".json"))


def _open_writers(store: Path, plan: Plan, axis: Axis, shape: StoreShape, shard: int, shards: int, batch: int):
    """Writers (patches, CLS) of every unfinished block of this job, in step with each other and on a batch's edge."""
    part = plan.axis(axis)
    todo = []
    for block in range(shard, part.blocks, shards):
        paths = [block_path(store, array, block) for array in shape.arrays(axis)]
        if not part.records(block) or all(path.exists() for path in paths):
            continue
        writers = [
            BlockWriter(
                path, plan_folder(store) / "partial" / f"{array}-{block}", shape.record(array), shape.dtype, part.block
            )
            for array, path in zip(shape.arrays(axis), paths, strict=True)
        ]
        whole = min(w.records for w in writers)
        keep = min(whole - whole % batch if whole < part.records(block) else whole, part.records(block))
        for writer in writers:
            writer.keep(keep)
        todo.append((block, writers))
    return todo


def _batches(sources: list[int | None], begin: int, size: int) -> Iterator[list[int | None]]:
    for start in range(begin, len(sources), size):
        yield sources[start : start + size]


def _encode(
    axis: Axis,
    fires: xr.Dataset,
    sources: list[int | None],
    backbone: Backbone,
    settings: FeatureSettings,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Patches and CLS of some records; NaN where a record's source is gone."""
    present = [s for s in sources if s is not None]
    if axis == "terrain":
        kinds = list(map(str, fires.band_kind.values))
        grey = render_terrain(fires.terrain[present[0] if present else 0].values, kinds)
    else:
        grey = render_frame(np.stack([fires.burned[s].values for s in present or [0]]))
    with torch.inference_mode():
        image = dino_input(torch.from_numpy(grey).to(device), backbone.patch_size, settings.scale)
        cls, patches = backbone.encode(image, settings.precision)
    results = []
    for tokens in (patches.cpu().numpy(), cls.cpu().numpy()):
        values = tokens if axis == "frame" else tokens[None]
        records = np.full((len(sources), *values.shape[1:]), np.nan, np.float32)
        if present:
            records[[s is not None for s in sources]] = values
        results.append(records)
    return results[0], results[1]


def _checked(values: np.ndarray, dtype: str, store: Path) -> np.ndarray:
    largest = np.max(np.abs(values), initial=0, where=np.isfinite(values))
    if largest > np.finfo(dtype).max:
        raise OverflowError(
            f"{store}: a feature of {largest:.3g} does not fit into {dtype}; set `features.dtype: float32`"
        )
    return values.astype(dtype)
