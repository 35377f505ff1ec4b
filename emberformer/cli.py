"""Command line: one verb a stage, in the order of the data. `emberformer VERB --help` shows an example."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from emberformer.errors import InputError
from emberformer.layout import Layout
from emberformer.settings import Settings, load_settings

# Heavy libraries (torch, xarray, transformers) are imported inside the verbs: `--help` must be quick.

Config = Annotated[Path, typer.Option("--config", help="Configuration file (YAML).", show_default=False)]
DatasetName = Annotated[
    str, typer.Option("--dataset", help="Name of a data set in the configuration.", show_default=False)
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; by default torch's own choice.")]


class InPipelineOrder(TyperGroup):
    """Shows the verbs as they are written here, groups included."""

    def list_commands(self, ctx) -> list[str]:
        order = [
            "simulate",
            "ingest",
            "split",
            "features",
            "train",
            "forecast",
            "baseline",
            "evaluate",
            "report",
            "schema",
        ]
        return sorted(super().list_commands(ctx), key=order.index)


app = typer.Typer(
    cls=InPipelineOrder,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Wildfire spread forecasts from cached DINOv2 features.\n\nThe verbs stand in the order in which the data "
    "pass them; `snakemake --cores all --configfile CONFIG` runs them all and only where something changed.",
)
features_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The feature store: plan, extract, index, info, verify."
)


def _open(config: Path, dataset: str | None = None) -> tuple[Settings, Layout]:
    settings = load_settings(config)
    if dataset is not None and dataset not in settings.datasets:
        raise InputError(
            f"{config}, --dataset", dataset, " or ".join(settings.datasets), "name one of the configuration's data sets"
        )
    return settings, Layout(settings)


@app.command()
def simulate(config: Config, dataset: DatasetName) -> None:
    """Simulate a data set's fires into its root folder (only where the configuration has `simulation`).

    Example: emberformer simulate --config config/demo.yaml --dataset demo_valley
    """
    from emberformer.data.simulate import simulate_dataset

    settings, layout = _open(config, dataset)
    source = settings.datasets[dataset]
    if source.simulation is None:
        raise InputError(
            f"{config}: datasets.{dataset}",
            "no `simulation`",
            "a data set with `simulation`",
            "add the key, or ingest directly",
        )
    simulate_dataset(source.simulation, layout.raw(dataset), source.minutes_per_frame)


@app.command()
def ingest(config: Config, dataset: DatasetName) -> None:
    """Read a data set's frames, terrain and weather into its fires store.

    Example: emberformer ingest --config config/portillo.yaml --dataset portillo
    """
    from emberformer.data.deep_crown import ingest as ingest_deep_crown

    settings, layout = _open(config, dataset)
    ingest_deep_crown(dataset, settings.datasets[dataset], layout.fires(dataset))


@app.command()
def split(config: Config) -> None:
    """Say which fires are trained on, chosen on and tested on.

    Example: emberformer split --config config/portillo.yaml
    """
    from emberformer.data.fires import open_fires
    from emberformer.data.split import make_split, write_split

    settings, layout = _open(config)
    fires = {name: open_fires(layout.fires(name)) for name in settings.datasets}
    write_split(layout.split, make_split(fires, settings.split))


@features_app.command()
def plan(config: Config, dataset: DatasetName) -> None:
    """Give every frame and terrain window its row in the feature store.

    Example: emberformer features plan --config config/portillo.yaml --dataset portillo
    """
    from emberformer.data.fires import open_fires
    from emberformer.features.plan import make_plan

    _, layout = _open(config, dataset)
    made = make_plan(open_fires(layout.fires(dataset)), layout.features(dataset))
    typer.echo(f"{layout.features(dataset)}: {made.frame.rows} rows of frames, {made.terrain.rows} of terrain")


@features_app.command()
def extract(
    config: Config,
    dataset: DatasetName,
    shard: Annotated[int, typer.Option(help="Number of this job, from 0.")] = 0,
    shards: Annotated[int, typer.Option(help="Number of jobs.")] = 1,
    batch_size: Annotated[int, typer.Option(help="Frames that pass the backbone together.")] = 8,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Run the frozen backbone over this job's frames and terrain windows; what is stored already is skipped.

    Example: emberformer features extract --config config/portillo.yaml --dataset portillo --shard 0 --shards 4
    """
    import torch

    from emberformer.data.fires import open_fires
    from emberformer.features.extraction import extract as run

    if threads:
        torch.set_num_threads(threads)
    settings, layout = _open(config, dataset)
    run(
        layout.features(dataset),
        open_fires(layout.fires(dataset)),
        settings.features,
        shard,
        shards,
        batch_size,
        device,
    )


