"""What the settings of every stage have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Stage(BaseModel):
    """Settings of one stage: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def merged(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Content with changes put in, key by key at every depth; lists are replaced whole.

    >>> merged({"model": {"layers": 2, "heads": 4}}, {"model": {"layers": 3}})
    {'model': {'layers': 3, 'heads': 4}}
    """
    result = dict(content)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result
