"""Settings of one data set of any source."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from emberformer.data_settings import DeepCrownSettings, EncodingSettings, SourceSettings, WindUnit
from emberformer.stage import Stage


class GivenBandSettings(Stage):
    """One band of the terrain of observed fires, in any CRS and resolution."""

    file: str | None = Field(
        default=None,
        description="FILE, FILE:BAND or either with @UNIT behind it (percent, ft, upslope), under `root`; {fire} is "
        "the fire's name; a number holds everywhere; null: slope_deg and aspect_deg are derived from elevation",
    )
    kind: Literal["continuous", "categorical", "binary", "angle"]
    unit: str = Field(default="1", description="in the store: 'm', 'deg', 'kg m-3' ..., or whose codes a category has")


class ObservedSettings(SourceSettings):
    """Fires from perimeters of any form: folders of rasters or polygons, or one table of polygons of many fires."""

    source: Literal["observed"] = "observed"
    minutes_per_frame: float = Field(gt=0, description="length of a step; frames between perimeters repeat the last")
    fires: str = Field(
        default="fires/*", description="entries under `root`, a folder or file a fire; with `fire_column` one table"
    )
    fire_column: str | None = Field(default=None, description="column of a table that says which fire a polygon is of")
    time_column: str | None = Field(default=None, description="column of the polygons' times; null: found by its name")
    layer: str | None = Field(default=None, description="layer of the polygons, where a file has several")
    encoding: EncodingSettings | None = Field(default=None, description="what stands for burned in PNG images")
    window: int = Field(ge=14, description="height and width in pixels of a fire's window, around where it begins")
    cell_m: float | None = Field(
        default=None, gt=0, description="side of a pixel in metres; null: that of the rasters, which must all have one"
    )
    crs: str | None = Field(default=None, description="projected CRS, such as EPSG:32611; null: each fire's own")
    bands: dict[str, GivenBandSettings] = Field(
        min_length=1, description="name in the fires store -> what it is read from"
    )
    weather: str | None = Field(
        default=None,
        description="table of the wind (CSV with a header) under `root`; {fire} stands for the fire's name",
    )
    wind_unit: WindUnit | None = Field(default=None, description="of the speed, where the table does not say")
    on_error: Literal["stop", "skip"] = Field(
        default="stop", description="skip: fires that cannot be read are left out, and listed in the store"
    )

    @property
    def band_units(self) -> dict[str, str]:
        """Unit of each band."""
        return {name: band.unit for name, band in self.bands.items()}

    @property
    def foresees_wind(self) -> bool:
        """Row k of the weather is the wind at frame k: that of the step to be forecast, as a forecast would tell."""
        return True

    @property
    def tells_target_wind(self) -> bool:
        """Whether there is a wind."""
        return self.weather is not None


def _source_of(told: Any) -> Any:
    return told.get("source", "deep_crown") if isinstance(told, dict) else getattr(told, "source", None)


# The key `source` says which; a data set without it has the deep_crown layout.
DatasetSettings = Annotated[
    Annotated[DeepCrownSettings, Tag("deep_crown")] | Annotated[ObservedSettings, Tag("observed")],
    Discriminator(
        _source_of, custom_error_type="source", custom_error_message="source is none of deep_crown, observed"
    ),
]
