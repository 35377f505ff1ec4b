"""QGIS styles (QML): colours, legends and time ranges, in the form that QGIS 3.16 and later writes itself.

A file `<raster>.qml` is read with its raster. QGIS shows a raster while its time range holds the temporal controller's
time: a lead from its valid time until the next one's, so that at any time the newest state valid then is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import xarray as xr

from emberformer.outputs import colours
from emberformer.outputs.times import Time, ahead, iso, seconds_ahead, valid_until

DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
VERSION = "3.16.0-Hannover"
FIXED_RANGE, TIME_FIELD, TWO_TIME_FIELDS = "0", "1", "2"  # Qgis::RasterTemporalMode, Qgis::VectorTemporalMode


class Stop(NamedTuple):
    """A value of a raster's legend: its colour, its opacity (0 to 255) and its words."""

    value: float
    colour: str
    alpha: int
    label: str


def probability_style(forecast: xr.Dataset, lead: int, *, percent: bool = False) -> str:
    """Style of a lead's probability, or of its percent version: clear below 1 %, then light to dark."""
    scale = 100.0 if percent else 1.0
    first = Stop(0.01 * scale, colours.PROBABILITY[0.05], 0, "below 1 %")
    stops = [Stop(p * scale, colour, 215, f"{100 * p:g} %") for p, colour in colours.PROBABILITY.items()]
    shown = forecast.valid_time.values[lead - 1], valid_until(forecast)[lead - 1]
    return _raster([first, *stops], "INTERPOLATED", shown)


def burned_style(forecast: xr.Dataset) -> str:
    """Style of the newest observed fire: grey where burned, shown from `init_time` on."""
    stops = [Stop(0, "#ffffff", 0, "not burned"), Stop(1, colours.BURNED, 200, "burned at init_time")]
    return _raster(stops, "EXACT", (forecast.init_time.values, valid_until(forecast)[-1]))


def arrival_style(forecast: xr.Dataset) -> str:
    """Style of the arrival time: earliest darkest; the legend says hours and minutes."""
    last = float(seconds_ahead(forecast)[-1])
    values = np.linspace(0, last, len(colours.ARRIVAL))
    stops = [
        Stop(float(value), colour, 215, ahead(round(float(value) / 60) * 60))
        for value, colour in zip(values, colours.ARRIVAL, strict=True)
    ]
    return _raster(stops, "INTERPOLATED", None)


def perimeters_style(probabilities: Sequence[float]) -> str:
    """Style of the perimeters: an outline a probability, darker where likelier, shown until the next valid time."""
    root = _layer({"mode": TWO_TIME_FIELDS, "startField": "valid_time", "endField": "valid_until"})
    renderer = ElementTree.SubElement(
        root, "renderer-v2", type="categorizedSymbol", attr="probability", forceraster="0"
    )
    categories = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for place, p in enumerate(sorted(set(map(float, probabilities)))):
        label = f"probability at least {100 * p:g} %"
        values = {"value": f"{p:.15g}", "type": "double", "symbol": str(place), "label": label, "render": "true"}
        ElementTree.SubElement(categories, "category", values)
        _outline(symbols, str(place), colours.between(colours.PROBABILITY, max(p, 0.25)), 0.5)
    return _text(root)


def newest_perimeter_style() -> str:
    """Style of the newest observed perimeter: a black outline."""
    root = _layer({"mode": FIXED_RANGE, "enabled": "0"})
    renderer = ElementTree.SubElement(root, "renderer-v2", type="singleSymbol", forceraster="0")
    _outline(ElementTree.SubElement(renderer, "symbols"), "0", colours.NEWEST, 0.7)
    return _text(root)


def members_style() -> str:
    """Style of the perimeters of members: thin blue outlines over each other, shown until the next valid time."""
    root = _layer({"mode": TWO_TIME_FIELDS, "startField": "valid_time", "endField": "valid_until"})
    renderer = ElementTree.SubElement(root, "renderer-v2", type="singleSymbol", forceraster="0")
    _outline(ElementTree.SubElement(renderer, "symbols"), "0", colours.ISOCHRONE, 0.2)
    return _text(root)


def detections_style(categories: Sequence[str]) -> str:
    """Style of detected objects: an outline a category."""
    root = _layer({"mode": FIXED_RANGE, "enabled": "0"})
    renderer = ElementTree.SubElement(root, "renderer-v2", type="categorizedSymbol", attr="category", forceraster="0")
    listed = ElementTree.SubElement(renderer, "categories")
    symbols = ElementTree.SubElement(renderer, "symbols")
    for label, category in enumerate(categories):
        values = {"value": category, "type": "string", "symbol": str(label), "label": category, "render": "true"}
        ElementTree.SubElement(listed, "category", values)
        _outline(symbols, str(label), colours.of_object(label), 0.5)
    return _text(root)


