"""Options that several verbs of the command line share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from emberformer import __version__
from emberformer.errors import InputError
from emberformer.layout import Layout
from emberformer.overrides import changed, parse_changes
from emberformer.settings import Settings, load_settings
from emberformer.training_settings import Phase


def show_version(asked: bool) -> bool:
    """Print the version, and end, where it is asked for."""
    if asked:
        typer.echo(f"emberformer {__version__}")
        raise typer.Exit
    return asked


ShowVersion = Annotated[
    bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
]
Config = Annotated[Path, typer.Option("--config", help="Configuration file (YAML).", show_default=False)]
DatasetName = Annotated[
    str, typer.Option("--dataset", help="Name of a data set in the configuration.", show_default=False)
]
Variant = Annotated[
    str | None,
    typer.Option("--variant", help="One of the configuration's variants; by default none of them."),
]
OfPhase = Annotated[Phase, typer.Option("--phase", help="Phase of the network.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting beside the file, such as model.d_model=64, or a JSON object of several."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Processes = Annotated[int, typer.Option("--threads", min=1, help="Methods to score at a time, one a processor core.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; by default torch's own choice.")]


def open_configuration(
    config: Path, dataset: str | None = None, variant: str | None = None, changes: Sequence[str] | None = None
) -> tuple[Settings, Layout]:
    """Settings and paths of a configuration file, or of one of its variants; a data set must be one of its own.

    Args:
        config: the file.
        dataset: a data set that must be there.
        variant: one of the configuration's variants.
        changes: settings beside the file, as `overrides.parse_changes` reads them.

    Raises:
        InputError: an unreadable file, an unknown key, another data set or another variant.
    """
    settings = load_settings(config)
    if changes:
        settings = changed(settings, parse_changes(changes))
    if dataset is not None and dataset not in settings.datasets:
        expected = " or ".join(settings.datasets) or "no data set: the configuration has none"
        raise InputError(f"{config}, --dataset", dataset, expected, "name one of the configuration's data sets")
    if variant is not None:
        check_variant(config, settings, variant)
        settings = settings.variant(variant)
    return settings, Layout(settings)


def check_variant(config: Path, settings: Settings, variant: str) -> None:
    """Refuse what is no variant of a configuration.

    Raises:
        InputError: it is none.
    """
    if variant not in settings.variants:
        expected = " or ".join(settings.variants) or "no variant: the configuration has none"
        raise InputError(f"{config}, --variant", variant, expected, "name one of the configuration's variants")


def use_threads(threads: int | None) -> None:
    """Let torch compute with so many CPU threads; None: its own choice."""
    import torch

    if threads:
        torch.set_num_threads(threads)
