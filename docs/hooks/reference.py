"""What the site's reference takes from the code: the verbs of the command line, and the keys of a configuration.

MkDocs calls `on_page_markdown` for every page; a page asks for one of them by a line such as `<!-- verbs -->`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import typer
import typer.main

from emberformer.cli import app
from emberformer.settings import Settings

EXAMPLE = re.compile(r"^Example: (.+?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its generated parts."""
    for mark, write in (("<!-- verbs -->", verbs), ("<!-- settings -->", settings)):
        if mark in markdown:
            markdown = markdown.replace(mark, write())
    return markdown


def verbs() -> str:
    """Every verb of the command line: what it does, its examples, and its options."""
    group = typer.main.get_command(app)
    return "\n\n".join(_verb(command, name, 2) for name, command in _commands(group))


def _commands(group: Any) -> Iterator[tuple[str, Any]]:
    context = typer.Context(group)
    for name in group.list_commands(context):
        yield name, group.get_command(context, name)


def _verb(command: Any, name: str, level: int) -> str:
    text = EXAMPLE.sub(_example, command.help or "")
    parts = [f"{'#' * level} {name}", text]
    if hasattr(command, "list_commands"):
        parts += [_verb(below, f"{name} {short}", level + 1) for short, below in _commands(command)]
        return "\n\n".join(parts)
    rows = [_option(parameter) for parameter in command.params]
    return "\n\n".join([*parts, _table(("option", "default", "meaning"), rows)])


def _example(found: re.Match[str]) -> str:
    command = found[1].replace("\n", " \\\n    ")
    return f"```sh\n{command}\n```"


def _option(parameter: Any) -> tuple[str, str, str]:
    given = [*parameter.opts, *parameter.secondary_opts]
    if parameter.param_type_name == "argument":
        given = [name.upper() for name in given]
    names = ", ".join(f"`{name}`" for name in given) + ("; repeated" if parameter.multiple else "")
    default = "**needed**" if parameter.required else "" if parameter.default is None else f"`{parameter.default}`"
    return names, default, parameter.help or ""


def settings() -> str:
    """Every key of a configuration, a table for each group of keys."""
    schema = Settings.model_json_schema()
    sections, done = [], set()
    for heading, model in _groups(schema["properties"], schema["$defs"], ""):
        if model in done:
            continue
        done.add(model)
        about = schema["$defs"][model]
        sections.append(f"## {heading} {{ #{model} }}\n\n{about.get('description', '')}\n\n{_keys(about)}")
    return "\n\n".join([f"## The file\n\n{_keys(schema)}", *sections])


def _groups(properties: dict, models: dict, above: str) -> Iterator[tuple[str, str]]:
    """Dotted key and model of every group of keys, from the outside in."""
    for key, told in properties.items():
        for model in re.findall(r'"#/\$defs/(\w+)"', json.dumps({k: v for k, v in told.items() if k != "default"})):
            inside = models[model]["properties"]
            source = inside.get("source", {}).get("const")
            named = {"object": ".NAME", "array": "[]"}.get(told.get("type", ""), "")
            heading = f"{above}{key}{named}" + (f", source: {source}" if source else "")
            yield heading, model
            yield from _groups(inside, models, f"{above}{key}{named}.")


def _keys(model: dict) -> str:
    required = model.get("required", [])
    rows = []
    for key, told in model["properties"].items():
        default = "**needed**" if key in required else _default(told.get("default"))
        rows.append((f"`{key}`", _kind(told), default, told.get("description", "")))
    return _table(("key", "value", "default", "meaning"), rows)


def _default(value: Any) -> str:
    return "see there" if isinstance(value, dict) and value else f"`{json.dumps(value, ensure_ascii=False)}`"


def _kind(told: dict) -> str:
    """What a value may be, in words."""
    if "$ref" in told:
        model = told["$ref"].rsplit("/", 1)[1]
        return f"[{model.removesuffix('Settings')}](#{model})"
    if several := told.get("anyOf") or told.get("oneOf"):
        return " or ".join(map(_kind, several))
    if "const" in told or "enum" in told:
        return ", ".join(f"`{value}`" for value in told.get("enum", [told.get("const")]))
    if told.get("type") == "array":
        return f"list of {_kind(told['items'])}" if "items" in told else "list"
    inside = told.get("patternProperties") or {"": told.get("additionalProperties")}
    if told.get("type") == "object":
        return " or ".join(f"NAME: {_kind(one)}" if isinstance(one, dict) else "mapping" for one in inside.values())
    kind = str(told.get("format", told["type"]))
    word = {"string": "text", "boolean": "true, false"}.get(kind, kind)
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {told[name]:g}" for name, sign in signs.items() if name in told]
    return f"{word} {', '.join(limits)}".strip()


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )
