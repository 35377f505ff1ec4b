"""Extraction: one job runs the frozen backbone over its blocks; reading, encoding and writing overlap.

One thread reads and renders the next images, the calling thread keeps the model busy, and one thread encodes and
writes what came out, so that the model never waits for a disk.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from tqdm import tqdm

from emberformer.ahead import ahead
from emberformer.features.backbone import Backbone, Tokens
from emberformer.features.begun import BegunStore, begin_store
from emberformer.features.block import BlockWriter
from emberformer.features.images import Batch, ImageSource
from emberformer.features.plan import AXES, Plan, current_plan, plan_folder
from emberformer.features.rendering import dino_input, pixels_per_patch
from emberformer.features.sealed import write_sealed
from emberformer.features.shape import Axis, StoreShape, block_path, plain_type
from emberformer.settings import FeatureSettings

log = logging.getLogger(__name__)

# Tokens that pass the backbone together. On a CPU more than this leaves the cache of the processor (measured with
# dinov2-small: batches of 4 to 8 frames of 257 tokens are fastest); a GPU needs many to be busy.
BATCH_TOKENS = {"cpu": 2048, "cuda": 131072}
DEPTH = 2  # batches that are read ahead, and batches that wait to be written


def choose_device(device: str) -> torch.device:
    """'auto' is the GPU where there is one, else the CPU (which is said in the log)."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
        log.info("device: %s", device)
    return torch.device(device)


def extract(
    store: Path,
    fires: xr.Dataset,
    settings: FeatureSettings,
    shard: int,
    shards: int,
    batch_tokens: int = 0,
    device: str = "auto",
    compile: bool = False,
) -> None:
    """Write the blocks that are this job's and not there yet, and a manifest of what was done.

    Block b belongs to job `b mod shards`. The backbone is loaded once, and only if there is something to encode. A
    killed job goes on after the last whole batch of its unfinished blocks.

    Args:
        store: the feature store; it has a plan.
        fires: the fires store that the plan was made from.
        settings: what decides the numbers.
        shard: number of this job, from 0.
        shards: number of jobs.
        batch_tokens: tokens that pass the backbone together; 0: what suits the device.
        device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
        compile: compile the backbone (worth it on a GPU).

    Raises:
        InputError: no plan of these fires, a backbone that cannot be had, a feature that does not fit into the store's
            type, a full disk, or a store that was begun with other weights.
    """
    plan = current_plan(store, fires)
    todo = {axis: unfinished_blocks(store, plan, axis, shard, shards) for axis in AXES}
    encoded = dict.fromkeys(AXES, 0)
    if any(todo.values()):
        begun = begin_store(store, fires, settings, choose_device(device), compile)
        tokens = batch_tokens or BATCH_TOKENS[begun.backbone.device.type]
        for axis in AXES:
            encoded[axis] = extract_axis(
                begun, store, fires, plan, axis, todo[axis], tokens, f"{store.stem} {axis} {shard + 1}/{shards}"
            )
    log.info("encoded %d frames and %d terrain windows", encoded["frame"], encoded["terrain"])
    _write_manifest(store, shard, shards, encoded)


def unfinished_blocks(store: Path, plan: Plan, axis: Axis, shard: int, shards: int) -> list[int]:
    """Blocks of a job that hold something and are not there yet."""
    part = plan.axis(axis)
    return [
        block
        for block in range(shard, part.blocks, shards)
        if part.of_block(block) and not block_path(store, f"{axis}_patches", block).exists()
    ]


