"""Settings of the reader of Next Day Wildfire Spread."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emberformer.data_settings import SourceSettings


class NdwsSettings(SourceSettings):
    """Tiles of Next Day Wildfire Spread (doi:10.1109/TGRS.2022.3192974): the TFRecord files in `root`."""

    source: Literal["ndws"] = Field(default="ndws", description="the reader: Next Day Wildfire Spread")
    on_error: Literal["stop", "skip"] = Field(
        default="stop", description="skip: records that cannot be read are left out, and listed in the store"
    )

    @property
    def minutes_per_frame(self) -> float:
        """A frame is a day."""
        return 1440.0

    @property
    def stays_burned(self) -> bool:
        """A frame shows what burns on its day."""
        return False

    @property
    def band_units(self) -> dict[str, str]:
        """Unit of each band of the terrain."""
        return {"elevation": "m", "population": "km-2"}

    @property
    def foresees_wind(self) -> bool:
        """The source has the weather of the first day alone, so the wind of the step to be forecast is not known."""
        return False

    @property
    def tells_target_wind(self) -> bool:
        """Whether it tells the wind of the step to be forecast."""
        return False
