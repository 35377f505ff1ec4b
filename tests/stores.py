"""Small stores for tests: a tiny data set ingested, split and extracted with a tiny random backbone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import yaml

from emberformer.data.fires import open_fires
from emberformer.data.reading import ingest
from emberformer.data.split import make_split, write_split
from emberformer.features.extraction import extract
from emberformer.features.location import write_files
from emberformer.features.plan import make_plan
from emberformer.features.store import write_index
from emberformer.layout import Layout
from emberformer.settings import Settings
from tests.tiny import write_tiny_dataset

MODEL = {
    "d_model": 16, "history": 3, "layers": 1, "heads": 2, "feedforward": 32, "d_wind": 8,
    "decoder_channels": 16, "refinement_channels": 8, "dropout": 0.0,
}  # fmt: skip
TRAINING = {"epochs": 2, "batch_size": 4, "crop": None}
ENSEMBLE = {
    "leads": 2, "side": 7, "d_model": 16, "depth": 2, "heads": 2, "refinement_channels": 4, "epochs": 2, "members": 3,
    "steps": 2, "alignment": 0.5, "batch_size": 4,
}  # fmt: skip
MADE: dict[str, dict[str, bytes]] = {}  # what decides stores -> their files, relative to the data set's folder


def tiny_experiment(
    folder: Path, windows: dict[str, tuple[int, int]] | None = None, **changes
) -> tuple[Settings, Layout]:
    """Settings of one experiment on tiny data sets written under the folder; a window size a data set."""
    datasets = {}
    for number, (name, window) in enumerate((windows or {"tiny": (28, 42)}).items()):
        source = write_tiny_dataset(
            folder / "raw" / name, window=window, landscape=(window[0] + 20, window[1] + 18), seed=number
        )
        datasets[name] = source.model_dump(mode="json")
    content = {
        "name": "experiment", "results": str(folder / "results"), "datasets": datasets,
        "split": {"train": 0.5, "validation": 0.2, "test": 0.3},
        "features": {"weights": "random", "architecture": "dinov2-tiny", "precision": "float32"},
        "model": MODEL, "training": TRAINING, "logging": {"wandb": "disabled"},
    }  # fmt: skip
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(content.get(key), dict) else value
    settings = Settings.model_validate(content)
    return settings, Layout(settings)


def ingest_all(settings: Settings, layout: Layout) -> None:
    for name, source in settings.datasets.items():
        ingest(name, source, layout.fires(name))


def extract_all(settings: Settings, layout: Layout, shards: int = 2, batch_tokens: int = 28) -> None:
    for name in settings.datasets:
        store, fires = layout.features(name), open_fires(layout.fires(name))
        make_plan(fires, store, settings.features.window)
        for shard in range(shards):
            extract(store, fires, settings.features, shard, shards, batch_tokens, "cpu")
        write_index(store, fires)


def make_stores(settings: Settings, layout: Layout) -> None:
    """Ingest and extract all data sets; if this process made the same before, its files are written again instead."""
    for name, source in settings.datasets.items():
        folder, one = layout.root / name, settings.model_copy(update={"datasets": {name: source}})
        assert not folder.exists(), f"{folder} holds other stores"
        raw = {file: sha256(data).hexdigest() for file, data in files_of(layout.raw(name)).items()}
        key = json.dumps([name, layout.features(name).name, source.model_dump(mode="json") | {"root": None}, raw])
        if key in MADE:
            write_files(folder, MADE[key])
        else:
            ingest_all(one, layout)
            extract_all(one, layout)
            MADE[key] = files_of(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def prepare(settings: Settings, layout: Layout) -> None:
    """Everything that training needs."""
    make_stores(settings, layout)
    write_split(layout.split, make_split({n: open_fires(layout.fires(n)) for n in settings.datasets}, settings.split))


@contextmanager
def leaking(layout: Layout) -> Iterator[None]:
    """The split as one that was made under `leakage: report`, with a leak."""
    whole = layout.split.read_text()
    layout.split.write_text(json.dumps(json.loads(whole) | {"leaks": ["tiny/1 and tiny/2 burn alike"]}))
    try:
        yield
    finally:
        layout.split.write_text(whole)


def save_settings(settings: Settings, path: Path) -> Path:
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
    return path
