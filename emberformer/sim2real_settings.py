"""Settings of the reader of Sim2Real-Fire."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from emberformer.data_settings import SourceSettings

Layer = Literal[
    "elevation",
    "slope_deg",
    "aspect_deg",
    "fuel_model",
    "fuel_model_13",
    "fuel_characteristic",
    "fuel_disturbance",
    "fuel_vegetation_type",
    "fuel_vegetation_cover",
    "fuel_vegetation_height",
    "canopy_cover",
    "canopy_height",
    "canopy_base_height",
    "canopy_bulk_density",
    "vegetation_type",
    "vegetation_cover",
    "vegetation_height",
    "succession_class",
    "vegetation_condition",
    "vegetation_departure",
]


UNITS: dict[Layer, str] = {  # in the store; all others are codes
    "elevation": "m",
    "slope_deg": "deg",
    "aspect_deg": "deg",
    "canopy_cover": "percent",
    "canopy_height": "m",
    "canopy_base_height": "m",
    "canopy_bulk_density": "kg m-3",
    "vegetation_departure": "percent",
}


class Sim2RealSettings(SourceSettings):
    """Sim2Real-Fire: `root` is one scene, with its rasters, its fires and their weather, or a folder of scenes."""

    source: Literal["sim2real"] = Field(default="sim2real", description="the reader: Sim2Real-Fire")
    layout: Literal["published", "code"] = Field(
        default="published", description="tree of the published packages, or the one that the published code reads"
    )
    layers: tuple[Layer, ...] = Field(
        default=(
            "elevation",
            "slope_deg",
            "aspect_deg",
            "fuel_model",
            "canopy_cover",
            "canopy_height",
            "canopy_base_height",
            "canopy_bulk_density",
        ),
        min_length=1,
        description="LANDFIRE rasters to keep; every scene must have all of them",
    )
    files: dict[Layer, str] = Field(
        default={}, description="layer -> file name of its raster, where the name does not tell which layer it is"
    )
    slope_unit: Literal["deg", "percent"] = Field(
        default="deg", description="of the raster of slope; in the fires store it is degrees"
    )
    weather: bool = Field(default=True, description="false: the weather is not read, and its wind is unknown")
    units: Literal["english", "metric"] = Field(
        default="english", description="of the weather: degrees Fahrenheit and miles, or Celsius and kilometres an hour"
    )
    minutes_per_frame: float = Field(default=60.0, gt=0, description="from a mask to the next")
    row_offset: int = Field(
        default=0,
        description="line n + row_offset of the weather, from 0, drives the step from mask `out<n>` to the next; 0: "
        "the wind of the step to be forecast is known, as a weather forecast would be; -1: only the past wind is",
    )
    on_error: Literal["stop", "skip"] = Field(
        default="stop", description="skip: fires that cannot be read are left out, and listed in the store"
    )

    @property
    def band_units(self) -> dict[str, str]:
        """Unit of each band of the terrain; a slope in percent becomes degrees."""
        return {layer: UNITS.get(layer, "1") for layer in self.layers}

    @property
    def foresees_wind(self) -> bool:
        """Whether the wind of the step to be forecast would be known, as from a weather forecast."""
        return not self.weather or self.row_offset >= 0

    @property
    def tells_target_wind(self) -> bool:
        """Whether it tells the wind of the step to be forecast."""
        return self.weather and self.foresees_wind
