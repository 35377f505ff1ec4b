"""What the settings of every stage have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Stage(BaseModel):
    """Settings of one stage: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