def isochrones_style() -> str:
    """Style of the isochrones: blue lines with their time; the temporal controller adds one after another."""
    root = _layer({"mode": TIME_FIELD, "startField": "arrival_time", "accumulate": "1"}, labelsEnabled="1")
    renderer = ElementTree.SubElement(root, "renderer-v2", type="singleSymbol", forceraster="0")
    symbol = ElementTree.SubElement(
        ElementTree.SubElement(renderer, "symbols"), "symbol", type="line", name="0", alpha="1", clip_to_extent="1"
    )
    line = {"line_color": _rgba(colours.ISOCHRONE), "line_width": "0.5", "line_style": "solid"}
    _properties(symbol, "SimpleLine", line | {"line_width_unit": "MM", "joinstyle": "round", "capstyle": "round"})
    settings = ElementTree.SubElement(ElementTree.SubElement(root, "labeling", type="simple"), "settings")
    text = {"fieldName": "label", "isExpression": "0", "fontSize": "9", "fontSizeUnit": "Point"}
    style = ElementTree.SubElement(settings, "text-style", text | {"textColor": _rgba(colours.ISOCHRONE)})
    buffer = {"bufferDraw": "1", "bufferSize": "0.8", "bufferSizeUnits": "MM", "bufferColor": "255,255,255,255"}
    ElementTree.SubElement(style, "text-buffer", buffer)
    ElementTree.SubElement(settings, "placement", placement="2", placementFlags="9")
    return _text(root)


def _raster(stops: Sequence[Stop], kind: str, shown: tuple[Time, Time] | None) -> str:
    root = ElementTree.Element("qgis", version=VERSION, styleCategories="AllStyleCategories")
    enabled = str(int(shown is not None))
    temporal = ElementTree.SubElement(root, "temporal", enabled=enabled, mode=FIXED_RANGE, fetchMode="0")
    fixed = ElementTree.SubElement(temporal, "fixedRange")
    begin, end = ("", "") if shown is None else (iso(shown[0]), iso(shown[1] - np.timedelta64(1, "s")))
    ElementTree.SubElement(fixed, "start").text = begin
    ElementTree.SubElement(fixed, "end").text = end
    pipe = ElementTree.SubElement(root, "pipe")
    low, high = str(stops[0].value), str(stops[-1].value)
    renderer = {"type": "singlebandpseudocolor", "band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    drawn = ElementTree.SubElement(pipe, "rasterrenderer", renderer, classificationMin=low, classificationMax=high)
    ElementTree.SubElement(drawn, "rasterTransparency")
    shader = {"colorRampType": kind, "classificationMode": "1", "clip": "0", "minimumValue": low, "maximumValue": high}
    ramp = ElementTree.SubElement(ElementTree.SubElement(drawn, "rastershader"), "colorrampshader", shader)
    for stop in stops:
        item = {"value": str(stop.value), "color": stop.colour, "alpha": str(stop.alpha), "label": stop.label}
        ElementTree.SubElement(ramp, "item", item)
    for name in ("brightnesscontrast", "huesaturation"):
        ElementTree.SubElement(pipe, name)
    ElementTree.SubElement(pipe, "rasterresampler", maxOversampling="2")
    return _text(root)


def _layer(temporal: Mapping[str, str], **attributes: str) -> ElementTree.Element:
    root = ElementTree.Element("qgis", {"version": VERSION, "styleCategories": "AllStyleCategories", **attributes})
    given = {
        "enabled": "1",
        "startField": "",
        "endField": "",
        "durationField": "",
        "startExpression": "",
        "endExpression": "",
        "durationUnit": "min",
        "fixedDuration": "0",
        "accumulate": "0",
        "limitMode": "0",
    }
    fixed = ElementTree.SubElement(ElementTree.SubElement(root, "temporal", given | dict(temporal)), "fixedRange")
    for name in ("start", "end"):
        ElementTree.SubElement(fixed, name)
    return root


def _outline(symbols: ElementTree.Element, name: str, colour: str, width: float) -> None:
    symbol = ElementTree.SubElement(symbols, "symbol", type="fill", name=name, alpha="1", clip_to_extent="1")
    outline = {"outline_color": _rgba(colour), "outline_width": str(width), "outline_width_unit": "MM"}
    _properties(symbol, "SimpleFill", outline | {"style": "no", "outline_style": "solid", "joinstyle": "round"})


def _properties(symbol: ElementTree.Element, kind: str, values: Mapping[str, str]) -> None:
    """A symbol's layer, each property in the form `prop`, which every QGIS 3 reads."""
    layer = ElementTree.SubElement(symbol, "layer", {"class": kind, "enabled": "1", "locked": "0", "pass": "0"})
    for key, value in values.items():
        ElementTree.SubElement(layer, "prop", k=key, v=value)


def _rgba(colour: str) -> str:
    return ",".join(map(str, (*colours.rgb(colour), 255)))


def _text(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return DOCTYPE + ElementTree.tostring(root, encoding="unicode") + "\n"
