"""Perimeters: hand-worked distances, agreement with SciPy and scikit-image, and sums that pool."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from skimage.measure import label, regionprops
from skimage.metrics import hausdorff_distance
from skimage.segmentation import find_boundaries

from emberformer.evaluate.boundaries import (
    boundary_f1,
    detached_components,
    hausdorff_95,
    isolated_pixels,
    mean_surface_distance,
    perimeter,
    perimeter_distances,
)
from emberformer.evaluate.boundary_sums import PLACE, boundary_scores_of
from emberformer.evaluate.pooling import Score
from emberformer.evaluate.spatial import spatial_sums_of
from tests.evaluate.small_forecasts import forecasts_of
from tests.small_fires import disc, random_region, small_fires


def square(low, high, side=12):
    area = np.zeros((side, side), bool)
    area[low:high, low:high] = True
    return area


regions = st.integers(0, 2**32 - 1).map(random_region)


@settings(max_examples=30)
@given(regions, regions)
def test_distances_are_those_between_all_pairs_of_perimeter_pixels(forecast, observed):
    edges = [find_boundaries(np.pad(region, 1, mode="edge"), connectivity=1, mode="inner")[1:-1, 1:-1]
             for region in (forecast, observed)]  # fmt: skip
    pairs = cdist(np.argwhere(edges[0]), np.argwhere(edges[1]))
    distances = pairs.min(1), pairs.min(0)
    assert hausdorff_95(forecast, observed) == pytest.approx(max(np.percentile(d, 95) for d in distances))
    assert mean_surface_distance(forecast, observed) == pytest.approx(np.concatenate(distances).mean())
    precision, recall = ((d <= 2).mean() for d in distances)
    expected = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    assert boundary_f1(forecast, observed, 2) == pytest.approx(expected)


@settings(max_examples=30)
@given(regions, regions)
def test_the_largest_distance_is_the_hausdorff_distance_of_scikit_image(forecast, observed):
    largest = max(np.nanmax(d) for d in perimeter_distances(forecast, observed))
    assert largest == pytest.approx(hausdorff_distance(perimeter(forecast), perimeter(observed)))


@settings(max_examples=30)
@given(regions, regions)
def test_scores_are_symmetric_and_perfect_for_the_same_region(forecast, observed):
    for score in (hausdorff_95, mean_surface_distance, lambda a, b: boundary_f1(a, b, 1)):
        assert score(forecast, observed) == pytest.approx(score(observed, forecast))
    assert (hausdorff_95(forecast, forecast), boundary_f1(forecast, forecast, 0)) == (0, 1)


def test_a_square_grown_by_two_pixels_by_hand():
    # 4 x 4 in 8 x 8: all 12 inner edge pixels are 2 away; of the 28 outer ones the 4 corners sqrt(8), the 8 beside them
    # sqrt(5), the other 16 exactly 2.
    forecast, observed = square(4, 8), square(2, 10)
    assert boundary_f1(forecast, observed, 1) == 0
    assert boundary_f1(forecast, observed, 2) == pytest.approx(2 * (16 / 28) / (1 + 16 / 28))
    assert mean_surface_distance(forecast, observed) == pytest.approx((12 * 2 + 16 * 2 + 8 * 5**0.5 + 4 * 8**0.5) / 40)
    assert hausdorff_95(forecast, observed) == pytest.approx(8**0.5)


def test_empty_and_full_regions_have_no_perimeter_and_no_distance():
    empty, full, some = np.zeros((6, 6), bool), np.ones((6, 6), bool), square(2, 4, 6)
    for without in (empty, full):
        assert not perimeter(without).any()
        assert np.isnan([hausdorff_95(without, some), mean_surface_distance(some, without)]).all()
        assert boundary_f1(without, some, 3) == boundary_f1(some, without, 3) == 0
        assert np.isnan(boundary_f1(without, without, 3))


def test_the_edge_of_the_raster_is_no_perimeter():
    half = np.zeros((4, 4), bool)
    half[:, :2] = True
    assert perimeter(half).sum(0).tolist() == [0, 4, 0, 0]


def test_isolated_pixels_and_detached_parts_by_hand():
    burned, forecast = square(0, 3), square(0, 4)
    forecast[6, 6] = forecast[9, 9] = True  # two single pixels
    forecast[6, 9:11] = True  # a pair
    assert isolated_pixels(forecast, burned) == 2
    assert detached_components(forecast, burned) == 3
    forecast[4, 4] = True  # touches the fire at a corner
    assert (isolated_pixels(forecast, burned), detached_components(forecast, burned)) == (2, 3)
    assert isolated_pixels(burned, burned) == detached_components(burned, burned) == 0


@settings(max_examples=20)
@given(st.integers(0, 2**31), regions)
def test_parts_are_those_of_scikit_image(seed, burned):
    forecast = burned | (np.random.default_rng(seed).random(burned.shape) < 0.1)
    parts = [area for area in regionprops(label(forecast, connectivity=2)) if not burned[tuple(area.coords.T)].any()]
    assert detached_components(forecast, burned) == len(parts)
    assert isolated_pixels(forecast, burned) == sum(area.num_pixels == 1 for area in parts)


@pytest.fixture
def fires():
    shape = (12, 15)
    first = [disc(shape, (6, 6), radius) for radius in (1, 2, 4, 5)]
    second = [disc(shape, (5, 9), radius) for radius in (0.5, 3, 4)]
    second[2][:2] = 255
    return small_fires({"sequence_001": first, "sequence_002": second}, cell_m=30.0)


def values(fire_id, step):
    return np.random.default_rng([int(fire_id[-3:]), step]).beta(0.3, 1, (12, 15)).astype(np.float32)


def test_pooled_scores_are_ratios_of_sums_over_forecasts(fires, tmp_path):
    sums = spatial_sums_of(forecasts_of(tmp_path / "f.zarr", fires, values), fires, 0.4, 1).perimeters
    scores = boundary_scores_of(sums, np.ones((1, len(sums))))
    distances, hausdorff = [], []
    for fire_id, start, size in zip(fires.fire_id.values, fires.row_start.values, fires.row_size.values, strict=True):
        for step in range(size - 1):
            burned, target = (fires.burned[start + step + k].values for k in (0, 1))
            known = target != 255
            forecast = known & ((burned == 1) | (values(fire_id, step) >= np.float32(0.4)))
            observed = known & (target == 1)
            distances.append(perimeter_distances(forecast, observed))
            hausdorff.append(30 * hausdorff_95(forecast, observed))
    of = [np.concatenate([pair[n][~np.isnan(pair[n])] for pair in distances]) for n in (0, 1)]
    precision, recall = ((d <= 1).mean() for d in of)
    expected = {
        "boundary_f1": 2 * precision * recall / (precision + recall),
        "hausdorff_95_m": np.mean(hausdorff),
        "surface_distance_m": 30 * np.concatenate(of).mean(),
        "perimeter_ratio": len(of[0]) / len(of[1]),
    }
    for metric, value in expected.items():
        assert scores[Score("whole", "validation", metric)] == pytest.approx([value]), metric


def test_persistence_has_the_perimeter_that_moved_as_its_error(fires, tmp_path):
    still = spatial_sums_of(forecasts_of(tmp_path / "s.zarr", fires, lambda *_: np.zeros((12, 15))), fires, 0.5, 2)
    new = still.perimeters[:3, 0].sum(0)  # of the first fire
    assert new[PLACE["forecast_pixels"]] == 0
    assert new[PLACE["observed_pixels"]] > 0
    scores = boundary_scores_of(still.perimeters, np.ones((1, len(still.perimeters))))
    assert scores[Score("new", "validation", "boundary_f1")] == [0]
    assert scores[Score("new", "validation", "hausdorff_95_m")] > 30
    assert scores[Score("new", "validation", "isolated_pixels")] == [0]
    nothing = boundary_scores_of(still.perimeters[:0], np.ones((1, 0)))
    assert np.isnan(nothing[Score("new", "validation", "boundary_f1")]).all()
