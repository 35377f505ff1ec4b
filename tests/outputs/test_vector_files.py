"""GeoPackage and GeoJSON opened again."""

import json
import re
import sqlite3
from contextlib import closing

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely

from emberformer.errors import InputError
from emberformer.outputs.isochrones import isochrones
from emberformer.outputs.perimeters import newest_perimeter, perimeters
from emberformer.outputs.vector_files import write_geojson, write_geopackage
from tests.outputs.forecasts import KINDS, example, forecast_of, spreading

STYLES = {"perimeters": "<qgis a='1'/>", "isochrones": "<qgis/>"}


def layers_of(kind: str) -> dict[str, geopandas.GeoDataFrame]:
    forecast = example(kind)
    return {
        "perimeters": perimeters(forecast),
        "isochrones": isochrones(forecast),
        "newest_perimeter": newest_perimeter(forecast),
    }


def areas(rows: geopandas.GeoDataFrame) -> np.ndarray:
    """In units of the map, also where these are degrees."""
    return np.array([shape.area for shape in rows.geometry], float)


@pytest.mark.parametrize("kind", ["ordinary", "no fire", "degrees", "no CRS"])
def test_a_geopackage_gives_its_layers_back(kind, tmp_path):
    layers, path = layers_of(kind), tmp_path / "forecast.gpkg"
    write_geopackage(path, layers, STYLES)
    assert pyogrio.list_layers(path)[:, 0].tolist() == [*layers, "layer_styles"]
    for name, layer in layers.items():
        read = pyogrio.read_dataframe(path, layer=name)
        assert len(read) == len(layer)
        assert list(read.columns) == list(layer.columns)
        assert read.crs == layer.crs or (layer.crs is None and "ndefined" in str(read.crs))
        np.testing.assert_allclose(areas(read), areas(layer), rtol=1e-12)
        for column in ("init_time", "valid_time", "arrival_time"):
            if column in read.columns and len(read):
                assert (read[column] == layer[column]).all()


def test_qgis_finds_the_default_style_of_a_layer(tmp_path):
    """QGIS asks for the default style by catalogue, schema, table and geometry column, the first two empty."""
    write_geopackage(tmp_path / "forecast.gpkg", layers_of("ordinary"), STYLES)
    styles = pyogrio.read_dataframe(tmp_path / "forecast.gpkg", layer="layer_styles", fid_as_index=True)
    asked = (styles.f_table_catalog == "") & (styles.f_table_schema == "") & (styles.f_geometry_column == "geom")
    found = styles[asked & styles.useAsDefault.astype(bool)].set_index("f_table_name").styleQML
    assert found.to_dict() == STYLES
    assert pyogrio.read_info(tmp_path / "forecast.gpkg", layer="perimeters")["geometry_name"] == "geom"
    assert pyogrio.read_info(tmp_path / "forecast.gpkg", layer="layer_styles")["fid_column"] == "id"


def test_an_older_gis_opens_the_geopackage(tmp_path):
    """Of version 1.2, whose times have milliseconds (OGC 12-128r15, table 1): later ones raise warnings there."""
    forecast = example("ordinary")
    write_geopackage(tmp_path / "f.gpkg", {"perimeters": perimeters(forecast)}, {"perimeters": "<qgis/>"})
    with closing(sqlite3.connect(tmp_path / "f.gpkg")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (10200,)
        times = database.execute(
            "SELECT valid_time FROM perimeters UNION SELECT update_time FROM layer_styles"
        ).fetchall()
    assert times
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text) for (text,) in times)


