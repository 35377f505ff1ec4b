"""Verb that takes the workflow to a folder outside the repository."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from emberformer.deployment import deploy

deployment_app = typer.Typer()


@deployment_app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to write to; made if it is missing.", show_default=False)],
) -> None:
    """Write a folder that runs the workflow, with configurations and profiles to start from; nothing is overwritten.

    Example: emberformer init my-fires
    """
    for path in deploy(folder):
        typer.echo(path)
    typer.echo(f"Next, the demo: cd {shlex.quote(str(folder))} && snakemake --cores all --configfile config/demo.yaml")
