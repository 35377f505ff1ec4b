"""Settings of the reader of Next Day Wildfire Spread."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from emberformer.stage import Stage


class NdwsSettings(Stage):
    """Tiles of Next Day Wildfire Spread, as its TFRecord files hold them."""

    source: Literal["ndws"] = "ndws"
    root: Path = Field(description="folder of the files next_day_wildfire_spread_train_00.tfrecord and so on")
    features: str | None = Field(
        default=None,
        description="a finished feature store to read instead of extracting one: a folder or a URL such as s3://...",
    )
    on_error: Literal["stop", "skip"] = Field(
        default="stop", description="what a damaged record does: stop, or be left out and listed"
    )

    @property
    def foresees_wind(self) -> bool:
        """Whether the wind of the step to be forecast would be known: the source has that of the day before alone."""
        return False

    @property
    def tells_target_wind(self) -> bool:
        """Whether it tells the wind of the step to be forecast."""
        return False