def test_geojson_keeps_to_rfc_7946(tmp_path):
    rows = perimeters(example("ordinary"))
    write_geojson(tmp_path / "p.geojson", rows)
    content = json.loads((tmp_path / "p.geojson").read_text())
    assert "crs" not in content
    assert [feature["properties"]["probability"] for feature in content["features"]] == rows.probability.tolist()
    assert content["features"][0]["properties"]["valid_time"] == "2023-03-30T13:00:00Z"
    for feature in content["features"]:
        shape = shapely.geometry.shape(feature["geometry"])
        for part in getattr(shape, "geoms", [shape]):
            assert part.exterior.is_ccw
            assert not any(ring.is_ccw for ring in part.interiors)
        for longitude, latitude in shapely.get_coordinates(shape):
            assert -70.8 < longitude < -70.7
            assert -34.8 < latitude < -34.7
            assert longitude == round(longitude, 7)


@pytest.mark.parametrize("kind", ["ordinary", "degrees", "web mercator"])
def test_geojson_covers_the_same_ground(kind, tmp_path):
    rows = perimeters(example(kind))
    write_geojson(tmp_path / "p.geojson", rows)
    read = geopandas.read_file(tmp_path / "p.geojson")
    assert read.crs == "EPSG:4326"
    back = read.to_crs(str(rows.crs))
    # Seven decimals of a degree are 1 cm: the outline of a pixel of 30 m moves by less than a thousandth of it.
    np.testing.assert_allclose(areas(back), areas(rows), rtol=1e-3)
    apart = shapely.area(shapely.symmetric_difference(back.geometry.values, rows.geometry.values))
    assert (apart < 2e-3 * areas(rows)).all()
    assert read.geometry.is_valid.all()


def test_long_straight_edges_stay_in_place(tmp_path):
    """A rectangle 200 km long bends in degrees: with vertices at its corners alone it would be off by 100 m."""
    probability, burned = np.ones((1, 20, 40), np.float32), np.ones((20, 40), np.uint8)
    rows = newest_perimeter(forecast_of(probability, burned, cell=(5000.0, 5000.0)))
    write_geojson(tmp_path / "p.geojson", rows)
    back = geopandas.read_file(tmp_path / "p.geojson").to_crs(str(rows.crs))
    places = shapely.get_coordinates(back.geometry.segmentize(600))  # corners and middles of edges
    off = shapely.distance(shapely.points(places), rows.boundary.iloc[0])
    assert off.max() < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_isochrones_and_perimeters_of_all_kinds_become_geojson(kind, tmp_path):
    for name, rows in layers_of(kind).items():
        if kind == "no CRS":
            with pytest.raises(InputError, match="without a CRS"):
                write_geojson(tmp_path / f"{name}.geojson", rows)
        else:
            write_geojson(tmp_path / f"{name}.geojson", rows)
            assert len(json.loads((tmp_path / f"{name}.geojson").read_text())["features"]) == len(rows)


def test_lines_keep_their_times(tmp_path):
    rows = isochrones(forecast_of(*spreading()))
    write_geojson(tmp_path / "i.geojson", rows)
    read = geopandas.read_file(tmp_path / "i.geojson")
    assert read.label.tolist() == ["now", "+30 min", "+1 h", "+1 h 30 min"]
    assert read.arrival_s.tolist() == [0, 1800, 3600, 5400]


@pytest.mark.parametrize(
    ("crs", "corner", "cell"),
    [("EPSG:4326", (179.995, -17.0), (0.0004, 0.0004)), ("EPSG:32760", (819_000.0, 8_118_000.0), (30.0, 30.0))],
)
def test_a_fire_at_the_antimeridian_is_cut_there(crs, corner, cell, tmp_path):
    rows = newest_perimeter(forecast_of(*spreading(), crs=crs, corner=corner, cell=cell))
    write_geojson(tmp_path / "p.geojson", rows)
    (shape,) = geopandas.read_file(tmp_path / "p.geojson").geometry
    west, east = sorted(shape.geoms, key=lambda part: part.bounds[0])
    assert west.bounds[0] == -180
    assert east.bounds[2] == 180
    assert max(part.bounds[2] - part.bounds[0] for part in (west, east)) < 0.01
