"""QGIS layer definition (QLR): all layers of a forecast as one group, in order, with styles and time ranges.

QGIS (3.22) reads the style beside a raster, and those of a GeoPackage, with their layers, but leaves out the time
ranges in them. In a layer definition it reads them too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

import xarray as xr

from emberformer.outputs import qgis_styles
from emberformer.outputs.times import ahead, seconds_ahead

DOCTYPE = "<!DOCTYPE qgis-layer-definition>\n"


class Layer(NamedTuple):
    """A layer: its name, source beside the definition, style (QML), and whether it is shown at first."""

    name: str
    source: str
    style: str
    vector: bool = False
    shown: bool = True


def forecast_layers(forecast: xr.Dataset, files: Mapping[str, str], probabilities: Sequence[float]) -> list[Layer]:
    """Layers of those files of a forecast that there are, the topmost first.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        files: what a file holds, as `write_outputs` says -> its name.
        probabilities: of the perimeters.
    """
    found = []
    if vectors := files.get("vectors"):
        styles = {
            "newest_perimeter": qgis_styles.newest_perimeter_style(),
            "isochrones": qgis_styles.isochrones_style(),
            "perimeters": qgis_styles.perimeters_style(probabilities),
        }
        found = [
            Layer(name.replace("_", " "), f"./{vectors}|layername={name}", style, vector=True)
            for name, style in styles.items()
        ]
    for lead, seconds in zip(map(int, forecast.lead.values), seconds_ahead(forecast), strict=True):
        for content, percent in (("probability", False), ("percent", True)):
            if name := files.get(f"{content}_lead{lead:02d}"):
                style = qgis_styles.probability_style(forecast, lead, percent=percent)
                found.append(Layer(f"{content} {ahead(float(seconds))}", f"./{name}", style, shown=not percent))
    if name := files.get("arrival_time"):
        found.append(Layer("arrival time", f"./{name}", qgis_styles.arrival_style(forecast), shown=False))
    if name := files.get("burned"):
        found.append(Layer("burned", f"./{name}", qgis_styles.burned_style(forecast)))
    return found


def layer_definition(group: str, layers: Sequence[Layer], crs: str | None) -> str:
    """A layer definition file's text.

    Args:
        group: name of the group.
        layers: the topmost first.
        crs: of all layers, as WKT; None: they have none.
    """
    root = ElementTree.Element("qlr")
    outer = ElementTree.SubElement(root, "layer-tree-group", name="", checked="Qt::Checked", expanded="1")
    tree = ElementTree.SubElement(outer, "layer-tree-group", name=group, checked="Qt::Checked", expanded="1")
    maps = ElementTree.SubElement(root, "maplayers")
    for number, layer in enumerate(layers):
        identity, provider = f"layer_{number}", "ogr" if layer.vector else "gdal"
        checked = "Qt::Checked" if layer.shown else "Qt::Unchecked"
        ElementTree.SubElement(
            tree, "layer-tree-layer", id=identity, name=layer.name, source=layer.source, providerKey=provider,
            checked=checked, expanded="0",
        )  # fmt: skip
        style = ElementTree.fromstring(layer.style)
        entry = ElementTree.SubElement(maps, "maplayer", style.attrib, type="vector" if layer.vector else "raster")
        for tag, text in (
            ("id", identity),
            ("datasource", layer.source),
            ("layername", layer.name),
            ("provider", provider),
        ):
            ElementTree.SubElement(entry, tag).text = text
        if crs:
            system = ElementTree.SubElement(ElementTree.SubElement(entry, "srs"), "spatialrefsys")
            ElementTree.SubElement(system, "wkt").text = crs
        entry.extend(style)
    ElementTree.indent(root)
    return DOCTYPE + ElementTree.tostring(root, encoding="unicode") + "\n"
