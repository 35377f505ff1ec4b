"""Perimeters of a new fire of any kind, on the grid that it is forecast on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rasterio.crs import CRS

from emberformer.data.fire_grid import Grid, choose_grid, grid_over, move_burned, parse_crs, suitable_crs
from emberformer.data.fire_history import Observations
from emberformer.data.perimeter_images import read_image_perimeters
from emberformer.data.perimeter_netcdf import read_netcdf_perimeters
from emberformer.data.perimeter_polygons import Outlines, rasterise, read_many_outlines
from emberformer.data.perimeter_rasters import place_of, read_raster_perimeters
from emberformer.data.raster_files import opened_raster
from emberformer.data_settings import EncodingSettings
from emberformer.errors import InputError

RASTERS, IMAGES, NETCDF = (".tif", ".tiff"), (".png",), (".nc", ".nc4")
VECTORS = (".gpkg", ".geojson", ".json", ".shp", ".fgb")
EXPECTED = (
    "GeoTIFFs, PNG images, GeoPackages, GeoJSONs or shapefiles (files, or a folder of them), one multi-band GeoTIFF, "
    "or one NetCDF file"
)


@dataclass(frozen=True)
class PerimeterOptions:
    """How perimeters are read.

    Args:
        minutes: length of a step.
        start: time of the first perimeter, or from which minutes count.
        time_column: column of the polygons' times.
        layer: layer of the polygons.
        encoding: what stands for burned in images.
        crs: projected CRS to forecast in, such as 'EPSG:32719'.
        cell_m: side of a pixel in metres.
        margin_m: ground around polygons in metres.
        template: raster whose grid is taken.
    """

    minutes: float
    start: np.datetime64 | None = None
    time_column: str | None = None
    layer: str | None = None
    encoding: EncodingSettings | None = None
    crs: str | None = None
    cell_m: float | None = None
    margin_m: float = 3000.0
    template: Path | None = None


def read_perimeters(
    perimeters: Path | Sequence[Path], options: PerimeterOptions, terrain: Sequence[Path] = ()
) -> tuple[Observations, Grid]:
    """Perimeters on the grid that the fire is forecast on.

    Args:
        perimeters: a file, files, or a folder.
        options: how they are read.
        terrain: rasters on whose grid images are put that have no place of their own, if the sizes agree.

    Raises:
        InputError: naming the file that does not fit.
    """
    paths = list_files(perimeters)
    template = read_grid(options.template) if options.template else None
    crs = parse_crs(options.crs) if options.crs else None
    kind = paths[0].suffix.lower()
    if kind in VECTORS:
        return _polygons(paths, options, crs, template)
    if kind in RASTERS:
        observed = read_raster_perimeters(paths, options.start, options.minutes)
    elif kind in IMAGES:
        observed = read_image_perimeters(paths, options.encoding, options.start, options.minutes)
    else:
        observed = read_netcdf_perimeters(paths[0], options.start, options.minutes)
    native, notes = (observed.grid, []) if observed.grid else _place(observed, template, terrain)
    grid = template or choose_grid(native, crs, options.cell_m)
    burned = observed.burned
    if native.offset(grid) != (0, 0) or native.shape != grid.shape:
        burned = move_burned(burned, native, grid)
        notes.append(f"perimeters ({native.describe()}) are moved to {grid.describe()}; beyond them nothing is burned")
    return replace(observed, burned=burned, grid=grid, notes=(*observed.notes, *notes)), grid


def list_files(perimeters: Path | Sequence[Path]) -> list[Path]:
    """Files of the perimeters, all of one kind.

    Raises:
        InputError: there are none, of several kinds, or many NetCDF files.
    """
    if isinstance(perimeters, Path) and perimeters.is_dir():
        files = sorted(path for path in perimeters.iterdir() if not path.name.startswith("."))
        paths = [path for path in files if path.suffix.lower() in (*RASTERS, *IMAGES, *VECTORS, *NETCDF)]
    else:
        paths = [perimeters] if isinstance(perimeters, Path) else list(perimeters)
    where = perimeters if isinstance(perimeters, Path) else "--perimeters"
    remedy = "give files of one kind"
    if not paths:
        raise InputError(where, "no perimeters", EXPECTED, remedy)
    kinds = {path.suffix.lower() for path in paths}
    if len(groups := [group for group in (RASTERS, IMAGES, VECTORS, NETCDF) if kinds & set(group)]) != 1:
        raise InputError(where, f"files of kinds {', '.join(sorted(kinds))}", EXPECTED, remedy)
    if groups[0] == NETCDF and len(paths) > 1:
        raise InputError(where, f"{len(paths)} files ({paths[0].name}, {paths[1].name} ...)", EXPECTED, remedy)
    if kinds - set(groups[0]):
        raise InputError(where, f"files of kinds {', '.join(sorted(kinds))}", EXPECTED, remedy)
    if missing := [path for path in paths if not path.is_file()]:
        raise InputError(missing[0], "no such file", EXPECTED, "correct the path")
    return paths


def read_grid(path: Path) -> Grid:
    """Grid of a template raster.

    Raises:
        InputError: it has no place, or is not projected and north-up with square pixels.
    """
    remedy = "supply a north-up raster in a projected CRS (gdalwarp -t_srs EPSG:<code> -tr <cell> <cell>)"
    with opened_raster(path, remedy) as raster:
        grid = place_of(raster)
    if grid is None or not grid.is_regular:
        found = grid.describe() if grid else "no coordinate reference system"
        raise InputError(path, found, "a projected CRS and square pixels, north up", remedy)
    return grid


def _polygons(
    paths: Sequence[Path], options: PerimeterOptions, crs: CRS | None, template: Grid | None
) -> tuple[Observations, Grid]:
    outlines = read_many_outlines(paths, options.time_column, options.start, options.layer)
    return rasterise_outlines(outlines, options, crs, template)


def rasterise_outlines(
    outlines: Outlines, options: PerimeterOptions, crs: CRS | None = None, template: Grid | None = None
) -> tuple[Observations, Grid]:
    """Polygons on the grid that the fire is forecast on.

    Args:
        outlines: polygons of one fire.
        options: cell and margin of the grid.
        crs: projected CRS that is asked for; by default the polygons' own, or their UTM zone.
        template: grid to take.

    Raises:
        InputError: the side of a pixel is not given.
    """
    if template is None and options.cell_m is None:
        remedy = "give --cell (cell_m of a data set) in metres: best the cell that the model was trained on"
        raise InputError(outlines.where, "polygons, which have no pixels", "the side of a pixel", remedy)
    if template:
        grid = template
    else:
        crs = crs or suitable_crs(outlines.crs, outlines.bounds_in(outlines.crs))
        grid = grid_over(outlines.bounds_in(crs), crs, options.cell_m or 0.0, options.margin_m)
    observed = rasterise(outlines, grid)
    name = Path(outlines.where).name
    note = f"polygons of {name} are rasterised to {grid.describe()}: a pixel is burned if its centre is"
    return replace(observed, notes=(*observed.notes, note)), grid


def _place(observed: Observations, template: Grid | None, terrain: Sequence[Path]) -> tuple[Grid, list[str]]:
    """Grid of perimeters without a place: that of the template, or of the first terrain raster of their size.

    Raises:
        InputError: none has their size.
    """
    shape = observed.burned.shape[1:]
    remedy = (
        "write their place into them (gdal_translate -a_srs EPSG:<code> -a_ullr <west> <north> <east> <south> IN OUT); "
        "`forecast` also takes --template, a raster that lies where they lie"
    )
    if template:
        if template.shape != shape:
            found = f"{shape[0]} x {shape[1]} pixels without a place"
            expected = f"{template.height} x {template.width} pixels, as the template"
            raise InputError(observed.where, found, expected, "supply a template of the same size")
        return template, []
    sizes = []
    for path in terrain:
        with opened_raster(path, "supply the raster again") as raster:
            grid = place_of(raster)
        if grid and grid.shape == shape:
            return grid, [f"the perimeters say nothing of their place: they are put on the grid of {path.name}"]
        sizes.append(f"{path.name}: {raster.height} x {raster.width}")
    found = f"{shape[0]} x {shape[1]} pixels without a coordinate reference system"
    expected = f"a place, or a terrain raster of the same size ({'; '.join(sizes) or 'none given'})"
    raise InputError(observed.where, found, expected, remedy)
