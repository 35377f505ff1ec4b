"""Settings of a WildfireSpreadTS data set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emberformer.data_settings import SourceSettings


class WildfireSpreadTSSettings(SourceSettings):
    """Fires of WildfireSpreadTS (doi:10.5281/zenodo.8006177), with one folder a year under `root`."""

    source: Literal["wsts"] = Field(default="wsts", description="the reader: WildfireSpreadTS")
    years: tuple[int, ...] | None = Field(default=None, min_length=1, description="years to read; null: all there are")
    layout: Literal["geotiff", "hdf5"] | None = Field(
        default=None,
        description="geotiff: `<year>/fire_<id>/<date>.tif`; hdf5: `<year>/fire_<id>.hdf5`; null: whichever is there",
    )
    missing_days: Literal["unknown", "skip"] = Field(
        default="unknown",
        description="a day without a file between two with one: unknown puts in a frame in which nothing is known; "
        "skip closes the gap, as the data set's own loader does",
    )
    missing_attributes: Literal["refuse", "unknown"] = Field(
        default="refuse",
        description="an HDF5 file without img_dates or lnglat: refuse does as `on_error` says; unknown reads it, with "
        "days counted from 1970-01-01 or without a place",
    )
    on_error: Literal["stop", "skip"] = Field(
        default="stop", description="skip: fires whose files cannot be used are left out, and listed in the store"
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
        return {"elevation": "m", "slope_deg": "deg", "aspect_deg": "deg", "landcover": "1"}

    @property
    def foresees_wind(self) -> bool:
        """The weather of a frame is that of its own day, so the wind of the step to be forecast is not known."""
        return False

    @property
    def tells_target_wind(self) -> bool:
        """Whether it tells the wind of the step to be forecast."""
        return False
