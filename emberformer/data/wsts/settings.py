"""Settings of a WildfireSpreadTS data set."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from emberformer.stage import Stage


class WildfireSpreadTSSettings(Stage):
    """Fires of WildfireSpreadTS (doi:10.5281/zenodo.8006177), as GeoTIFFs or as HDF5 files."""

    source: Literal["wsts"] = "wsts"
    root: Path = Field(description="folder that holds one folder a year, such as 2018")
    features: str | None = Field(
        default=None,
        description="a finished feature store to read instead of extracting one: a folder or a URL such as s3://...",
    )
    years: tuple[int, ...] | None = Field(default=None, min_length=1, description="years to read; null: all there are")
    layout: Literal["geotiff", "hdf5"] | None = Field(
        default=None,
        description="geotiff: <year>/fire_<id>/<date>.tif; hdf5: <year>/fire_<id>.hdf5; null: whichever is there",
    )
    missing_days: Literal["unknown", "skip"] = Field(
        default="unknown",
        description="a day without a file between two with one: unknown puts in a frame in which nothing is known; "
        "skip closes the gap, as the data set's own loader does",
    )
    on_error: Literal["stop", "skip"] = Field(
        default="stop", description="what a fire whose files cannot be used does; skip leaves it out and lists it"
    )

    @property
    def foresees_wind(self) -> bool:
        """The weather of a frame is that of its own day, so the wind of the step to be forecast is not known."""
        return False

    @property
    def tells_target_wind(self) -> bool:
        """Whether it tells the wind of the step to be forecast."""
        return False
