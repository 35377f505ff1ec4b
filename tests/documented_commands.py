"""Commands that pages and help texts name."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer.main

from emberformer.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / ".ci" / "run"]
PROGRAMS = ("emberformer", "snakemake", "make", "python")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")


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
