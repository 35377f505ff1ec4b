"""Command line of the study of foresight: similarity, predict, heads, probe."""

from __future__ import annotations

import typer

from emberformer.options import Changes, Config, Threads, open_configuration, use_threads

foresight_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="How far ahead features can be predicted: similarity, predict, heads, probe.",
)


@foresight_app.command()
def similarity(config: Config, threads: Threads = None, changes: Changes = None) -> None:
    """Say how alike the features of a fire are after some frames, and where they change.

    Example: emberformer foresight similarity --config config/foresight.yaml
    """
    from emberformer.foresight.study import write_similarity

    use_threads(threads)
    settings, layout = open_configuration(config, changes=changes)
    typer.echo(write_similarity(settings, layout))


@foresight_app.command()
def predict(config: Config, threads: Threads = None, changes: Changes = None) -> None:
    """Fit and train predictors of coming features and score them, against persistence and damped persistence.

    Example: emberformer foresight predict --config config/foresight.yaml
    """
    from emberformer.foresight.predict import write_predictions

    use_threads(threads)
    settings, layout = open_configuration(config, changes=changes)
    typer.echo(write_predictions(settings, layout))


@foresight_app.command()
def heads(config: Config, threads: Threads = None, changes: Changes = None) -> None:
    """Compare heads by which the wind enters, with features and with the burned area as the target.

    Example: emberformer foresight heads --config config/foresight.yaml
    """
    from emberformer.foresight.heads import write_head_grid

    use_threads(threads)
    settings, layout = open_configuration(config, changes=changes)
    typer.echo(write_head_grid(settings, layout))


@foresight_app.command()
def probe(config: Config, threads: Threads = None, changes: Changes = None) -> None:
    """Read the fire from predicted features, and compare with copied ones and with forecasts in pixels.

    Example: emberformer foresight probe --config config/foresight.yaml
    """
    from emberformer.foresight.probe import write_probe

    use_threads(threads)
    settings, layout = open_configuration(config, changes=changes)
    typer.echo(write_probe(settings, layout))
