"""Vector files: one GeoPackage with styled layers, and GeoJSON."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Mapping
from contextlib import closing
from io import BytesIO
from pathlib import Path

import geopandas
import pandas as pd
import pyogrio

from emberformer.errors import InputError

# Times as versions up to 1.3 demand them, and a version that older GDAL, QGIS and ArcGIS know.
OLDER = {"VERSION": "1.2"}
MILLISECONDS = {"DATETIME_PRECISION": "MILLISECOND"}
KILOMETRE = 1000.0  # m; edges that are straight on the map bend by 2 cm a kilometre in degrees
DECIMALS = 7  # of a degree: 1 cm


def write_geopackage(path: Path, layers: Mapping[str, geopandas.GeoDataFrame], styles: Mapping[str, str]) -> None:
    """Write layers and their QGIS styles into one GeoPackage.

    The styles stand in the table `layer_styles`, as QGIS itself saves them: it reads the default style of a layer from
    there. A layer may be empty; it still has its columns.

    Args:
        path: file to write.
        layers: name -> rows, all in one CRS; polygons or lines.
        styles: name -> QML, of some or all layers.

    Raises:
        OSError: the file is not whole, as on a full disk.
    """
    for name, layer in layers.items():
        kind = "MultiLineString" if "arrival_time" in layer.columns else "MultiPolygon"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "'crs' was not provided")  # the forecast has none
            pyogrio.write_dataframe(
                layer, path, layer=name, driver="GPKG", append=path.exists(), geometry_type=kind,
                dataset_options=OLDER, layer_options=MILLISECONDS,
            )  # fmt: skip
    rows = [
        {
            "f_table_catalog": "",
            "f_table_schema": "",
            "f_table_name": name,
            "f_geometry_column": "geom",
            "styleName": name,
            "styleQML": style,
            "styleSLD": "",
            "useAsDefault": True,
            "description": f"EmberFormer: {name}",
            "owner": "",
            "ui": "",
            "update_time": pd.Timestamp.now(tz="UTC").floor("s"),
        }
        for name, style in styles.items()
    ]
    pyogrio.write_dataframe(
        pd.DataFrame(rows), path, layer="layer_styles", driver="GPKG", append=True,
        layer_options={"FID": "id", **MILLISECONDS},
    )  # fmt: skip
    _check_whole(path, {name: len(layer) for name, layer in layers.items()} | {"layer_styles": len(styles)})


def write_geojson(path: Path, rows: geopandas.GeoDataFrame) -> None:
    """Write rows as GeoJSON (RFC 7946): longitude and latitude on WGS 84, outer rings counter-clockwise.

    Coordinates have seven decimals, about 1 cm. Edges get a vertex a kilometre, for a line that is straight on the map
    is not straight in degrees. Shapes are cut at the antimeridian.

    Raises:
        InputError: the rows have no CRS, so their place on Earth is not known.
    """
    crs = rows.crs
    if crs is None:
        expected = "a CRS, for GeoJSON is in longitude and latitude"
        raise InputError(path, "a forecast without a CRS", expected, "name the CRS of the map, or write no GeoJSON")
    if not crs.is_geographic:
        rows = rows.set_geometry(rows.geometry.segmentize(KILOMETRE / crs.axis_info[0].unit_conversion_factor))
    memory = BytesIO()  # GDAL does not always say that a disk is full
    pyogrio.write_dataframe(rows, memory, driver="GeoJSON", RFC7946="YES", COORDINATE_PRECISION=str(DECIMALS))
    path.write_bytes(memory.getvalue())


def _check_whole(path: Path, sizes: Mapping[str, int]) -> None:
    """Read a GeoPackage back, for GDAL does not say that the disk was full when it closed the file."""
    try:
        with closing(sqlite3.connect(path)) as opened:
            (state,) = opened.execute("PRAGMA quick_check").fetchone()
            found = {name: opened.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in sizes}
    except sqlite3.DatabaseError as error:
        state, found = str(error), {}
    if state != "ok" or found != dict(sizes):
        raise OSError(f"{path} is not whole ({state}, rows {found} of {dict(sizes)}): is the disk full?")
