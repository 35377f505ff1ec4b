"""Every command that a page or a help text names can be parsed: its verb, options, targets and configuration exist."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import typer.main
from snakemake.cli import get_argument_parser

from emberformer.cli import app
from emberformer.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / ".ci" / "run"]
PROGRAMS = ("emberformer", "snakemake", "make", "python")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
RULE = re.compile(r"^rule (\w+):", re.MULTILINE)
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)
VARIABLE = re.compile(r"^([A-Z]+) \?=", re.MULTILINE)
YOURS = {"config/mine.yaml"}  # what a page tells its readers to write
KEYS = {"experiments", "folds"}  # of the workflow's `--config`, beside those of a configuration


class Command(NamedTuple):
    """A command of a page; `whole` if it can be run as it stands, and not only in parts such as `emberformer check`."""

    page: str
    program: str
    arguments: tuple[str, ...]
    whole: bool


def commands_of(page: str, text: str) -> Iterator[Command]:
    """Commands of a Markdown page: in its shell blocks, and between backticks."""
    for language, block in FENCE.findall(text):
        if language in ("", "sh", "bash"):
            yield from _in_shell(page, block, whole=True)
    for words in INLINE.findall(FENCE.sub("", text)):
        if re.match(r"(emberformer|snakemake|make|python -m) ", words):
            yield from _in_shell(page, words, whole=False)


def _in_shell(page: str, script: str, whole: bool) -> Iterator[Command]:
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # a quote that is closed on another line: no command of ours has one
            continue
        for command in _split(words):
            if command[0] in PROGRAMS:
                yield Command(
                    page, command[0], tuple(w for w in command[1:] if w != "..."), whole and "..." not in command
                )
            elif re.match("--[a-z]", command[0]) and whole:  # a line of options on its own goes to Snakemake
                yield Command(page, "snakemake", tuple(command), whole)


def _split(words: list[str]) -> Iterator[list[str]]:
    """Commands of a line, without assignments before them, redirections, and the shell's own words."""
    command: list[str] = []
    for word in [*words, ";"]:
        if not set(word) <= set(";&|()<>"):
            if command or not re.match(r"\w+=|do$|done$|\$$", word):
                command.append(word)
        elif word not in ("<", ">", ">>") and command:
            yield command[: command.index(">")] if ">" in command else command
            command = []
        elif command:
            command.append(">")


def help_texts(command: Any = None, name: str = "emberformer") -> Iterator[tuple[str, str]]:
    """Full names of all verbs and groups, with their help."""
    command = typer.main.get_command(app) if command is None else command
    yield name, command.help or ""
    for short, below in getattr(command, "commands", {}).items():
        yield from help_texts(below, f"{name} {short}")


def _all_commands() -> list[Command]:
    found = [one for page in PAGES if page.suffix for one in commands_of(str(page.relative_to(ROOT)), page.read_text())]
    found += _in_shell(".ci/run", (ROOT / ".ci" / "run").read_text(), whole=True)
    for name, text in help_texts():
        for example in re.findall(r"^Example: (.+?)(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL):
            found += _in_shell(f"{name} --help", example.replace("\n", " "), whole=True)
    return list(dict.fromkeys(found))


COMMANDS = _all_commands()


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


def check_python(arguments: tuple[str, ...], whole: bool) -> None:
    if arguments[:1] == ("-m",) and arguments[1].startswith(("benchmarks", "emberformer")):
        assert find_spec(arguments[1]), f"no module {arguments[1]}"


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
    ],
)
def test_what_does_not_exist_is_found(text, said):
    (command,) = commands_of("page.md", text)
    with pytest.raises(AssertionError, match=re.escape(said)):
        CHECKS[command.program](command.arguments, command.whole)
