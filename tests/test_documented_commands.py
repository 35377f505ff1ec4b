"""Every command that a page or a help text names can be parsed: its verb, options, targets and configuration exist."""

import contextlib
import io
import os
import re
import runpy
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import pytest
import typer
import typer.main
from snakemake.cli import get_argument_parser

from emberformer.cli import app
from emberformer.settings import Settings
from tests.documented_commands import COMMANDS, PROGRAMS, ROOT, commands_of

RULE = re.compile(r"^rule (\w+):", re.MULTILINE)
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)
VARIABLE = re.compile(r"^([A-Z]+) \?=", re.MULTILINE)
YOURS = {"config/mine.yaml"}  # what a page tells its readers to write
KEYS = {"experiments", "folds"}  # of the workflow's `--config`, beside those of a configuration


def check_emberformer(arguments: tuple[str, ...], whole: bool) -> None:
    command, words = typer.main.get_command(app), list(arguments)
    context = typer.Context(command, info_name="emberformer")
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        below = command.commands.get(words[0])  # pyright: ignore[reportAttributeAccessIssue]
        assert below or words[0] in ("VERB",), f"no verb {words[0]!r}"
        if below is None:
            return
        command, words = below, words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    named = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert named <= {*known, "--help"}, f"no options {named - known}"
    for option, value in pairwise(words):
        if option in ("--config", "--sweep"):
            exists(value)
    if whole and "--help" not in words:
        try:
            command.make_context("", [re.sub(r"\$\w+", "1", word) for word in words], parent=context)
        except Exception as error:  # typer's own kinds
            raise AssertionError(str(error) or type(error).__name__) from error


@cache
def _snakemake_parser() -> Any:
    return get_argument_parser()


@cache
def _rules() -> set[str]:
    files = [ROOT / "workflow" / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    return {rule for path in files for rule in RULE.findall(path.read_text())}


def check_snakemake(arguments: tuple[str, ...], whole: bool) -> None:
    try:
        told = _snakemake_parser().parse_args(list(arguments))
    except SystemExit as stopped:
        if stopped.code == 0:  # `--version` and `--help`
            return
        raise AssertionError("Snakemake cannot parse it") from stopped
    named = {*told.targets, *(told.until or ()), *told.set_resources, *told.set_threads}
    assert named <= _rules(), f"no rules {named - _rules()}"
    assert {text.split("=")[0] for text in told.config or ()} <= {*KEYS, *Settings.model_fields}
    for path in (*(told.configfile or ()), told.workflow_profile):
        exists(path)


def check_make(arguments: tuple[str, ...], whole: bool) -> None:
    text = (ROOT / "Makefile").read_text()
    for word in arguments:
        name, _, value = word.partition("=")
        known = VARIABLE.findall(text) if "=" in word else TARGET.findall(text)
        assert name in known, f"the Makefile has no {name}"
        if name == "CONFIG":
            exists(value)
    own = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES", "ARGS")}
    planned = subprocess.run(["make", "-n", *arguments], cwd=ROOT, capture_output=True, text=True, env=own)
    assert planned.returncode == 0, planned.stderr
    for command in commands_of("Makefile", f"```sh\n{planned.stdout}\n```"):
        if command.program != "make":
            CHECKS[command.program](command.arguments, whole=True)


def check_python(arguments: tuple[str, ...], whole: bool) -> None:
    if arguments[:1] != ("-m",) or not arguments[1].startswith(("benchmarks", "emberformer")):
        return
    name, options = arguments[1], {word.partition("=")[0] for word in arguments[2:] if word.startswith("--")}
    assert find_spec(name), f"no module {name}"
    if options:
        assert options <= {*re.findall(r"--[\w-]+", _help(name))}, f"{name} has no options {options}"


@cache
def _help(module: str) -> str:
    """What a module says of its options."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, "--help"])
        for variable in ("TQDM_DISABLE", "THP_MEM_ALLOC_ENABLE"):  # which benchmarks set for good
            patch.setenv(variable, "1")
        with pytest.raises(SystemExit):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    return told.getvalue()


def exists(path: object) -> None:
    """Configurations and profiles of the repository are there."""
    if str(path).startswith(("config/", "profiles/")):
        assert str(path) in YOURS or (ROOT / str(path)).exists(), f"no {path}"


CHECKS = {"emberformer": check_emberformer, "snakemake": check_snakemake, "make": check_make, "python": check_python}


@pytest.mark.parametrize("page", sorted({command.page for command in COMMANDS}))
def test_what_a_page_tells_to_type_exists(page):
    wrong = []
    for command in (command for command in COMMANDS if command.page == page):
        try:
            CHECKS[command.program](command.arguments, command.whole)
        except AssertionError as error:
            wrong.append(f"{command.program} {' '.join(command.arguments)}: {error}")
    assert not wrong, "\n".join(wrong)


def test_commands_are_found_at_all():
    by_program = {name: [one for one in COMMANDS if one.program == name] for name in PROGRAMS}
    assert all(len(found) > 5 for found in by_program.values())
    readme = {" ".join((one.program, *one.arguments)) for one in COMMANDS if one.page == "README.md"}
    assert {"make demo", "snakemake -n --configfile config/mine.yaml"} <= readme


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```sh\nemberformer ingset --config config/demo.yaml\n```", "no verb 'ingset'"),
        ("```sh\nemberformer ingest --config config/demo.yaml --data demo_valley\n```", "--data"),
        ("```sh\nemberformer ingest --config config/demo.yaml\n```", "dataset"),
        ("```sh\nemberformer split --config config/nowhere.yaml\n```", "no config/nowhere.yaml"),
        ("so `emberformer features verify STORE --mend` does", "--mend"),
        ("```\nsnakemake -n everything --configfile config/demo.yaml\n```", "everything"),
        ("```sh\nA=1 snakemake --set-resources trian:gpu=4 | cat\n```", "trian"),
        ("try `snakemake --no-such-option`", "cannot parse"),
        ("try `make tests`", "no tests"),
        ("try `make run COFNIG=config/demo.yaml`", "no COFNIG"),
        ("```sh\ncd x && make run CONFIG=config/nowhere.yaml\n```", "no config/nowhere.yaml"),
        ("run `python -m benchmarks.nothing`", "no module"),
        ("run `python -m benchmarks.ensemble_truth --sedes 1`", "no options {'--sedes'}"),
        ("run `python -m benchmarks --just gpu`", "no options {'--just'}"),
    ],
)
def test_what_does_not_exist_is_found(text, said):
    (command,) = commands_of("page.md", text)
    with pytest.raises(AssertionError, match=re.escape(said)):
        CHECKS[command.program](command.arguments, command.whole)
