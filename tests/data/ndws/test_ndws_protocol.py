"""The protocol from a store: the numbers of the records, the published splits and crops."""

import numpy as np
import pytest

from emberformer.data.fires import open_fires
from emberformer.data.fires_writing import write_fires
from emberformer.data.ndws.inputs import FIRE, PREVIOUS_FIRE, ndws_inputs
from emberformer.data.ndws.source import read_ndws
from emberformer.data.ndws.stored import centre_crop, ndws_sample, published_tiles, random_crop, stored_tile
from emberformer.errors import InputError
from emberformer.ndws_settings import NdwsSettings
from tests.ndws_tiles import make_tile, write_tiles


@pytest.fixture(scope="module")
def fires(tmp_path_factory):
    path = tmp_path_factory.mktemp("protocol")
    for split, seeds in {"train": (0, 1), "eval": (2,), "test": (3,)}.items():
        write_tiles(path / f"a_{split}_00.tfrecord", [make_tile(seed) for seed in seeds])
    write_fires(path / "fires.zarr", read_ndws("tiles", NdwsSettings(root=path)))
    return open_fires(path / "fires.zarr")


def test_published_splits_are_kept(fires):
    assert published_tiles(fires, "train") == ["train_00_000000", "train_00_000001"]
    assert published_tiles(fires, "eval") == ["eval_00_000000"]
    assert published_tiles(fires, "test") == ["test_00_000000"]


@pytest.mark.parametrize(("tile_id", "seed"), [("train_00_000001", 1), ("test_00_000000", 3)])
def test_a_tile_comes_back_as_its_record_had_it(fires, tile_id, seed):
    tile = make_tile(seed)
    found = stored_tile(fires, tile_id)
    assert found.keys() == tile.keys()
    for name, values in tile.items():
        np.testing.assert_array_equal(found[name], values)


def test_no_such_tile(fires):
    with pytest.raises(InputError, match="eval_00_000009"):
        stored_tile(fires, "eval_00_000009")


def test_sample_is_of_one_place(fires):
    tile, crop = make_tile(2), (slice(3, 35), slice(7, 39))
    inputs, target = ndws_sample(fires, "eval_00_000000", crop)
    np.testing.assert_array_equal(inputs, ndws_inputs(tile)[:, 3:35, 7:39])
    np.testing.assert_array_equal(target == 255, tile[FIRE][3:35, 7:39] == -1)
    np.testing.assert_array_equal(target == 1, tile[FIRE][3:35, 7:39] == 1)


def test_nothing_of_the_second_day_is_in_the_inputs(tmp_path):
    """Two tiles that differ in nothing but `FireMask` have the same inputs."""
    tile = make_tile(0)
    write_tiles(tmp_path / "a_train_00.tfrecord", [tile, tile | {FIRE: tile[PREVIOUS_FIRE]}])
    write_fires(tmp_path / "fires.zarr", read_ndws("tiles", NdwsSettings(root=tmp_path)))
    fires = open_fires(tmp_path / "fires.zarr")
    first, second = (ndws_sample(fires, f"train_00_00000{number}") for number in (0, 1))
    np.testing.assert_array_equal(first.inputs, second.inputs)
    assert (first.target != second.target).any()


def test_crops():
    assert centre_crop() == (slice(16, 48), slice(16, 48))
    random = np.random.default_rng(0)
    firsts = np.array([[part.start for part in random_crop(random)] for _ in range(2000)])
    assert set(firsts[:, 0].tolist()) == set(firsts[:, 1].tolist()) == set(range(33))
    assert all(part.stop - part.start == 32 for part in random_crop(random))
