"""Settings beside the file: single keys with dots, as sweeps and the command line give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from emberformer.detection_settings import without_preset
from emberformer.errors import InputError
from emberformer.settings import Settings, parse_settings
from emberformer.stage import merged


def parse_changes(texts: Sequence[str], where: object = "--set") -> dict[str, Any]:
    """Changes from texts: `key=value` with the value in YAML, or a mapping of several keys in YAML or JSON.

    >>> parse_changes(["model.d_model=64", '{"training.epochs": 3}', "model.wind=false"])
    {'model.d_model': 64, 'training.epochs': 3, 'model.wind': False}

    Raises:
        InputError: a text is neither.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        try:
            read = yaml.safe_load(text if text.lstrip().startswith("{") else value)
        except yaml.YAMLError as error:
            raise _unreadable(where, text) from error
        if text.lstrip().startswith("{") and isinstance(read, dict):
            changes |= {str(name): of for name, of in read.items()}
        elif equals and key.strip():
            changes[key.strip()] = read
        else:
            raise _unreadable(where, text)
    return changes


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Mapping of keys with dots as mappings inside each other.

    >>> nested({"model.d_model": 64, "model.heads": 2, "name": "a"})
    {'model': {'d_model': 64, 'heads': 2}, 'name': 'a'}
    """
    content: dict[str, Any] = {}
    for key, value in flat.items():
        inner: Any = value
        for part in reversed(key.split(".")):
            inner = {part: inner}
        content = merged(content, inner)
    return content


def changed(settings: Settings, flat: Mapping[str, Any], where: object = "--set") -> Settings:
    """Settings with single keys changed, validated as a whole; a changed preset sets its keys, as in a file.

    Raises:
        InputError: an unknown or unfit key.
    """
    content, changes = settings.model_dump(mode="json"), nested(flat)
    of_detector = changes.get("detection")
    if settings.detection is not None and isinstance(of_detector, dict) and "preset" in of_detector:
        content["detection"] = without_preset(content["detection"])
    return parse_settings(merged(content, changes), where)


def _unreadable(where: object, text: str) -> InputError:
    return InputError(where, text, "key=value, such as model.d_model=64, or a JSON object of keys", "correct the text")
