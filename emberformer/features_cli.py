"""Command line of the feature store: plan, extract, index, info, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emberformer.options import Config, DatasetName, Device, Threads, open_configuration

features_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The feature store: plan, extract, index, info, verify."
)


@features_app.command()
def plan(config: Config, dataset: DatasetName) -> None:
    """Give every frame and terrain window its row in the feature store.

    Example: emberformer features plan --config config/portillo.yaml --dataset portillo
    """
    from emberformer.data.fires import open_fires
    from emberformer.features.plan import make_plan

    _, layout = open_configuration(config, dataset)
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
    settings, layout = open_configuration(config, dataset)
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

    _, layout = open_configuration(config, dataset)
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
