"""Command line of what is made of forecasts: scores, interpretation and the report."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from emberformer.options import (
    Config,
    Device,
    OfPhase,
    Processes,
    Threads,
    Variant,
    check_variant,
    open_configuration,
    use_threads,
)

results_app = typer.Typer(rich_markup_mode=None)


Also = Annotated[
    list[str] | None,
    typer.Option(
        help="Forecasts of others to score too: NAME=PATH, with {dataset} in PATH; see docs/forecast-store.md.",
        metavar="NAME=PATH",
    ),
]


@results_app.command()
def evaluate(config: Config, threads: Processes = 1, also: Also = None) -> None:
    """Score all methods on the same steps, with intervals over fires.

    Example: emberformer evaluate --config config/portillo.yaml --also 'simulator=theirs/{dataset}.zarr'
    """
    from emberformer.evaluate.names import parse_stores
    from emberformer.evaluate.tables import evaluate as run

    settings, layout = open_configuration(config)
    stores = {method: {name: layout.forecasts(method, name) for name in settings.datasets} for method in layout.methods}
    stores |= parse_stores(also or [], list(settings.datasets), taken=layout.methods)
    fires = {name: layout.fires(name) for name in settings.datasets}
    run(stores, fires, layout.scores, settings.evaluation, threads, settings.followed_protocol)
    typer.echo(json.loads((layout.scores / "protocol.json").read_text())["note"])


@results_app.command()
def interpret(
    config: Config,
    variant: Variant = None,
    phase: OfPhase = "phase1",
    seed: Annotated[int, typer.Option(help="Seed of the model to look at.")] = 0,
    dataset: Annotated[str | None, typer.Option(help="Name of a data set; by default all of them.")] = None,
    split: Annotated[Literal["validation", "test"], typer.Option(help="Fires to look at.")] = "test",
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Say what a trained network looks at and where it fails: attention, attribution, importance, features, failures.

    Example: emberformer interpret --config config/portillo.yaml --seed 0
    """
    from emberformer.interpretation.run import interpret as run

    use_threads(threads)
    settings, layout = open_configuration(config, dataset)
    if variant is not None:
        check_variant(config, settings, variant)
    for name in [dataset] if dataset else settings.tested:
        typer.echo(run(layout, variant, phase, seed, name, split, device))


@results_app.command()
def report(config: Config) -> None:
    """Write one self-contained HTML page: tables, curves and maps.

    Example: emberformer report --config config/portillo.yaml
    """
    from emberformer.report import write_report

    settings, layout = open_configuration(config)
    typer.echo(write_report(settings, layout))
