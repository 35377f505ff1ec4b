"""Simulated fires for the benchmarks, ingested and split: the demo's valley at other sizes."""

from __future__ import annotations

from pathlib import Path

import xarray as xr
import yaml

from emberformer.data.fires import open_fires
from emberformer.data.reading import ingest
from emberformer.data.simulate import simulate_dataset
from emberformer.data.split import make_split, write_split
from emberformer.data_settings import DeepCrownSettings
from emberformer.features.extraction import extract
from emberformer.features.plan import make_plan
from emberformer.features.store import write_index
from emberformer.layout import Layout
from emberformer.settings import FeatureSettings, Settings, parse_settings

DEMO = Path(__file__).parents[1] / "config" / "demo.yaml"
NAME = "made"


def make_fires(folder: Path, fires: int, window: int, **sections: dict) -> tuple[Settings, Layout]:
    """Settings and paths of an experiment whose fires are ingested and split under the folder.

    Args:
        folder: where everything goes.
        fires: number of fires, of at most 8 frames.
        window: height and width of their rasters in pixels.
        sections: sections of the configuration to change, such as `features` and `model`.
    """
    content = yaml.safe_load(DEMO.read_text())
    (dataset,) = content["datasets"].values()
    simulation = dataset["simulation"] | {"fires": fires, "window": window, "landscape": max(280, window + 60)}
    content |= {
        "name": NAME,
        "results": str(folder / "results"),
        "datasets": {NAME: dataset | {"root": str(folder / "raw"), "simulation": simulation}},
        **{name: content.get(name, {}) | changed for name, changed in sections.items()},
    }
    settings = parse_settings(content)
    layout, source = Layout(settings), settings.datasets[NAME]
    assert isinstance(source, DeepCrownSettings)
    assert source.simulation is not None
    simulate_dataset(source.simulation, source.root, source.minutes_per_frame)
    ingest(NAME, source, layout.fires(NAME))
    write_split(layout.split, make_split({NAME: open_fires(layout.fires(NAME))}, settings.split))
    return settings, layout


def make_features(fires: xr.Dataset, store: Path, settings: FeatureSettings, device: str = "auto") -> None:
    """Plan, extract and index the features of a fires store in this process.

    Args:
        fires: the fires store.
        store: feature store to make.
        settings: of the features.
        device: auto, cpu, cuda or cuda:N.
    """
    make_plan(fires, store, settings.window)
    extract(store, fires, settings, 0, 1, device=device)
    write_index(store, fires)
