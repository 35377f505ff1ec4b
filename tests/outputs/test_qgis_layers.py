"""The layer definition: what QGIS finds in it, where QGIS is installed, and that it names what was written."""

import json
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest

from emberformer.outputs.grid import grid_of
from emberformer.outputs.writing import write_outputs
from tests.outputs.forecasts import example

PYTHON = "/usr/bin/python3"  # of the system, whose packages QGIS's bindings are among
LOOK = """
import json, os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qgis.core import QgsApplication, QgsLayerDefinition, QgsProject
app = QgsApplication([], False)
app.initQgis()
project = QgsProject.instance()
done, message = QgsLayerDefinition.loadLayerDefinition(sys.argv[1], project, project.layerTreeRoot())
assert done, message
found = []
for node in project.layerTreeRoot().findLayers():
    layer = node.layer()
    extent, times = layer.extent(), layer.temporalProperties()
    raster = layer.type() == layer.RasterLayer
    begin = times.fixedTemporalRange().begin().toString("yyyy-MM-ddTHH:mm:ss") if raster else times.startField()
    found.append({
        "name": layer.name(), "valid": layer.isValid(), "crs": layer.crs().authid(), "timed": times.isActive(),
        "begin": begin, "shown": node.itemVisibilityChecked(), "legend": layer.renderer().type(),
        "extent": [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()],
    })
print("FOUND " + json.dumps(found))
app.exitQgis()
"""


def qgis_is_there() -> bool:
    try:
        return subprocess.run([PYTHON, "-c", "import qgis.core"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("kind", ["ordinary", "one lead", "no CRS"])
def test_it_names_what_was_written_and_its_styles(kind, tmp_path):
    forecast = example(kind)
    formats = ["geotiff", "percent", "arrival_time", "geopackage"]
    files = write_outputs(forecast, tmp_path / "out", formats=formats)
    root = ElementTree.fromstring(files["layers"].read_text(encoding="utf-8"))
    in_tree = [(one.attrib["id"], one.attrib["source"]) for one in root.iter("layer-tree-layer")]
    in_maps = [(one.findtext("id"), one.findtext("datasource")) for one in root.iter("maplayer")]
    assert in_tree == in_maps
    assert len(in_tree) == 3 + 2 * forecast.sizes["lead"] + 2
    for _, source in in_tree:
        assert (files["layers"].parent / source.partition("|")[0]).is_file()
    for one in root.iter("maplayer"):
        assert one.find("temporal") is not None
        assert one.find("renderer-v2") is not None or one.find("pipe/rasterrenderer") is not None


def test_there_is_none_without_layers(tmp_path):
    assert "layers" not in write_outputs(example("one lead"), tmp_path / "out", formats=["netcdf"])


@pytest.mark.slow
@pytest.mark.skipif(not qgis_is_there(), reason="QGIS and its Python bindings are not installed")
def test_qgis_opens_all_of_it_in_the_right_place_and_time(tmp_path):
    forecast = example("ordinary")
    files = write_outputs(forecast, tmp_path / "out", formats=["geotiff", "percent", "arrival_time", "geopackage"])
    done = subprocess.run([PYTHON, "-c", LOOK, files["layers"]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    layers = json.loads(done.stdout.split("FOUND ")[1])
    assert all(one["valid"] for one in layers)
    assert {one["crs"] for one in layers} == {forecast.rio.crs.to_string()}
    grid = grid_of(forecast)
    corners = [grid.transform * (0, grid.shape[0]), grid.transform * (grid.shape[1], 0)]
    named = {one["name"]: one for one in layers}
    for one in layers:
        if one["begin"].startswith("20"):
            np.testing.assert_allclose(one["extent"], [*corners[0], *corners[1]], rtol=1e-9)
    first = named["probability +30 min"]
    assert (first["timed"], first["shown"], first["begin"]) == (True, True, "2023-03-30T13:00:00")
    assert (named["perimeters"]["timed"], named["perimeters"]["begin"]) == (True, "valid_time")
    assert named["perimeters"]["legend"] == "categorizedSymbol"
    assert (named["isochrones"]["timed"], named["isochrones"]["begin"]) == (True, "arrival_time")
    assert not named["arrival time"]["shown"]