@features_app.command()
def index(config: Config, dataset: DatasetName) -> None:
    """Make the extracted blocks one store that opens in xarray.

    Example: emberformer features index --config config/portillo.yaml --dataset portillo
    """
    from emberformer.data.fires import open_fires
    from emberformer.features.store import write_index

    _, layout = _open(config, dataset)
    write_index(layout.features(dataset), open_fires(layout.fires(dataset)))


@features_app.command()
def info(store: Annotated[Path, typer.Argument(help="A feature store.", show_default=False)]) -> None:
    """Say what a feature store holds.

    Example: emberformer features info results/portillo/features/dinov2-small-random-1a2b3c4d.zarr
    """
    from emberformer.features.verify import describe

    for key, value in describe(store).items():
        typer.echo(f"{key:18s} {value}")


@features_app.command()
def verify(
    store: Annotated[Path, typer.Argument(help="A feature store.", show_default=False)],
    fix: Annotated[
        bool, typer.Option("--fix", help="Remove damaged blocks, so that extraction rebuilds them.")
    ] = False,
) -> None:
    """Read every record of a feature store against its checksum; exit code 1 if something is damaged.

    Example: emberformer features verify results/portillo/features/dinov2-small-random-1a2b3c4d.zarr --fix
    """
    from emberformer.features.verify import verify as run

    found = run(store, fix)
    for damage in found:
        names = ", ".join(damage.names[:5]) + (f" and {len(damage.names) - 5} more" if len(damage.names) > 5 else "")
        typer.echo(f"{damage.array} block {damage.block}: {damage.reason}; concerns {names}")
    if not found:
        typer.echo("every record is as it was written")
        return
    remedy = "run" if fix else "run again with --fix, then"
    typer.echo(f"{len(found)} damaged blocks; {remedy} `snakemake extract_features`")
    raise typer.Exit(0 if fix else 1)


app.add_typer(features_app, name="features")


@app.command()
def train(
    config: Config,
    seed: Annotated[int, typer.Option(help="Seed of initial weights and order; one model a seed.")] = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Train fusion, temporal transformer, decoder and refinement from cached features; goes on where it was stopped.

    Example: emberformer train --config config/portillo.yaml --seed 0
    """
    from emberformer.training import train as run

    settings, layout = _open(config)
    typer.echo(run(settings, layout, seed, device, threads))


@app.command()
def forecast(
    config: Config,
    dataset: DatasetName,
    seed: Annotated[int, typer.Option(help="Seed of the model to use.")] = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Forecast every step of a data set's validation and test fires: a Zarr store, and a GeoTIFF a test fire.

    Example: emberformer forecast --config config/portillo.yaml --seed 0 --dataset portillo
    """
    import torch

    from emberformer.forecast import forecast as run

    if threads:
        torch.set_num_threads(threads)
    settings, layout = _open(config, dataset)
    typer.echo(run(settings, layout, seed, dataset, device))


@app.command()
def baseline(
    config: Config,
    dataset: DatasetName,
    method: Annotated[str, typer.Option(help="persistence, dilation, distance or logistic.", show_default=False)],
) -> None:
    """Forecast the same steps with a simple rival.

    Example: emberformer baseline --config config/portillo.yaml --dataset portillo --method dilation
    """
    from emberformer.baselines import write_baseline

    settings, layout = _open(config, dataset)
    write_baseline(settings, layout, method, dataset)


@app.command()
def evaluate(config: Config) -> None:
    """Score all methods on the same steps, with intervals over fires.

    Example: emberformer evaluate --config config/portillo.yaml
    """
    from emberformer.evaluate.tables import evaluate as run

    settings, layout = _open(config)
    stores = {method: {name: layout.forecasts(method, name) for name in settings.datasets} for method in layout.methods}
    run(stores, {name: layout.fires(name) for name in settings.datasets}, layout.scores, settings.evaluation)


@app.command()
def report(config: Config) -> None:
    """Write one self-contained HTML page: tables, curves and maps.

    Example: emberformer report --config config/portillo.yaml
    """
    from emberformer.report import write_report

    settings, layout = _open(config)
    typer.echo(write_report(settings, layout))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file.

    Example: emberformer schema > config/config.schema.json
    """
    typer.echo(json.dumps(Settings.model_json_schema(), indent=2))


def main() -> None:
    """Entry point: what people can mend is printed without a traceback and exits with 2."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.captureWarnings(True)
    for chatty in ("httpx", "rasterio", "asyncio", "matplotlib", "fontTools", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        app()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
