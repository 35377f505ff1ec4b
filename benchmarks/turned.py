"""`python -m benchmarks.turned --config C --dataset D`: does a turned world get the turned forecast?

The test fires are mirrored and turned with their ground, aspects and winds, the backbone encodes the turned pictures,
and the trained models, one a seed, forecast there. A model that knows no direction of its own scores the same in every
view; how far chance in training moves a score is the standard deviation over the seeds, so differences within it are
noise. Average precision (AP) of new fire pools all fires, the mean over seeds is taken, and intervals resample whole
fires, the same ones for all views. The world as it is goes through the same stages as the turned ones.

What turns with the world is only what the data tell: the patches of the backbone start at the upper left corner of
every view, a window around the fire (`features.window`) is rounded to whole pixels there, and the sun stays in its
place, so that a model may rightly have learned that slopes towards it burn better.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np

from benchmarks.made_fires import make_features
from benchmarks.skill import counts_of_fires, scores_of
from benchmarks.turned_world import VIEWS, write_world
from emberformer.checkpoint import load_model, open_landscape
from emberformer.data.fires import open_fires
from emberformer.data.split import read_split
from emberformer.dataset import list_steps
from emberformer.errors import InputError
from emberformer.evaluate.bootstrap import percentile_interval
from emberformer.feature_key import features_key
from emberformer.features.extraction import choose_device
from emberformer.finetuned_checkpoint import encodings_of
from emberformer.landscape import Landscape
from emberformer.layout import Layout
from emberformer.model.finetuned import FinetunedEmberFormer
from emberformer.network import SpreadNetwork
from emberformer.network_sizes import Sizes
from emberformer.options import open_configuration
from emberformer.sampling import evenly_spaced
from emberformer.settings import FeatureSettings
from emberformer.training_settings import Phase

OF_BACKBONE = frozenset(
    ("frame_patches", "terrain_patches", "frame_layers", "frame_hidden", "frame_images", "terrain_images")
)
PATCH = 14  # pixels on a side of a patch of dinov2-tiny
SAME_DIRECTIONS = 1e-3  # largest difference of principal directions that are the same but for rounding


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Args:
        dataset: name of the data set.
        phase: of the models.
        views: numbers of the views; the world as it is comes first in any case.
        steps: forecasts of each fire, evenly spaced; None: all.
        fires: test fires, evenly spaced; None: all.
        device: auto, cpu, cuda or cuda:N.
    """

    dataset: str
    phase: Phase = "phase1"
    views: tuple[int, ...] = tuple(range(8))
    steps: int | None = None
    fires: int | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Row:
    """One view: AP (mean over seeds), its standard deviation over seeds, and the interval of AP minus AP as it is."""

    view: str
    score: float
    deviation: float
    low: float
    high: float


def features_for(models: Sequence[SpreadNetwork], settings: FeatureSettings, pixels: int) -> FeatureSettings:
    """Features to extract; where no network takes any, the cheapest ones of the same patches: a landscape needs some.

    Args:
        models: trained networks.
        settings: of the features that they were trained beside.
        pixels: raster pixels on a side of a patch.
    """
    if any(OF_BACKBONE & set(model.inputs) for model in models):
        return settings
    return FeatureSettings(
        weights="random", architecture="dinov2-tiny", precision="float32", scale=PATCH / pixels, window=settings.window
    )


def open_world(
    folder: Path,
    original: Landscape,
    chosen: Sequence[int],
    view: int,
    features: FeatureSettings,
    sizes: Sizes,
    device: str,
) -> Landscape:
    """Write a view of some fires and its features into a folder, and open both.

    Args:
        folder: empty.
        original: the data set as it is.
        chosen: numbers of the fires.
        view: 0 to 7.
        features: to extract.
        sizes: of the trained networks.
        device: of the extraction.
    """
    fires = write_world(folder / "fires.zarr", original.fires, chosen, view)
    store = folder / f"{features_key(features)}.zarr"
    make_features(fires, store, features, device)
    return Landscape(
        original.name, folder / "fires.zarr", store, sizes.normaliser, sizes.channels,
        foresees_wind=original.foresees_wind,
    )  # fmt: skip


