"""Command line of the ensemble: train, hindcast."""

from __future__ import annotations

from typing import Annotated

import typer

from emberformer.options import Changes, Config, DatasetName, Device, Threads, Variant, open_configuration, use_threads

ensemble_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="An ensemble of futures: train, hindcast, rivals, evaluate."
)
Seed = Annotated[int, typer.Option(help="Seed of the ensemble, and of the network that it starts from.")]


@ensemble_app.command()
def train(
    config: Config,
    variant: Variant = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    changes: Changes = None,
) -> None:
    """Train the generator of futures from cached features; goes on where it was stopped.

    Example: emberformer ensemble train --config config/ensemble.yaml --seed 0
    """
    from emberformer.ensemble.training import train_ensemble

    settings, layout = open_configuration(config, variant=variant, changes=changes)
    typer.echo(train_ensemble(settings, layout, seed, device, threads))


@ensemble_app.command()
def hindcast(
    config: Config,
    dataset: DatasetName,
    variant: Variant = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    changes: Changes = None,
) -> None:
    """Draw futures from every frame of the validation and test fires: members, and their burn probability.

    Example: emberformer ensemble hindcast --config config/ensemble.yaml --dataset portillo --seed 0
    """
    from emberformer.ensemble.hindcast import hindcast_ensemble

    use_threads(threads)
    settings, layout = open_configuration(config, dataset=dataset, variant=variant, changes=changes)
    typer.echo(hindcast_ensemble(settings, layout, seed, dataset, device))
