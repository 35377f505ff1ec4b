"""Colours of maps and GIS styles, for any colour vision.

Probability and arrival time differ in brightness all along their ramps, so they also read in grey. Lines are of Okabe
and Ito's set (https://jfly.uni-koeln.de/color/): blue and black on the reds of the probability.
"""

from __future__ import annotations

PROBABILITY = {
    0.05: "#fee8c8",
    0.25: "#fdbb84",
    0.5: "#ef6548",
    0.75: "#b30000",
    1.0: "#5c0000",
}
# Five colours of "cividis" (Nunez et al. 2018, doi:10.1371/journal.pone.0199239), earliest first.
ARRIVAL = ("#00224e", "#434e6c", "#7d7c78", "#bcae6c", "#fee838")
# Of objects in boxes, told apart by their category: Okabe and Ito's, the darker ones first.
OBJECTS = ("#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
NEWEST, BURNED, UNKNOWN, ISOCHRONE, WIND = "#000000", "#6b6b6b", "#c9c9c9", "#0072B2", "#0050A0"


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255.

    >>> rgb("#ff8000")
    (255, 128, 0)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def of_object(label: int) -> str:
    """Colour of a category of objects.

    >>> of_object(0), of_object(len(OBJECTS))
    ('#D55E00', '#D55E00')
    """
    return OBJECTS[label % len(OBJECTS)]


def between(ramp: dict[float, str], value: float) -> str:
    """Colour of a value on a ramp, linear between its stops and constant beyond.

    >>> between({0.0: "#000000", 1.0: "#ffffff"}, 0.5)
    '#808080'
    """
    stops = sorted(ramp)
    low = max((stop for stop in stops if stop <= value), default=stops[0])
    high = min((stop for stop in stops if stop >= value), default=stops[-1])
    share = 0.0 if high == low else (value - low) / (high - low)
    mixed = (round(a + share * (b - a)) for a, b in zip(rgb(ramp[low]), rgb(ramp[high]), strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)