def refuse_other_directions(original: Landscape, world: Landscape) -> None:
    """Principal directions are fitted anew with the features, and must come out as the networks know them.

    Raises:
        InputError: they do not.
    """
    for axis, directions in original.encoding.basis.items():
        found = float((directions - world.encoding.basis[axis]).abs().max())
        if found > SAME_DIRECTIONS:
            raise InputError(
                original.features_location, f"principal directions that differ by {found:.2g} from those fitted here",
                "the same ones", "measure on the machine that extracted the features, or extract and train here",
            )  # fmt: skip


def fires_of_test(layout: Layout, dataset: str, number: int | None) -> list[int]:
    """Numbers of the test fires, or of some of them.

    Raises:
        InputError: there is none.
    """
    split = read_split(layout.split, layout.settings.split.leakage)[dataset]
    names = map(str, open_fires(layout.fires(dataset)).fire_id.values)
    found = [fire for fire, name in enumerate(names) if split.get(name) == "test"]
    if not found:
        raise InputError(layout.split, f"no test fire of {dataset!r}", "at least one", "change `split`")
    return [found[n] for n in evenly_spaced(len(found), number or len(found))]


def measure_turned(config: Path, asked: Asked, variant: str | None = None) -> list[Row]:
    """A row a view, the world as it is first.

    Raises:
        InputError: models that are not trained, or features that they do not know.
    """
    settings, layout = open_configuration(config, asked.dataset, variant)
    if asked.phase not in layout.phases:
        raise InputError(
            f"{config}, --phase", asked.phase, " or ".join(layout.phases), "name a phase of the configuration"
        )
    trained = [load_model(layout.model(seed, asked.phase) / "model.ckpt") for seed in settings.training.seeds]
    models, device = [model.to(choose_device(asked.device)) for model, *_ in trained], asked.device
    sizes, as_trained = trained[0][1], trained[0][2].model
    original = open_landscape(layout, asked.dataset, sizes)
    features = features_for(models, settings.features, original.pixels)
    chosen = fires_of_test(layout, asked.dataset, asked.fires)
    names = {asked.dataset: dict.fromkeys(map(str, original.fires.fire_id.values), "test")}
    rows, plain = [], np.empty(0)
    for view in dict.fromkeys((0, *asked.views)):
        with TemporaryDirectory() as folder:
            world = open_world(Path(folder), original, chosen, view, features, sizes, device)
            if features == settings.features:
                refuse_other_directions(original, world)
            steps = list_steps([world], names, "test", asked.steps)
            scores = []
            for model in models:
                if isinstance(model, FinetunedEmberFormer):
                    model.encodings |= encodings_of([world])  # a grid that is no square has another one when it turns
                scores.append(scores_of(counts_of_fires(model, world, steps, as_trained, VIEWS[view])))
        score = np.mean(scores, 0)
        plain = plain if len(plain) else score
        deviation = float(np.std([one[0] for one in scores], ddof=1)) if len(scores) > 1 else np.nan
        rows.append(Row(VIEWS[view], float(score[0]), deviation, *percentile_interval(score - plain)))
    return rows


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of view | AP | sd over seeds | difference with its interval."""
    width = max(len(row.view) for row in rows)
    lines = [f"{'view':{width}s} | new-fire AP | sd over seeds | difference, with its 95 % interval over fires"]
    for row in rows:
        change = f"{row.score - rows[0].score:+.5f} [{row.low:+.5f}, {row.high:+.5f}]"
        lines.append(f"{row.view:{width}s} | {row.score:11.5f} | {row.deviation:13.5f} | {change}")
    return lines


def _views(text: str) -> tuple[int, ...]:
    views = tuple(int(number) for number in text.split(","))
    if not set(views) <= set(range(8)):
        raise ValueError(text)  # argparse names the option
    return views


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.turned", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--variant")
    parser.add_argument("--phase", choices=get_args(Phase), default="phase1")
    told = ", ".join(f"{number} {name}" for number, name in enumerate(VIEWS))
    parser.add_argument("--views", type=_views, default=tuple(range(8)), help=f"such as 1,5; by default all: {told}")
    parser.add_argument("--steps", type=int, help="forecasts of each fire; by default all")
    parser.add_argument("--fires", type=int, help="test fires; by default all")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    given = parser.parse_args()
    asked = Asked(given.dataset, given.phase, given.views, given.steps, given.fires, given.device)
    print("\n".join(table(measure_turned(given.config, asked, given.variant))))


if __name__ == "__main__":
    main()
