"""Command line of what is asked of many networks at once: sweeps, and experiments with their verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emberformer.options import Config, Device, Processes, Threads, open_configuration

studies_app = typer.Typer(rich_markup_mode=None)


@studies_app.command()
def sweep(
    config: Config,
    sweep: Annotated[Path, typer.Option(help="Sweep file, as of Weights & Biases.", show_default=False)],
    count: Annotated[
        int | None, typer.Option(help="Trials in all, earlier ones included; by default run_cap or the grid.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the models and of what is drawn.")] = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Train with many settings, to find the best ones; goes on where it was stopped. No account is needed.

    The same command in several shells works on one sweep together.

    Example: emberformer sweep --config config/portillo.yaml --sweep config/sweep.yaml --count 20
    """
    from emberformer.sweeping import run_sweep
    from emberformer.sweeps import load_sweep

    settings, _ = open_configuration(config)
    typer.echo(run_sweep(settings, load_sweep(sweep, settings), sweep.stem, count, seed, device, threads))


@studies_app.command()
def judge(
    config: Config,
    experiment: Annotated[Path, typer.Option(help="File of the experiment.", show_default=False)],
    threads: Processes = 1,
) -> None:
    """Score the networks of an experiment, and say which of its hypotheses hold.

    Example: emberformer judge --config config/portillo.yaml --experiment config/experiments/fusion.yaml
    """
    from emberformer.evaluate.studies import judge_study
    from emberformer.experiments import plan_study

    settings, _ = open_configuration(config)
    typer.echo(judge_study(plan_study(settings, experiment), threads))


@studies_app.command()
def average(
    config: Config,
    fold: Annotated[list[int], typer.Option(help="Fold that has been evaluated; give it once for each.", min=0)],
) -> None:
    """Average the scores of several folds, with their standard deviation, into one table.

    Example: emberformer average --config config/wsts.yaml --fold 0 --fold 1
    """
    from emberformer.evaluate.fold_tables import write_fold_tables
    from emberformer.evaluate.protocol import protocol_in_words

    settings, layout = open_configuration(config)
    scores = {number: layout.fold(number).scores / "scores.csv" for number in fold}
    followed = settings.followed_protocol
    note = protocol_in_words(followed._replace(fold=None)) if followed else "No protocol is named."
    typer.echo(write_fold_tables(scores, layout.experiment, note.strip()))


@studies_app.command()
def summarise(
    config: Config,
    verdicts: Annotated[list[Path], typer.Argument(help="verdicts.csv of each experiment.", show_default=False)],
) -> None:
    """Put the verdicts of several experiments into one table.

    Example: emberformer summarise --config config/portillo.yaml results/portillo/experiments/*/verdicts/verdicts.csv
    """
    from emberformer.evaluate.studies import summarise as run

    _, layout = open_configuration(config)
    typer.echo(run(verdicts, layout.experiments))
