"""Command line of the feature store: estimate, fit-channels, plan, extract, index, info, verify, copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emberformer.errors import InputError
from emberformer.options import Config, DatasetName, Device, Threads, Variant, open_configuration, use_threads
from emberformer.settings import FeatureSettings, ModelSettings, Settings

if TYPE_CHECKING:
    from emberformer.features.estimate import Contents

features_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The feature store: estimate, fit-channels, plan, extract, index, info, verify, copy.",
)


@features_app.command()
def estimate(
    config: Annotated[Path | None, typer.Option(help="Configuration file (YAML); or give the numbers below.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of a data set that has been ingested.")] = None,
    fires: Annotated[int | None, typer.Option(help="Number of fires; 10000 by default.", min=1)] = None,
    frames: Annotated[int | None, typer.Option(help="Frames of a fire; 16 by default.", min=1)] = None,
    height: Annotated[int | None, typer.Option(help="Height of a frame in pixels; 224 by default.", min=1)] = None,
    width: Annotated[int | None, typer.Option(help="Width of a frame in pixels; 224 by default.", min=1)] = None,
    terrain_channels: Annotated[
        int | None, typer.Option(help="Images that a fire's terrain is rendered to; 0 by default.", min=0)
    ] = None,
    history: Annotated[int | None, typer.Option(help="Newest frames that the network sees.", min=1)] = None,
    architecture: Annotated[str | None, typer.Option(help="dinov2-small, dinov2-base, dinov2-large ...")] = None,
    scale: Annotated[float | None, typer.Option(help="As features.scale.")] = None,
    window: Annotated[int | None, typer.Option(help="As features.window.")] = None,
    dtype: Annotated[str | None, typer.Option(help="As features.dtype.")] = None,
    components: Annotated[int | None, typer.Option(help="As features.components.")] = None,
    measure: Annotated[bool, typer.Option(help="Run the backbone for some seconds to see how fast it is here.")] = True,
    gpu_tflops: Annotated[
        float | None,
        typer.Option(
            help="Sustained 10^12 operations a second of a GPU; by default what one H100 did with dinov2-small.",
            min=1e-3,
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Say what a feature store will cost in bytes, files and hours, before anything runs.

    With --config and --dataset the data set is counted, else the given numbers hold. Options of the features stand
    above the configuration's.

    Example: emberformer features estimate --fires 100000 --frames 16 --height 256 --width 256

    Example: emberformer features estimate --config config/portillo.yaml --dataset portillo --dtype int8
    """
    from emberformer.features.estimate import given_contents
    from emberformer.features.estimate_table import GPU_TFLOPS, changed_features, describe
    from emberformer.features.extraction import choose_device

    use_threads(threads)
    changes = {"architecture": architecture, "scale": scale, "window": window, "dtype": dtype, "components": components}
    given = {name: value for name, value in changes.items() if value is not None}
    numbers = {"fires": fires, "frames": frames, "height": height, "width": width, "terrain-channels": terrain_channels}
    if config is None:
        features = changed_features(FeatureSettings(), given)
        size = (height or 224, width or 224)
        contents = given_contents(fires or 10_000, frames or 16, size, terrain_channels or 0, features.window)
        history = history or ModelSettings().history
    else:
        _refuse(numbers)
        settings, contents, features = _counted(config, dataset, given)
        history = history or settings.model.history
    where = choose_device(device) if measure else None
    for name, figure, basis in describe(contents, features, history, gpu_tflops or GPU_TFLOPS, where):
        typer.echo(f"{name:28s} {figure:>14s}   {basis}")


def _refuse(numbers: Mapping[str, int | None]) -> None:
    """Numbers of a data set beside a configuration that tells them would count for nothing."""
    if given := [f"--{name}" for name, value in numbers.items() if value is not None]:
        raise InputError(
            "features estimate", f"{', '.join(given)} beside --config", "a data set to count, or its numbers",
            "leave one of them out",
        )  # fmt: skip


def _counted(
    config: Path, dataset: str | None, changes: Mapping[str, object]
) -> tuple[Settings, Contents, FeatureSettings]:
    """Settings of a configuration, what a data set of it holds, and the settings of its features with changes."""
    from emberformer.data.fires import open_fires
    from emberformer.features.estimate import count_contents
    from emberformer.features.estimate_table import changed_features

    name = dataset or "none given"
    settings, layout = open_configuration(config, name)
    features = changed_features(settings.features, changes)
    contents = count_contents(open_fires(layout.fires(name)), features.window)
    return settings, replace(contents, channel_map=features.channel_map), features


@features_app.command()
def fit_channels(
    config: Config,
    out: Annotated[Path, typer.Option(help="JSON file to write; name it in features.channel_file.")],
) -> None:
    """Fit the linear map of `channel_map: pca3` on the terrain of the training fires; after ingest and split.

    Example: emberformer features fit-channels --config config/portillo.yaml --out config/portillo_pca3.json
    """
    from emberformer.data.fires import open_fires
    from emberformer.data.split import read_split
    from emberformer.features.channel_fit import fit_channels as fit
    from emberformer.features.channel_map import write_projection

    settings, layout = open_configuration(config)
    fires = {name: open_fires(layout.fires(name)) for name in settings.datasets}
    projection = fit(fires, read_split(layout.split, settings.split.leakage))
    write_projection(out, projection)
    typer.echo(f"{out}: {len(projection.channels)} channels, fitted on {projection.fitted_on}")


