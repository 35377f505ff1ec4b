"""Command line of the detector: images, train, detect, evaluate."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from emberformer.options import Changes, Config, Device, Threads, open_configuration, use_threads

detection_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="A detector of objects as boxes: images, train, detect, evaluate."
)
Seed = Annotated[int, typer.Option(help="Seed of the detector.")]


@detection_app.command()
def images(config: Config, device: Device = "auto", threads: Threads = None, changes: Changes = None) -> None:
    """Extract the features of camera images, and of their views, into an image store.

    Example: emberformer detection images --config config/cameras.yaml
    """
    from emberformer.detection.sources import write_images

    use_threads(threads)
    _, layout = open_configuration(config, changes=changes)
    write_images(layout, device)
    typer.echo(layout.camera_images)


@detection_app.command()
def train(
    config: Config, seed: Seed = 0, device: Device = "auto", threads: Threads = None, changes: Changes = None
) -> None:
    """Train a detector from cached features; goes on where it was stopped.

    Example: emberformer detection train --config config/detection.yaml --seed 0
    """
    from emberformer.detection.training import train_detector

    settings, layout = open_configuration(config, changes=changes)
    typer.echo(train_detector(settings, layout, seed, device, threads))


@detection_app.command()
def detect(
    config: Config,
    seed: Seed = 0,
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="Whose windows.")] = "test",
    device: Device = "auto",
    threads: Threads = None,
    changes: Changes = None,
) -> None:
    """Detect in the fires or images of a split: COCO results, and a GeoPackage a data set of fires.

    Example: emberformer detection detect --config config/detection.yaml --seed 0
    """
    from emberformer.detection.detect import write_found

    use_threads(threads)
    settings, layout = open_configuration(config, changes=changes)
    typer.echo(write_found(settings, layout, seed, split, device))


@detection_app.command()
def evaluate(config: Config, changes: Changes = None) -> None:
    """Score what the detectors of all seeds found in the test, beside the pieces of a forecast.

    Example: emberformer detection evaluate --config config/detection.yaml
    """
    from emberformer.detection.evaluation import evaluate_detectors

    _, layout = open_configuration(config, changes=changes)
    typer.echo(evaluate_detectors(layout))
