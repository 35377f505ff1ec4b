"""Command line of the ensemble: prior, train, hindcast, rival, evaluate."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from emberformer.options import Changes, Config, DatasetName, Device, Threads, Variant, open_configuration, use_threads

ensemble_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="An ensemble of futures: prior, train, hindcast, rival, evaluate."
)
Seed = Annotated[int, typer.Option(help="Seed of the ensemble, and of the network that it starts from.")]


@ensemble_app.command()
def prior(
    config: Config,
    dataset: DatasetName,
    variant: Variant = None,
    seed: Seed = 0,
    device: Device = "auto",
    threads: Threads = None,
    changes: Changes = None,
) -> None:
    """Forecast the training and validation fires with the deterministic network, for the generator to learn from.

    Example: emberformer ensemble prior --config config/ensemble.yaml --dataset portillo --seed 0
    """
    from emberformer.ensemble.checkpoint import ensemble_settings
    from emberformer.hindcast import hindcast as run

    use_threads(threads)
    settings, layout = open_configuration(config, dataset=dataset, variant=variant, changes=changes)
    phase, of = layout.parent_phase("ensemble"), ensemble_settings(settings, layout.config)
    typer.echo(run(settings, layout, seed, dataset, device, phase, of.leads))


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


@ensemble_app.command()
def rival(
    config: Config,
    dataset: DatasetName,
    kind: Annotated[
        Literal["threshold", "bernoulli", "correlated", "dropout", "deep"],
        typer.Option("--rival", help="Which of them.", show_default=False),
    ],
    seed: Annotated[int, typer.Option(help="Seed of the network; a deep ensemble is of all seeds.")] = 0,
    device: Device = "auto",
    threads: Threads = None,
    changes: Changes = None,
) -> None:
    """Members from the network's own forecasts of the test fires, which the ensemble is compared with.

    Example: emberformer ensemble rival --config config/ensemble.yaml --dataset portillo --rival correlated --seed 0
    """
    from emberformer.ensemble.rivals import write_rivals

    use_threads(threads)
    settings, layout = open_configuration(config, dataset=dataset, changes=changes)
    typer.echo(write_rivals(settings, layout, kind, None if kind == "deep" else seed, dataset, device))


@ensemble_app.command()
def evaluate(config: Config, changes: Changes = None) -> None:
    """Score all ensembles on the same test forecasts, with intervals over fires: CRPS, spread, ranks, reliability.

    Example: emberformer ensemble evaluate --config config/ensemble.yaml
    """
    from emberformer.ensemble.checkpoint import ensemble_settings
    from emberformer.evaluate.ensemble_tables import evaluate_ensembles
    from emberformer.evaluate.names import HEADLINE_ENSEMBLE

    settings, layout = open_configuration(config, changes=changes)
    ensemble_settings(settings, layout.config)
    stores = {name: layout.ensembles(name) for name in settings.tested}
    members = {method: {name: of[method] for name, of in stores.items()} for method in next(iter(stores.values()))}
    fires = {name: layout.fires(name) for name in settings.tested}
    evaluate_ensembles(members, fires, layout.ensemble_scores, settings.evaluation, subject=HEADLINE_ENSEMBLE)
    typer.echo(layout.ensemble_scores)