def images_at_once(tokens: int, grid: tuple[int, int], prefix: int) -> int:
    """Images that pass the backbone together, of so many tokens in all; one at least."""
    return max(1, tokens // (grid[0] * grid[1] + prefix))


def even_share(records: int, most: int) -> int:
    """Records of each batch of a block, as equal as can be: the rest after full batches could be a single one.

    >>> even_share(512, 510), even_share(512, 7), even_share(3, 8)
    (256, 7, 3)
    """
    return -(-records // -(-records // most))


def extract_axis(
    begun: BegunStore, store: Path, fires: xr.Dataset, plan: Plan, axis: Axis, blocks: list[int], tokens: int, name: str
) -> int:
    """Encode the unfinished blocks of one axis; returns how many records were encoded."""
    shape, encoded = begun.shape, 0
    pixels = pixels_per_patch(begun.backbone.patch_size, begun.scale)
    images = images_at_once(tokens, shape.grid, shape.prefix)
    size = even_share(plan.axis(axis).block, images if axis == "frame" else max(1, images // shape.images))
    source = ImageSource(fires, plan, axis, begun.window, pixels, begun.channels)
    total = sum(len(plan.axis(axis).of_block(block)) for block in blocks)
    waiting: deque[Future] = deque()
    with (
        tqdm(total=total, desc=name, unit=axis, mininterval=1) as bar,
        ExitStack() as opened,
        ThreadPoolExecutor(1, thread_name_prefix="write") as pool,
        closing(ahead(_jobs(store, shape, plan, axis, blocks, source, size, opened), DEPTH)) as batches,
    ):
        for batch in batches:
            seen = forward(batch.images, begun.backbone, begun.scale, images)
            waiting.append(pool.submit(_write, batch, seen, begun, axis))
            if len(waiting) > DEPTH:
                waiting.popleft().result()
            encoded += len(batch.present)
            bar.update(len(batch.present) + batch.found)
        while waiting:
            waiting.popleft().result()
    return encoded


def _open_writers(
    store: Path, shape: StoreShape, plan: Plan, axis: Axis, block: int, size: int
) -> dict[str, BlockWriter]:
    """Writers of all arrays of a block, in step with each other and on a batch's edge."""
    part = plan.axis(axis)
    writers = {
        array.name: BlockWriter(
            block_path(store, array.name, block), plan_folder(store) / "partial" / f"{array.name}-{block}",
            array.record, array.dtype, part.block,
        )
        for array in shape.arrays(axis)
    }  # fmt: skip
    whole, all_of_it = min(writer.records for writer in writers.values()), len(part.of_block(block))
    keep = all_of_it if whole >= all_of_it else whole - whole % size
    for writer in writers.values():
        writer.keep(keep)
    return writers


def _jobs(
    store: Path,
    shape: StoreShape,
    plan: Plan,
    axis: Axis,
    blocks: list[int],
    source: ImageSource,
    size: int,
    opened: ExitStack,
) -> Iterator[Callable[[], Batch]]:
    """What the reading thread does, batch after batch; a block that only wants its index is a batch without records."""
    part = plan.axis(axis)
    for block in blocks:
        writers = _open_writers(store, shape, plan, axis, block, size)
        for writer in writers.values():
            opened.callback(writer.close)
        found, end = next(iter(writers.values())).records, len(part.of_block(block))
        for start in range(found, end, size) if found < end else [end]:
            rows = range(block * part.block + start, block * part.block + min(start + size, end))
            yield partial(source.batch, writers, rows, start + size >= end, found if start == found else 0)


def forward(images: Tensor, backbone: Backbone, scale: float, at_once: int) -> Tokens | None:
    """Tokens of some images, on the backbone's device; None where there is no image."""
    if not len(images):
        return None
    with torch.inference_mode():
        parts = [
            backbone.encode(dino_input(part.to(backbone.device, non_blocking=True), backbone.patch_size, scale))
            for part in images.split(at_once)
        ]
        return parts[0] if len(parts) == 1 else Tokens(*map(torch.cat, zip(*map(_fields, parts), strict=True)))


def _fields(tokens: Tokens) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return tokens.patches, tokens.cls, tokens.layers, tokens.layers_prefix


@torch.inference_mode()
def stored(tokens: Tokens, begun: BegunStore, axis: Axis) -> dict[str, np.ndarray]:
    """Arrays of some records as they are written.

    Raises:
        InputError: a value that is no number or does not fit into the store's type.
    """
    shape = begun.shape
    plain = getattr(torch, plain_type(shape.dtype))
    arrays = {f"{axis}_cls": tokens.cls.to(plain)}
    if axis == "frame" and shape.layers:
        arrays |= {"frame_layers": tokens.layers.to(plain), "frame_prefix": tokens.layers_prefix.to(plain)}
    arrays |= {f"{axis}_{name}": values for name, values in begun.encoding.encode(tokens.patches, axis).items()}
    finite = torch.stack([torch.isfinite(v).all() for v in arrays.values() if v.is_floating_point()]).all()
    begun.encoding.refuse_unless(bool(finite))
    if axis == "terrain":
        arrays = {name: values.unflatten(0, (-1, shape.images)) for name, values in arrays.items()}
    return {name: to_array(values) for name, values in arrays.items()}


def _write(batch: Batch, tokens: Tokens | None, begun: BegunStore, axis: Axis) -> None:
    """Append the records of a batch to all arrays of its block, and finish the block with its last ones."""
    arrays, fill = {} if tokens is None else {**batch.means, **stored(tokens, begun, axis)}, begun.fill
    for name, writer in batch.writers.items():
        if not len(batch.present):
            continue
        if batch.present.all():
            writer.append(arrays[name])
            continue
        records = np.full((len(batch.present), *writer.shape), fill[name], writer.dtype)
        if batch.present.any():
            records[batch.present] = arrays[name]
        writer.append(records)
    if batch.last:
        for writer in batch.writers.values():
            writer.finish()


def to_array(values: Tensor) -> np.ndarray:
    """A tensor as the array that is written; bfloat16 as its bits."""
    values = values.cpu()
    return (values.view(torch.uint16) if values.dtype == torch.bfloat16 else values).numpy()


def _write_manifest(store: Path, shard: int, shards: int, encoded: dict[Axis, int]) -> None:
    manifest = {
        "shard": shard,
        "shards": shards,
        "software": {name: version(name) for name in ("torch", "transformers", "numpy")},
        **{f"encoded_{axis}": number for axis, number in encoded.items()},
    }
    write_sealed(plan_folder(store) / f"shard-{shard}.json", manifest)
