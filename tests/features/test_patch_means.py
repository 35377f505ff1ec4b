"""Means of patches: hand-worked numbers, real pixels alone, and the numbers that the store holds."""

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from emberformer.data.fires import open_fires
from emberformer.features.block import Block
from emberformer.features.patch_means import burned_share, terrain_means
from emberformer.features.shape import StoreShape, block_path
from emberformer.features.store import open_features
from emberformer.features.verify import verify
from tests.stores import extract_all, ingest_all, tiny_experiment


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 7, 14]), st.integers(0, 99))
def test_shares_times_real_pixels_are_the_burned_pixels(height, width, pixels, seed):
    burned = np.random.default_rng(seed).choice([0, 1, 255], (2, height, width)).astype(np.uint8)
    share = burned_share(burned, pixels)
    rows = np.minimum(height - np.arange(share.shape[1]) * pixels, pixels)
    columns = np.minimum(width - np.arange(share.shape[2]) * pixels, pixels)
    assert (share * np.outer(rows, columns)).sum((1, 2)) == pytest.approx((burned == 1).sum((1, 2)), abs=1e-3)
    assert (burned_share(np.ones((1, height, width), np.uint8), pixels) == 1).all()


def test_terrain_means_by_hand():
    """Two patches of 2 x 2 pixels, the second with one column on the raster."""
    gap = np.nan
    elevation = [[100, 200, 7], [300, gap, 9]]
    fuel = [[2, 1, gap], [1, 2, gap]]
    aspect = [[0, 90, 180], [gap, gap, gap]]
    burnable = [[1, 1, 0], [0, 0, 1]]
    terrain = np.array([elevation, fuel, aspect, burnable], np.float32)
    known, *means = terrain_means(terrain, ["continuous", "categorical", "angle", "binary"], 2)
    assert known.tolist() == [[pytest.approx((3 + 4 + 2 + 4) / 16), pytest.approx((2 + 0 + 1 + 2) / 8)]]
    assert means[0].tolist() == [[200, 8]]
    assert means[1][0, 0] == 1  # as frequent as 2, and less
    assert np.isnan(means[1][0, 1])
    assert np.allclose(means[2], [[0.5, 0]], atol=1e-6)  # east: mean of sin 0 and sin 90, then sin 180
    assert np.allclose(means[3], [[0.5, -1]], atol=1e-6)
    assert means[4].tolist() == [[0.5, 0.5]]


def test_a_band_without_data_is_nan_and_nothing_else_is():
    terrain = np.stack([np.full((3, 3), np.nan), np.ones((3, 3))]).astype(np.float32)
    for kind in ("continuous", "categorical", "binary", "angle"):
        known, *empty, full = terrain_means(terrain, [kind, "binary"], 2)
        assert (known == 0.5).all()
        assert np.isnan(empty).all()
        assert (full == 1).all()


def test_the_store_holds_them(tmp_path):
    settings, layout = tiny_experiment(tmp_path, {"tiny": (30, 36)})
    ingest_all(settings, layout)
    extract_all(settings, layout)
    store, fires = layout.features("tiny"), open_fires(layout.fires("tiny"))
    ds = open_features(store)
    row, fire = int(fires.row_start.values[3]) + 2, 3
    share = burned_share(fires.burned[[row]].values, 14)[0]
    assert np.array_equal(ds.frame_burned[int(ds.frame_of[row])], share)
    terrain, kinds = fires.terrain[int(fires.terrain_index[fire])].values, list(map(str, fires.band_kind.values))
    stored = ds.terrain_mean[int(ds.terrain_index[fire])]
    assert np.array_equal(stored, terrain_means(terrain, kinds, 14), equal_nan=True)
    assert ds.channel.values.tolist() == ["known", *ds.band.values]
    assert verify(store) == []


def test_gaps_in_the_terrain_are_no_damage(tmp_path):
    settings, layout = tiny_experiment(tmp_path)
    ingest_all(settings, layout)
    fires = layout.fires("tiny")
    terrain = zarr.open_group(fires, mode="r+")["terrain"]
    assert isinstance(terrain, zarr.Array)
    terrain[:, 1, :14] = np.nan
    extract_all(settings, layout)
    store = layout.features("tiny")
    assert np.isnan(open_features(store).terrain_mean[:, 2, 0]).all()
    assert verify(store) == []
    (array,) = (a for a in StoreShape.of(open_features(store).attrs).arrays("terrain") if a.gaps)
    block = Block(block_path(store, array.name, 0), array.record, array.dtype, 4)
    assert np.isfinite(block[:].reshape(block.count, -1)[:, 0]).all()
