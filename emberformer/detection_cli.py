"""Command line of the detector: images, train, detect, evaluate, annotate, convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from emberformer.options import Changes, Config, DatasetName, Device, Threads, open_configuration, use_threads

detection_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="A detector of objects as boxes: images, train, detect, evaluate."
)
Out = Annotated[Path, typer.Option(help="What to write.", show_default=False)]
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


@detection_app.command()
def annotate(config: Config, dataset: DatasetName, out: Out, changes: Changes = None) -> None:
    """Write the fronts and spots of a data set's fires as COCO sets, one a split, with pictures of the frames.

    Example: emberformer detection annotate --config config/detection.yaml --dataset dogrib --out dogrib_coco
    """
    from emberformer.data.fires import open_fires
    from emberformer.data.split import read_split
    from emberformer.detection.checkpoint import detection_settings
    from emberformer.detection.fire_annotations import write_fire_annotations
    from emberformer.detection.sources import cluster_rule

    settings, layout = open_configuration(config, dataset, changes=changes)
    of = detection_settings(settings, layout.config).fires
    split = read_split(layout.split, settings.split.leakage)[dataset]
    write_fire_annotations(out, open_fires(layout.fires(dataset)), split, cluster_rule(of), of.horizons)
    typer.echo(out)


@detection_app.command()
def convert(
    images: Annotated[Path, typer.Option(help="Folder of the images.", show_default=False)],
    labels: Annotated[Path, typer.Option(help="Folder of their text files.", show_default=False)],
    category: Annotated[
        list[str], typer.Option(help="Name of class 0; give it again for class 1, 2, ...", show_default=False)
    ],
    out: Out,
) -> None:
    """Write a set with a text file of boxes an image (`class cx cy w h`), such as D-Fire, as a COCO file.

    Example: emberformer detection convert --images train/images --labels train/labels --category smoke
    --category fire --out train.json
    """
    from emberformer.detection.coco import write_coco
    from emberformer.detection.yolo import read_yolo

    read = read_yolo(images, labels, category)
    write_coco(out, read, {"description": f"converted from {labels.name}"})
    typer.echo("; ".join([f"{len(read.images)} images in {out}", *read.notes]))
