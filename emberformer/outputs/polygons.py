"""Polygons of a region of pixels, exactly along the pixels' edges."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from rasterio import Affine
from rasterio.features import shapes
from shapely.geometry import MultiPolygon, Polygon


def polygonise(region: Bool[np.ndarray, "y x"], transform: Affine) -> MultiPolygon:
    """Outline a region, with its holes; its area is the number of pixels times the area of one.

    Pixels that share an edge are one part; pixels that touch at a corner are parts of their own, so that the result is
    valid (OGC simple features). Edges are not smoothed.

    Args:
        region: pixels to outline [y, x].
        transform: from (column, row) of pixel corners to the map.

    Returns:
        The parts in map coordinates; empty if the region is.
    """
    found = shapes(region.astype(np.uint8), mask=region, connectivity=4, transform=transform)
    return MultiPolygon([Polygon(rings[0], rings[1:]) for rings in (outline["coordinates"] for outline, _ in found)])
