"""Command line: one verb a stage, in the order of the data. `emberformer VERB --help` shows an example."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import warnings
from typing import Annotated, Literal

import typer
from typer.core import TyperGroup

from emberformer.deployment_cli import deployment_app
from emberformer.detection_cli import detection_app
from emberformer.ensemble_cli import ensemble_app
from emberformer.errors import InputError
from emberformer.features_cli import features_app
from emberformer.forecast_cli import forecast_app
from emberformer.foresight_cli import foresight_app
from emberformer.options import (
    Changes,
    Config,
    DatasetName,
    Device,
    OfPhase,
    ShowVersion,
    Threads,
    Variant,
    check_variant,
    open_configuration,
    use_threads,
)
from emberformer.phases_cli import phases_app
from emberformer.results_cli import results_app
from emberformer.settings import Settings
from emberformer.studies_cli import studies_app

log = logging.getLogger(__name__)
# Heavy libraries (torch, xarray, transformers) are imported inside the verbs: `--help` must be quick.

# Warnings of libraries about what is meant here, or about other libraries: nothing that a user could do.
NOT_FOR_USERS = (
    "Consolidated metadata is currently not part",
    "The data type .* does not have a Zarr V3 specification",
    "Experiment logs directory .* exists and is not empty",
    "Checkpoint directory .* exists and is not empty",
    r".*isinstance\(treespec, LeafSpec\).* is deprecated",
    "The '.*dataloader' does not have many workers",
    "Use `@` matmul instead of",
    "Found .* in eval mode at the start of training",
    "Already found a `peft_config` attribute",
)


class InPipelineOrder(TyperGroup):
    """Shows the verbs as they are written here, groups included."""

    def list_commands(self, ctx) -> list[str]:
        order = [
            "init",
            *("simulate", "ingest", "split", "features", "foresight", "check", "sizes", "train", "finetune", "distil"),
            *("sweep", "ensemble", "detection"),
            *("hindcast", "baseline", "evaluate", "interpret", "average", "judge", "summarise", "report", "forecast"),
            "schema",
        ]
        return sorted(super().list_commands(ctx), key=order.index)


app = typer.Typer(
    cls=InPipelineOrder,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Wildfire spread forecasts from cached DINOv2 features.\n\nThe verbs stand in the order in which the data "
    "pass them; `snakemake --cores all --configfile CONFIG` runs them all and only where something changed.",
)


@app.callback()
def of_all_verbs(version: ShowVersion = False) -> None:
    """Options of the command itself."""


app.add_typer(deployment_app)


@app.command()
def simulate(config: Config, dataset: DatasetName) -> None:
    """Simulate a data set's fires into its root folder (only where the configuration has `simulation`).

    Example: emberformer simulate --config config/demo.yaml --dataset demo_valley
    """
    from emberformer.data.simulate import simulate_dataset

    settings, layout = open_configuration(config, dataset)
    source = settings.datasets[dataset]
    if source.source != "deep_crown" or source.simulation is None:
        raise InputError(
            f"{config}: datasets.{dataset}",
            "no `simulation`",
            "a data set with `simulation`",
            "add the key, or ingest directly",
        )
    simulate_dataset(source.simulation, layout.raw(dataset), source.minutes_per_frame)


@app.command()
def ingest(config: Config, dataset: DatasetName) -> None:
    """Read a data set's frames, terrain and weather into its fires store.

    Example: emberformer ingest --config config/portillo.yaml --dataset portillo
    """
    from emberformer.data.reading import ingest as ingest_dataset

    settings, layout = open_configuration(config, dataset)
    ingest_dataset(dataset, settings.datasets[dataset], layout.fires(dataset))


@app.command()
def split(config: Config) -> None:
    """Say which fires are trained on, chosen on and tested on; stop where the test would hold what training has seen.

    Example: emberformer split --config config/portillo.yaml
    """
    from emberformer.data.fires import open_fires
    from emberformer.data.leakage import audit, refuse_leaks
    from emberformer.data.split import make_split, write_split

    settings, layout = open_configuration(config)
    fires = {name: open_fires(layout.fires(name)) for name in settings.datasets}
    made = make_split(fires, settings.split)
    leaks = audit(fires, made["fires"], settings.split.by, settings.split.test_landscapes)
    if settings.split.leakage == "stop":
        refuse_leaks(f"{config}: split", leaks)
    for leak in leaks:
        log.warning("%s", leak)
    write_split(layout.split, made | {"leaks": leaks})


app.add_typer(features_app, name="features")
app.add_typer(ensemble_app, name="ensemble")
app.add_typer(detection_app, name="detection")
app.add_typer(foresight_app, name="foresight")
app.add_typer(studies_app)


@app.command()
def check(
    config: Config,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="One data set alone; by default all.", show_default=False)
    ] = None,
    variant: Variant = None,
    fires: Annotated[int, typer.Option(min=1, help="Fires of a data set whose pixels are read.")] = 200,
    device: Device = "auto",
) -> None:
    """Look at data, split and network before a long run; exit code 1 where something is wrong.

    Data need `ingest`, leakage needs `split`, the one batch through the network, in each phase, needs features.

    Example: emberformer check --config config/portillo.yaml
    """
    from emberformer.checks.finding import table, worst
    from emberformer.checks.run import check as run
    from emberformer.checks.run import write_findings

    settings, layout = open_configuration(config, dataset, variant)
    findings = run(settings, layout, [dataset] if dataset else list(settings.datasets), fires, device)
    write_findings(layout, findings)
    typer.echo(table(findings))
    if worst([finding for of in findings.values() for finding in of]) == "ERROR":
        raise typer.Exit(1)


@app.command()
def sizes(
    config: Config,
    variant: Annotated[
        str | None, typer.Option("--variant", help="One of the configuration's variants, or all that have the phase.")
    ] = None,
    phase: OfPhase = "phase1",
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Measure parameters, memory of a training step and time of a forecast of a network; needs features.

    Example: emberformer sizes --config config/portillo.yaml --variant all

    Example: emberformer sizes --config config/two_landscapes.yaml --phase phase2
    """
    import torch

    from emberformer.checks.sizes import measure_sizes, write_sizes
    from emberformer.features.extraction import choose_device

    use_threads(threads)
    settings, layout = open_configuration(config)
    chosen = [variant]
    if variant == "all":
        chosen = [one.variant for one in layout.trained.values() if one.phase == phase] or [None]
    elif variant is not None:
        check_variant(config, settings, variant)
    found = measure_sizes(layout, chosen, device, phase)
    cuda = choose_device(device).type == "cuda"
    machine = torch.cuda.get_device_name() if cuda else f"{torch.get_num_threads()} CPU threads"
    typer.echo(write_sizes(layout.experiment, found, machine, "sizes" if phase == "phase1" else f"sizes_{phase}"))


