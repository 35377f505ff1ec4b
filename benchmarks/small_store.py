"""A small feature store to break: how it is made stage by stage, what is in it, and what training reads from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.made_fires import NAME, make_fires
from emberformer.data.fires import open_fires
from emberformer.data.normalise import TerrainNormaliser
from emberformer.dataset import FireSteps, Step
from emberformer.features.extraction import extract
from emberformer.features.plan import PLAN, Plan, make_plan, plan_folder, read_plan
from emberformer.features.shape import AXES, Axis, block_path
from emberformer.features.store import open_features, write_index
from emberformer.features.verify import verify
from emberformer.landscape import Landscape
from emberformer.settings import FeatureSettings

SHARDS = 2
KINDS = ("_patches", "_cls", "_scale", "_layers", "_prefix", "_burned", "_mean")
BATCH_TOKENS = 50  # a few batches a block
# What EmberFormer takes of cached features, by default
CACHED_INPUTS = (
    "frame_patches", "terrain_patches", "wind", "valid_t", "fire_pixels", "terrain_pixels", "categories", "resolution",
)  # fmt: skip
FEATURES = {"architecture": "dinov2-tiny", "precision": "float32", "dtype": "int8", "layers": [2, 4]}


@dataclass(frozen=True)
class SmallStore:
    """A feature store and what it is made from.

    Args:
        store: the feature store.
        fires: the fires store.
        features: settings of the features.
    """

    store: Path
    fires: Path
    features: FeatureSettings

    def at(self, folder: Path) -> SmallStore:
        """The same store elsewhere."""
        return replace(self, store=folder / self.store.name)

    def plan(self) -> None:
        make_plan(open_fires(self.fires), self.store, self.features.window)

    def extract(self, shard: int) -> None:
        extract(self.store, open_fires(self.fires), self.features, shard, SHARDS, BATCH_TOKENS, "cpu")

    def index(self) -> None:
        write_index(self.store, open_fires(self.fires))

    def make(self) -> None:
        """All stages, as the workflow runs them."""
        self.plan()
        for shard in range(SHARDS):
            self.extract(shard)
        self.index()

    def fix(self) -> None:
        verify(self.store, fix=True)


def make_small_store(folder: Path, fires: int = 5) -> SmallStore:
    """Simulate fires and extract them: two blocks or more of frames and of terrain, and every kind of array."""
    settings, layout = make_fires(folder, fires, 56, features=FEATURES)
    small = SmallStore(layout.features(NAME), layout.fires(NAME), settings.features)
    small.make()
    return small


def contents(store: Path) -> dict[str, bytes]:
    """Every file that readers see."""
    files = [path for path in sorted(store.rglob("*")) if path.is_file()]
    names = {str(path.relative_to(store)): path for path in files}
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith(".plan/")}


def is_block(name: str) -> bool:
    """Whether a file holds features, and not metadata or a coordinate.

    >>> is_block("frame_cls/c/0/0"), is_block("frame_valid/c/0/0"), is_block("frame_cls/zarr.json")
    (True, False, False)
    """
    array, *rest = name.split("/")
    return array.startswith(AXES) and array.endswith(KINDS) and rest[0] == "c"


def finished_blocks(store: Path, plan: Plan) -> Iterator[tuple[Axis, int]]:
    """Blocks whose last array is there."""
    for axis in AXES:
        for block in range(plan.axis(axis).blocks):
            if block_path(store, f"{axis}_patches", block).exists():
                yield axis, block


def files_of_blocks(store: Path, blocks: set[tuple[Axis, int]]) -> dict[str, tuple[int, int]]:
    """Files of blocks, each with what changes when it is written again: inode and time of change."""
    found = {}
    for axis, block in blocks:
        for path in store.glob(f"{axis}_*/c/{block}/**/*"):
            if path.is_file() and is_block(str(path.relative_to(store))):
                found[str(path.relative_to(store))] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def rows_left(store: Path) -> int:
    """Rows of frames whose blocks are not finished."""
    plan = read_plan(plan_folder(store) / PLAN)
    finished = {block for axis, block in finished_blocks(store, plan) if axis == "frame"}
    part = plan.frame
    return sum(len(part.of_block(block)) for block in range(part.blocks) if block not in finished)


class TrainingRead:
    """What training reads of a store: every step with its whole history, every terrain window.

    Args:
        small: the store; only its fires are opened here.
    """

    def __init__(self, small: SmallStore):
        fires = open_fires(small.fires)
        self.fires = small.fires
        self.normaliser = TerrainNormaliser.fit([(fires, list(range(fires.sizes["terrain"])))])
        self.channels = list(map(str, open_features(small.store).band.values))
        self.steps = [Step(0, fire, step) for fire, size in enumerate(fires.row_size.values) for step in range(size)]

    def digest(self, store: Path) -> str:
        """SHA-256 of all batches.

        Raises:
            InputError: the store is refused.
        """
        landscape = Landscape("small", self.fires, store, self.normaliser, self.channels)
        items = FireSteps([landscape], self.steps, history=3, inputs=CACHED_INPUTS)
        total = hashlib.sha256()
        for start in range(0, len(items), 16):
            batch = items.__getitems__(list(range(start, min(start + 16, len(items)))))
            for key in sorted(batch):
                total.update(f"{key} {tuple(batch[key].shape)}".encode())
                total.update(batch[key].numpy().tobytes())
        return total.hexdigest()
