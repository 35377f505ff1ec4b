"""Settings of the data: what fires and their ground are read from, and how fires are split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from emberformer.stage import Stage, check_shares

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="letters, digits, _ . -")]
WindUnit = Literal["m s-1", "km h-1", "mph"]


class BandSettings(Stage):
    """How one band of the landscape raster is read.

    Bands that carry one of the names `elevation`, `slope_deg`, `aspect_deg`, `fuel_model` or `burnable` are
    understood by maps and baselines; any other name is passed to the model as it is.
    """

    name: Name | None = Field(default=None, description="name in the fires store; by default the raster's own")
    kind: Literal["continuous", "categorical", "binary", "angle"] = Field(
        description="continuous: numbers; categorical: codes without an order, such as fuel models; binary: 0 or 1; "
        "angle: degrees"
    )
    unit: str = Field(
        default="1", description="'m', 'deg', 'percent' (slope), 'kg m-3' ...; slope in percent becomes degrees"
    )
    points: Literal["downslope", "upslope"] = Field(default="downslope", description="where an angle band points")
    nodata_value: float | None = Field(
        default=None, description="a value that stands for no data in this band, beside the nodata value of the raster"
    )

    def is_slope_in_percent(self, name: str) -> bool:
        """Whether it becomes degrees; canopy cover and moisture are percent too, but only a slope has an angle."""
        return name == "slope_deg" and self.unit == "percent"

    def unit_in_store(self, name: str) -> str:
        """Unit of the band in the fires store, where it has this name."""
        return "deg" if self.kind == "angle" or self.is_slope_in_percent(name) else self.unit


class EncodingSettings(Stage):
    """How a frame's PNG says 'burned': this channel has this value."""

    channel: int = Field(
        default=1,
        ge=0,
        le=3,
        description="of the image, counted from 0; of red, green, blue 1 is green; a grey image has 0 alone",
    )
    value: int = Field(
        default=231, ge=0, le=255, description="of that channel where a pixel has burned; any other value: it has not"
    )


class WeatherSettings(Stage):
    """Columns of the weather tables, and which row drives which step."""

    speed: str = Field(default="WS", description="column of the wind's speed")
    speed_unit: WindUnit = Field(default="km h-1", description="unit of that column; the fires store has m s-1")
    direction: str = Field(default="WD", description="degrees clockwise from north that the wind blows FROM")
    row_offset: int = Field(
        default=0,
        description="row k + row_offset drives the step from frame k to k + 1; 0: the wind of the step to be "
        "forecast is known, as a weather forecast would be; -1: only the past wind is",
    )


def band_units(bands: Mapping[str, BandSettings]) -> dict[str, str]:
    """Unit of each band by its name in the fires store; a slope in percent becomes degrees."""
    named = {band.name or key: band for key, band in bands.items()}
    return {name: band.unit_in_store(name) for name, band in named.items()}


def foresees_wind(weather: WeatherSettings | None) -> bool:
    """Whether the wind of the step to be forecast would be known, as from a weather forecast."""
    return weather is None or weather.row_offset >= 0


class SimulationSettings(Stage):
    """Fires by minimum travel time on generated terrain, fuel and wind (see `emberformer.data.simulate`)."""

    fires: int = Field(default=40, ge=1, description="number of fires")
    frames: int = Field(
        default=8,
        ge=2,
        description="of a fire at most; it ends when it stops growing or reaches the edge of its window",
    )
    window: int = Field(default=112, ge=28, description="height and width of a fire's window in pixels")
    landscape: int = Field(default=280, ge=28, description="height and width of the landscape in pixels")
    cell_m: float = Field(default=30.0, gt=0, description="side of a pixel in metres")
    seed: int = Field(
        default=0, description="of the landscape, the winds and the fires; more fires leave the first ones as they are"
    )


class SourceSettings(Stage):
    """What the settings of every source hold; each further has `source`, `minutes_per_frame` and the properties below.

    Properties:
        band_units: unit of each band of the terrain, by its name in the fires store.
        foresees_wind: whether the wind of the step to be forecast would be known, as from a weather forecast.
        tells_target_wind: whether the source tells it.
    """

    root: Path = Field(description="folder of the source's files; ~ and $VARIABLES are written out")
    features: str | None = Field(
        default=None,
        description="a finished feature store to read instead of extracting one: a folder or a URL such as s3://...",
    )

    @property
    def stays_burned(self) -> bool:
        """Whether frames show what has burned by then, and not what burns at the time."""
        return True


class DeepCrownSettings(SourceSettings):
    """One landscape with its fires, in the deep_crown layout."""

    source: Literal["deep_crown"] = Field(
        default="deep_crown", description="the reader: one landscape and folders of frames"
    )
    minutes_per_frame: float = Field(gt=0, description="from a frame to the next")
    bands: dict[str, BandSettings] = Field(
        min_length=1, description="raster band name (or number from 1) -> how it is read"
    )
    encoding: EncodingSettings = Field(
        default=EncodingSettings(), description="what stands for burned in the frames' images"
    )
    weather: WeatherSettings | None = Field(default=WeatherSettings(), description="null: the source has no weather")
    isochrones: bool = Field(
        default=True, description="false: the source has no isochrones folder; the next frame is the target"
    )
    simulation: SimulationSettings | None = Field(
        default=None, description="given: the fires are simulated into `root` first"
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


class SplitSettings(Stage):
    """Which fires are trained on, chosen on and tested on; always whole fires."""

    by: Literal["fire", "block", "landscape", "year", "published", "sequence"] = Field(
        default="fire",
        description="fire, block, landscape: by `train`, `validation`, `test` and `test_landscapes`; year: a fold of "
        "WildfireSpreadTS; published: as Next Day Wildfire Spread is; sequence: a shuffle of the numbers of the fires",
    )
    train: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="share of the fires; with `by: landscape` of those that are not `test_landscapes`, in "
        "proportion to validation",
    )
    validation: float = Field(
        default=0.15, ge=0, le=1, description="share of the fires by which epochs, thresholds and radii are chosen"
    )
    test: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="share of the fires that are scored; train, validation and test add up to 1",
    )
    block_km: float = Field(default=5.0, gt=0, description="side of a block, with `by: block`")
    test_landscapes: tuple[str, ...] = Field(default=(), description="data sets of which all fires are for the test")
    seed: int = Field(default=42, description="another seed, another division; year and published have none")
    fold: int | None = Field(
        default=None, ge=0, le=11, description="of the 12 folds of WildfireSpreadTS, with `by: year` only"
    )
    leakage: Literal["stop", "report"] = Field(
        default="stop",
        description="where the test holds what training has seen (equal fires, twin terrain, windows that overlap "
        "though blocks or data sets are kept apart): stop with a list, or write it into the split and go on",
    )

    @model_validator(mode="after")
    def _shares_add_up(self):
        check_shares(self.train, self.validation, self.test)
        return self

    @model_validator(mode="after")
    def _keys_fit_the_kind(self):
        if (self.by == "year") != (self.fold is not None):
            raise ValueError("fold belongs to by: year; give both, or neither")
        if self.test_landscapes and self.by in ("year", "published", "sequence"):
            raise ValueError(f"test_landscapes: by: {self.by} says by itself what is tested")
        return self
