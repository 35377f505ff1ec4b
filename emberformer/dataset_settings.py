"""Settings of one data set of any source."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from emberformer.data_settings import (
    BandSettings,
    DeepCrownSettings,
    SourceSettings,
    WeatherSettings,
    WindUnit,
    band_units,
    foresees_wind,
)
from emberformer.ndws_settings import NdwsSettings
from emberformer.sim2real_settings import Sim2RealSettings
from emberformer.stage import Stage
from emberformer.wsts_settings import WildfireSpreadTSSettings


class Cell2FireSettings(SourceSettings):
    """Simulations of Cell2Fire or C2F-W on one instance, as the simulator writes them."""

    source: Literal["cell2fire"] = Field(
        default="cell2fire", description="the reader: simulations of Cell2Fire or C2F-W"
    )
    outputs: str = Field(default="results", description="folder of the simulations under `root`; it holds `Grids`")
    minutes_per_frame: float = Field(gt=0, description="length of a weather period (--Weather-Period-Length)")
    window: int | None = Field(
        default=None, ge=1, description="height and width in pixels around where a fire begins; null: the whole ground"
    )
    crs: str | None = Field(default=None, description="of rasters that tell none (.asc), such as EPSG:32719")
    bands: dict[str, BandSettings] = Field(min_length=1, description="name of a raster's file -> how it is read")
    weather: WeatherSettings | None = Field(default=WeatherSettings(), description="null: the weather is left out")
    on_error: Literal["stop", "skip"] = Field(
        default="stop", description="skip: simulations whose grids do not fit are left out, and listed in the store"
    )

    @property
    def band_units(self) -> dict[str, str]:
        """Unit of each band; a slope in percent becomes degrees."""
        return band_units(self.bands)

    @property
    def foresees_wind(self) -> bool:
        """Whether the wind of the step to be forecast would be known, as from a weather forecast."""
        return foresees_wind(self.weather)

    @property
    def tells_target_wind(self) -> bool:
        """Whether it tells the wind of the step to be forecast."""
        return self.weather is not None and self.foresees_wind


class GivenBandSettings(Stage):
    """One band of the terrain of observed fires, in any CRS and resolution."""

    file: str | None = Field(
        default=None,
        description="FILE, FILE:BAND or either with @UNIT behind it (percent, ft, upslope), under `root`; {fire} is "
        "the fire's name; a number holds everywhere; null: slope_deg and aspect_deg are derived from elevation",
    )
    kind: Literal["continuous", "categorical", "binary", "angle"] = Field(
        description="continuous: numbers; categorical: codes without an order, such as fuel models; binary: 0 or 1; "
        "angle: degrees"
    )
    unit: str = Field(default="1", description="in the store: 'm', 'deg', 'kg m-3' ..., or whose codes a category has")


class ObservedSettings(SourceSettings):
    """Fires from perimeters of any form: folders of rasters or polygons, or one table of polygons of many fires."""

    source: Literal["observed"] = Field(default="observed", description="the reader: perimeters of any form")
    minutes_per_frame: float = Field(gt=0, description="length of a step; frames between perimeters repeat the last")
    fires: str = Field(
        default="fires/*", description="entries under `root`, a folder or file a fire; with `fire_column` one table"
    )
    fire_column: str | None = Field(default=None, description="column of a table that says which fire a polygon is of")
    time_column: str | None = Field(default=None, description="column of the polygons' times; null: found by its name")
    layer: str | None = Field(default=None, description="layer of the polygons, where a file has several")
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
    Annotated[DeepCrownSettings, Tag("deep_crown")]
    | Annotated[Cell2FireSettings, Tag("cell2fire")]
    | Annotated[ObservedSettings, Tag("observed")]
    | Annotated[WildfireSpreadTSSettings, Tag("wsts")]
    | Annotated[NdwsSettings, Tag("ndws")]
    | Annotated[Sim2RealSettings, Tag("sim2real")],
    Discriminator(
        _source_of,
        custom_error_type="source",
        custom_error_message="source is none of deep_crown, cell2fire, observed, wsts, ndws, sim2real",
    ),
]
