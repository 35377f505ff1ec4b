"""Outlines of pixels: exact area, valid, and the same pixels again."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio import Affine
from rasterio.features import rasterize

from emberformer.outputs.polygons import polygonise

UTM = Affine(30, 0, 335_976.3509, 0, -30, 6_157_452.6714)
regions = arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@settings(max_examples=60)
@given(regions)
def test_an_outline_has_the_area_of_its_pixels_and_gives_them_back(region):
    outline = polygonise(region, UTM)
    assert outline.is_valid
    np.testing.assert_allclose(outline.area, 900 * np.count_nonzero(region), rtol=1e-9)
    if region.any():
        again = rasterize([outline], out_shape=region.shape, transform=UTM)
        np.testing.assert_array_equal(again == 1, region)


def test_holes_and_corners_by_hand():
    ring = np.pad(np.zeros((1, 1), bool), 1, constant_values=True)
    (part,) = polygonise(ring, Affine.identity()).geoms
    assert (part.area, len(part.interiors)) == (8, 1)
    corners = np.eye(3, dtype=bool)  # pixels that touch at corners alone are parts of their own
    assert [part.area for part in polygonise(corners, Affine.identity()).geoms] == [1, 1, 1]
    two_holes = np.ones((4, 4), bool)
    two_holes[1, 1] = two_holes[2, 2] = False  # which touch at a corner
    outline = polygonise(two_holes, Affine.identity())
    assert outline.is_valid
    assert outline.area == 14


def test_nothing_has_an_empty_outline():
    assert polygonise(np.zeros((3, 3), bool), UTM).is_empty
