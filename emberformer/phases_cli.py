"""Command line of the trainings after phase 1."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from emberformer.options import Changes, Config, Device, Threads, Variant, open_configuration

phases_app = typer.Typer(rich_markup_mode=None)


@phases_app.command()
def finetune(
    config: Config,
    phase: Annotated[
        Literal["phase2", "phase3"], typer.Option(help="Phase to train, from the phase before.", show_default=False)
    ],
    variant: Variant = None,
    seed: Annotated[int, typer.Option(help="Seed of the model to go on from.")] = 0,
    device: Device = "auto",
    threads: Threads = None,
    changes: Changes = None,
) -> None:
    """Train on with the backbone, by adapters or as a whole; goes on where it was stopped.

    Example: emberformer finetune --config config/portillo.yaml --phase phase2 --seed 0
    """
    from emberformer.finetuning import finetune as run

    settings, layout = open_configuration(config, variant=variant, changes=changes)
    typer.echo(run(settings, layout, seed, phase, device, threads))


@phases_app.command()
def distil(
    config: Config,
    variant: Variant = None,
    seed: Annotated[int, typer.Option(help="Seed of the teacher.")] = 0,
    device: Device = "auto",
    threads: Threads = None,
    changes: Changes = None,
) -> None:
    """Train a small network on the forecasts of the last phase; goes on where it was stopped.

    Example: emberformer distil --config config/portillo.yaml --seed 0
    """
    from emberformer.distillation import distil as run

    settings, layout = open_configuration(config, variant=variant, changes=changes)
    typer.echo(run(settings, layout, seed, device, threads))