@app.command()
def train(
    config: Config,
    variant: Variant = None,
    seed: Annotated[int, typer.Option(help="Seed of initial weights and order; one model a seed.")] = 0,
    device: Device = "auto",
    threads: Threads = None,
    devices: Annotated[
        int,
        typer.Option(min=1, help="Processes that train one model together, each on a GPU of its own or on the CPU."),
    ] = 1,
    memory: Annotated[
        Literal["disk", "ram", "device"], typer.Option(help="Where the features stay: disk, ram or device (the GPU).")
    ] = "disk",
    changes: Changes = None,
) -> None:
    """Train fusion, temporal transformer, decoder and refinement from cached features; goes on where it was stopped.

    Example: emberformer train --config config/portillo.yaml --seed 0

    Example: emberformer train --config config/portillo.yaml --set model.d_model=64 --set training.epochs=4
    """
    from emberformer.training import train as run

    settings, layout = open_configuration(config, variant=variant, changes=changes)
    path = run(settings, layout, seed, device, threads, devices, memory)
    if os.environ.get("LOCAL_RANK", "0") == "0":  # the other processes of `--devices` run this verb as well
        typer.echo(path)


app.add_typer(phases_app)


@app.command()
def hindcast(
    config: Config,
    dataset: DatasetName,
    variant: Variant = None,
    phase: OfPhase = "phase1",
    seed: Annotated[int, typer.Option(help="Seed of the model to use.")] = 0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Forecast a data set's validation and test fires from their frames: a Zarr store, and a GeoTIFF a test fire.

    Example: emberformer hindcast --config config/portillo.yaml --seed 0 --dataset portillo
    """
    from emberformer.hindcast import hindcast as run

    use_threads(threads)
    settings, layout = open_configuration(config, dataset, variant)
    typer.echo(run(settings, layout, seed, dataset, device, phase))


@app.command()
def baseline(
    config: Config,
    dataset: DatasetName,
    method: Annotated[str, typer.Option(help="persistence, dilation, distance or logistic.", show_default=False)],
) -> None:
    """Forecast the same steps with a simple rival.

    Example: emberformer baseline --config config/portillo.yaml --dataset portillo --method dilation
    """
    from emberformer.baselines import write_baseline

    settings, layout = open_configuration(config, dataset)
    write_baseline(settings, layout, method, dataset)


app.add_typer(results_app)
app.add_typer(forecast_app)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a configuration file.

    Example: emberformer schema > config/config.schema.json
    """
    typer.echo(json.dumps(Settings.model_json_schema(), indent=2))


def main() -> None:
    """Entry point: what people can mend is printed without a traceback and exits with 2."""
    # Read by torch when it starts: large tensors in large pages, which Linux hands out several times as fast.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    gc.set_threshold(50_000)  # importing torch and transformers makes millions of objects, and next to no garbage
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.captureWarnings(True)
    for told_already in NOT_FOR_USERS:
        warnings.filterwarnings("ignore", message=told_already)
    rank_zero = "lightning.pytorch.utilities.rank_zero"  # which devices there are, and advertisements, each twice
    for chatty in ("httpx", "rasterio", "asyncio", "matplotlib", "fontTools", "PIL", "pyogrio", rank_zero):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        app()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    finally:
        gc.freeze()  # at its end Python would search all that libraries left behind for garbage, a second long


if __name__ == "__main__":
    main()