@features_app.command()
def plan(config: Config, dataset: DatasetName, variant: Variant = None) -> None:
    """Give every frame and terrain window its row in the feature store.

    Example: emberformer features plan --config config/portillo.yaml --dataset portillo
    """
    from emberformer.data.fires import open_fires
    from emberformer.features.plan import make_plan

    settings, layout = open_configuration(config, dataset, variant)
    made = make_plan(open_fires(layout.fires(dataset)), layout.features(dataset), settings.features.window)
    typer.echo(f"{layout.features(dataset)}: {made.frame.rows} rows of frames, {made.terrain.rows} of terrain")


@features_app.command()
def extract(
    config: Config,
    dataset: DatasetName,
    variant: Variant = None,
    shard: Annotated[int, typer.Option(help="Number of this job, from 0.")] = 0,
    shards: Annotated[int, typer.Option(help="Number of jobs.")] = 1,
    batch_tokens: Annotated[
        int, typer.Option(help="Tokens that pass the backbone together; 0: what suits the device.")
    ] = 0,
    device: Device = "auto",
    threads: Threads = None,
    compile: Annotated[bool, typer.Option(help="Compile the backbone: worth it on a GPU.")] = False,
) -> None:
    """Run the frozen backbone over this job's frames and terrain windows; what is stored already is skipped.

    Example: emberformer features extract --config config/portillo.yaml --dataset portillo --shard 0 --shards 4
    """
    from emberformer.data.fires import open_fires
    from emberformer.features.extraction import extract as run

    use_threads(threads)
    settings, layout = open_configuration(config, dataset, variant)
    run(
        layout.features(dataset),
        open_fires(layout.fires(dataset)),
        settings.features,
        shard,
        shards,
        batch_tokens,
        device,
        compile,
    )


@features_app.command()
def index(config: Config, dataset: DatasetName, variant: Variant = None) -> None:
    """Make the extracted blocks one store that opens in xarray.

    Example: emberformer features index --config config/portillo.yaml --dataset portillo
    """
    from emberformer.data.fires import open_fires
    from emberformer.features.store import write_index

    _, layout = open_configuration(config, dataset, variant)
    write_index(layout.features(dataset), open_fires(layout.fires(dataset)))


@features_app.command()
def info(
    store: Annotated[str, typer.Argument(help="A feature store, or the URL of a copy.", show_default=False)],
) -> None:
    """Say what a feature store holds.

    Example: emberformer features info results/portillo/features/dinov2-small-random-1a2b3c4d.zarr
    """
    from emberformer.features.verify import describe

    for key, value in describe(store).items():
        typer.echo(f"{key:18s} {value}")


@features_app.command()
def verify(
    store: Annotated[str, typer.Argument(help="A feature store, or the URL of a copy.", show_default=False)],
    fix: Annotated[
        bool, typer.Option("--fix", help="Remove damaged blocks, so that extraction rebuilds them.")
    ] = False,
) -> None:
    """Read every record of a feature store against its checksum; exit code 1 if something is damaged.

    Example: emberformer features verify results/portillo/features/dinov2-small-random-1a2b3c4d.zarr --fix
    """
    from emberformer.features.verify import is_copy
    from emberformer.features.verify import verify as run
    from emberformer.features.verify_copy import verify_copy

    copied = is_copy(store)
    if copied and fix:
        raise InputError(
            store, "a copy", "the store that was extracted", "make the copy again with `emberformer features copy`"
        )
    found = verify_copy(store) if copied else run(Path(store), fix)
    for damage in found:
        names = ", ".join(damage.names[:5]) + (f" and {len(damage.names) - 5} more" if len(damage.names) > 5 else "")
        typer.echo(f"{damage.file}: {damage.reason}" + (f"; concerns {names}" if names else ""))
    if not found:
        typer.echo("every record is as it was written")
        return
    if copied:
        typer.echo(f"{len(found)} damaged rows; make the copy again with `emberformer features copy`")
    else:
        remedy = "run" if fix else "run again with --fix, then"
        typer.echo(f"{len(found)} damaged blocks; {remedy} `snakemake extract_features`")
    raise typer.Exit(0 if fix else 1)


@features_app.command()
def copy(
    store: Annotated[str, typer.Argument(help="A finished feature store, a folder or a URL.", show_default=False)],
    target: Annotated[
        str,
        typer.Argument(help="Folder or URL (s3://...) into which the copy is put under its name.", show_default=False),
    ],
    codec: Annotated[
        Literal["none", "lz4", "zstd"], typer.Option(help="none: byte for byte; lz4, zstd: compressed without loss.")
    ] = "none",
) -> None:
    """Copy a finished feature store, checking every record; the same again goes on with an interrupted copy.

    Example: emberformer features copy results/portillo/features/dinov2-small-1a2b3c4d.zarr s3://bucket/portillo

    Example: emberformer features copy s3://bucket/dinov2-small-1a2b3c4d.zarr /archive --codec zstd
    """
    from emberformer.features.copying import copy_store

    typer.echo(copy_store(store, target, codec))
