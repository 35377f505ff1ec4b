"""QGIS styles: well-formed, complete, and shown one after another."""

from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from emberformer.outputs import colours
from emberformer.outputs.qgis_styles import (
    arrival_style,
    burned_style,
    isochrones_style,
    newest_perimeter_style,
    perimeters_style,
    probability_style,
)
from tests.outputs.forecasts import example


def parsed(style: str) -> ElementTree.Element:
    assert style.startswith("<!DOCTYPE qgis")
    root = ElementTree.fromstring(style)
    assert root.tag == "qgis"
    return root


def shown(style: str) -> tuple[np.datetime64, np.datetime64]:
    """First and last second of a raster's time range."""
    temporal = parsed(style).find("temporal")
    assert temporal is not None
    assert temporal.attrib["enabled"] == "1"
    start, end = (temporal.findtext(f"fixedRange/{name}", "").rstrip("Z") for name in ("start", "end"))
    return np.datetime64(start), np.datetime64(end)


def test_at_any_time_one_probability_is_shown():
    forecast = example("ordinary")
    ranges = [shown(probability_style(forecast, lead)) for lead in (1, 2, 3)]
    assert [begin for begin, _ in ranges] == forecast.valid_time.values.tolist()
    for (_, end), (begin, _) in pairwise(ranges):
        assert begin - end == np.timedelta64(1, "s")
    assert ranges[-1][1] == np.datetime64("2023-03-30T14:29:59")
    assert shown(burned_style(forecast)) == (forecast.init_time.values, ranges[-1][1])


@pytest.mark.parametrize(("percent", "highest"), [(False, 1.0), (True, 100.0)])
def test_the_legend_of_a_raster_rises_to_the_highest_value(percent, highest):
    items = parsed(probability_style(example("ordinary"), 1, percent=percent)).findall(".//colorrampshader/item")
    values = [float(item.attrib["value"]) for item in items]
    assert values == sorted(values)
    assert values[-1] == highest
    assert items[0].attrib["alpha"] == "0"  # where nothing is to be expected, the ground shows
    assert items[-1].attrib["color"] == colours.PROBABILITY[1.0]


def test_arrival_times_are_told_in_hours_and_minutes():
    items = parsed(arrival_style(example("ordinary"))).findall(".//colorrampshader/item")
    assert [float(item.attrib["value"]) for item in items] == [0, 1350, 2700, 4050, 5400]
    assert [items[0].attrib["label"], items[-1].attrib["label"]] == ["now", "+1 h 30 min"]


def test_each_probability_has_a_line_of_its_own():
    root = parsed(perimeters_style([0.9, 0.1, 0.5]))
    categories = root.findall(".//categories/category")
    assert [float(category.attrib["value"]) for category in categories] == [0.1, 0.5, 0.9]
    symbols = {symbol.attrib["name"]: symbol for symbol in root.findall(".//symbols/symbol")}
    lines = [symbols[category.attrib["symbol"]].find(".//prop[@k='outline_color']") for category in categories]
    assert len({line.attrib["v"] for line in lines if line is not None}) == 3
    temporal = root.find("temporal")
    assert temporal is not None
    assert (temporal.attrib["startField"], temporal.attrib["endField"]) == ("valid_time", "valid_until")


def test_isochrones_stay_and_carry_their_time():
    root = parsed(isochrones_style())
    temporal, text = root.find("temporal"), root.find(".//text-style")
    assert temporal is not None
    assert text is not None
    assert (temporal.attrib["startField"], temporal.attrib["accumulate"]) == ("arrival_time", "1")
    assert text.attrib["fieldName"] == "label"
    assert parsed(newest_perimeter_style()).find(".//symbol") is not None


def brightness(colour: str) -> float:
    """Relative luminance of sRGB (WCAG 2)."""
    parts = np.divide(colours.rgb(colour), 255)
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def test_ramps_read_without_colour():
    probability = [brightness(colour) for colour in colours.PROBABILITY.values()]
    assert probability == sorted(probability, reverse=True)
    arrival = [brightness(colour) for colour in colours.ARRIVAL]
    assert arrival == sorted(arrival)
    assert min(np.abs(np.diff(probability))) > 0.02
