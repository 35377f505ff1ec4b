"""Command line of the forecast of one new fire."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emberformer.data_settings import WindUnit
from emberformer.errors import InputError
from emberformer.options import Device, OfPhase, Threads, Variant, open_configuration, use_threads
from emberformer.settings import Feedback
from emberformer.training_settings import Phase

forecast_app = typer.Typer(rich_markup_mode=None)


@forecast_app.command()
def forecast(
    perimeters: Annotated[
        list[Path],
        typer.Option(
            help="What had burned: GeoTIFFs or PNG images (files, or their folder), a GeoTIFF with a band a time, a "
            "GeoPackage, GeoJSON or shapefile of polygons, or NetCDF.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    model: Annotated[Path | None, typer.Option(help="model.ckpt of a trained network, or")] = None,
    config: Annotated[
        Path | None, typer.Option(help="the configuration that it was trained with (and --variant, --phase, --seed).")
    ] = None,
    variant: Variant = None,
    phase: OfPhase = "phase1",
    seed: Annotated[int, typer.Option(help="Seed of the model to use.")] = 0,
    terrain: Annotated[
        list[str] | None,
        typer.Option(
            help="Band of the terrain: NAME=FILE, NAME=FILE:BAND, either with @UNIT behind it, NAME=NUMBER, or a file "
            "with named bands. Any CRS and resolution. Slope and aspect are derived from elevation where they lack.",
        ),
    ] = None,
    weather: Annotated[Path | None, typer.Option(help="CSV table of the wind, or one wind for all steps:")] = None,
    wind_speed: Annotated[float | None, typer.Option(help="its speed, in --wind-unit,")] = None,
    wind_direction: Annotated[float | None, typer.Option(help="degrees from north that it blows FROM,")] = None,
    wind_unit: Annotated[WindUnit | None, typer.Option(help="by default m s-1, or what the table says.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Length of a step; by default that of the model's training data.")
    ] = None,
    leads: Annotated[int, typer.Option(min=1, help="Steps to forecast.")] = 1,
    feedback: Annotated[Feedback, typer.Option(help="What a forecast becomes in the next step.")] = "stochastic",
    members: Annotated[
        int | None,
        typer.Option(min=1, help="Of --ensemble; by default as its configuration says. Of a stochastic rollout, 5."),
    ] = None,
    ensemble: Annotated[
        Path | None,
        typer.Option(help="model.ckpt of an ensemble that starts from this network: its futures go to OUT_members."),
    ] = None,
    start: Annotated[str | None, typer.Option(help="Time of the first perimeter, such as 2026-01-31T14:00.")] = None,
    time_column: Annotated[str | None, typer.Option(help="Column of the polygons' times.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer of the polygons, where a file has several.")] = None,
    encoding: Annotated[
        str | None, typer.Option(help="What burned in images in colour: CHANNEL=VALUE, such as 1=231.")
    ] = None,
    crs: Annotated[str | None, typer.Option(help="Projected CRS to forecast in, such as EPSG:32719.")] = None,
    cell: Annotated[float | None, typer.Option(help="Side of a pixel in metres, for polygons.")] = None,
    margin: Annotated[float, typer.Option(help="Ground around polygons, in metres.")] = 3000.0,
    template: Annotated[Path | None, typer.Option(help="A raster whose grid is taken.")] = None,
    window: Annotated[int | None, typer.Option(help="Side in pixels of a square around the fire.")] = None,
    name: Annotated[str, typer.Option(help="Name of the fire.")] = "new_fire",
    probability: Annotated[
        list[float] | None, typer.Option(help="Probabilities of the perimeters; by default 10, 25, 50, 75 and 90 %.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="Files to write: geotiff, percent, arrival_time, geopackage, geojson, netcdf, map, gif, mp4, zarr; by "
            "default all but zarr.",
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Forecast one new fire: maps, perimeters, arrival times and a picture that open in QGIS.

    Example: emberformer forecast --config config/demo.yaml --perimeters fire/ --terrain elevation=dem.tif
    --terrain fuel_model=fuel.tif --terrain canopy_cover=40 --terrain burnable=1
    --wind-speed 8 --wind-direction 270 --leads 3 --out forecast
    """
    from emberformer.data.new_fire import read_new_fire
    from emberformer.data.perimeter_images import parse_encoding
    from emberformer.forecast import LoadedModel, forecast_files, model_bands, trained_minutes
    from emberformer.settings import ForecastSettings

    use_threads(threads)
    trained, words = LoadedModel.load(_checkpoint(model, config, variant, phase, seed)), terrain or []
    fire = read_new_fire(
        perimeters[0] if len(perimeters) == 1 else perimeters,
        minutes=minutes or trained_minutes(trained),
        bands=model_bands(trained, words),
        terrain=words,
        weather=weather,
        wind_speed=wind_speed,
        wind_direction=wind_direction,
        wind_unit=wind_unit,
        needs_wind=trained.settings.model.wind,
        leads=leads,
        start=start,
        time_column=time_column,
        layer=layer,
        encoding=parse_encoding(encoding) if encoding else None,
        crs=crs,
        cell_m=cell,
        margin_m=margin,
        template=template,
        window=window,
        history=trained.settings.model.history,
        name=name,
    )
    told = ForecastSettings(leads=leads, feedback=feedback, members=members or ForecastSettings().members)
    files = forecast_files(trained, fire, told, out, probability, formats, device, ensemble, members)
    for what, path in files.items():
        typer.echo(f"{what}: {path}")


def _checkpoint(model: Path | None, config: Path | None, variant: str | None, phase: Phase, seed: int) -> Path:
    """The model's file.

    Raises:
        InputError: neither or both are named.
    """
    if (model is None) == (config is None):
        found = "neither" if model is None else "both"
        raise InputError("--model, --config", found, "one of them", "name a model.ckpt, or a configuration")
    if model is not None:
        return model
    assert config is not None
    return open_configuration(config, variant=variant)[1].model(seed, phase) / "model.ckpt"
