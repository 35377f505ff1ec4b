"""Tiles: read by name and in order; every misfit names its file and record, and costs no other tile."""

import numpy as np
import pytest

from emberformer.data.ndws.tiles import find_tile_files, published_split, read_tiles
from emberformer.errors import InputError
from tests.ndws_tiles import encode, frame_records, make_tile, write_tiles

NAME = "next_day_wildfire_spread_train_03.tfrecord"


def _read(root):
    damage: dict[str, str] = {}
    tiles = dict(read_tiles(find_tile_files(root), lambda name, error: damage.update({name: str(error)})))
    return tiles, damage


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_features_are_read_by_name(tmp_path, ending):
    tile = make_tile()
    written = dict(sorted(tile.items())) | {"another": np.ones(3, "float32")}
    write_tiles(tmp_path / (NAME + ending), [make_tile(1), written])
    tiles, damage = _read(tmp_path)
    assert (list(tiles), damage) == (["train_03_000000", "train_03_000001"], {})
    assert tiles["train_03_000001"].keys() == tile.keys()
    for name, values in tile.items():
        np.testing.assert_array_equal(tiles["train_03_000001"][name], values)


def test_rows_come_before_columns(tmp_path):
    write_tiles(tmp_path / NAME, [make_tile(elevation=np.arange(4096).reshape(64, 64))])
    assert _read(tmp_path)[0]["train_03_000000"]["elevation"][2, 3] == 2 * 64 + 3


def test_files_in_the_order_of_splits_and_numbers(tmp_path):
    for name in ("test_00", "eval_01", "train_10", "train_2", "other"):
        write_tiles(tmp_path / f"next_day_wildfire_spread_{name}.tfrecord", [make_tile()])
    (tmp_path / ".hidden_train_00.tfrecord").touch()
    assert list(_read(tmp_path)[0]) == ["train_2_000000", "train_10_000000", "eval_01_000000", "test_00_000000"]


def test_split_of_a_tile():
    assert [published_split(f"{name}_01_000007") for name in ("train", "eval", "test")] == ["train", "eval", "test"]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"erc": None}, r"no erc among the keys FireMask, NDVI,.*the keys elevation,.*FireMask"),
        ({"th": np.ones(1024, "float32")}, r"th has 1024 numbers.*64 x 64 numbers, float32"),
        ({"vs": np.ones(4096, int)}, r"vs is a list of whole numbers"),
        ({"pr": [b"raw"]}, r"pr is a list of byte strings"),
        ({"FireMask": np.full(4096, 2, "float32")}, r"FireMask holds 2.*1 fire, 0 none, -1 unknown"),
        ({"PrevFireMask": np.full(4096, np.nan, "float32")}, r"PrevFireMask holds nan"),
    ],
)
def test_misfits_name_file_and_record(tmp_path, changed, found):
    tile = {name: values for name, values in (make_tile() | changed).items() if values is not None}
    write_tiles(tmp_path / NAME, [make_tile(1), tile, make_tile(2)])
    tiles, damage = _read(tmp_path)
    assert list(tiles) == ["train_03_000000", "train_03_000002"]
    with pytest.raises(AssertionError, match=rf"(?s){NAME}, record 1.*{found}.*on_error: skip"):
        raise AssertionError(damage.pop("train_03_000001"))
    assert not damage


def test_record_that_is_no_example(tmp_path):
    (tmp_path / NAME).write_bytes(frame_records([encode(make_tile())[:-1], encode(make_tile())]))
    tiles, damage = _read(tmp_path)
    assert list(tiles) == ["train_03_000001"]
    assert "expected: a tf.train.Example" in damage["train_03_000000"]


def test_damage_of_the_file_names_the_tile(tmp_path):
    path = write_tiles(tmp_path / NAME, [make_tile(), make_tile(1)])
    path.write_bytes(path.read_bytes()[:-9])
    write_tiles(tmp_path / "next_day_wildfire_spread_test_00.tfrecord", [make_tile(2)])
    tiles, damage = _read(tmp_path)
    assert list(tiles) == ["train_03_000000", "test_00_000000"]
    assert f"{NAME}, record 1" in damage["train_03_000001"]


def test_folders_without_tiles(tmp_path):
    with pytest.raises(InputError, match=r"(?s)0 entries.*next_day_wildfire_spread_train_00\.tfrecord.*check `root`"):
        find_tile_files(tmp_path)
    with pytest.raises(InputError, match=r"(?s)none.*check `root`"):
        find_tile_files(tmp_path / "none")


def test_two_files_of_one_number(tmp_path):
    write_tiles(tmp_path / NAME, [make_tile()])
    write_tiles(tmp_path / f"{NAME}.gz", [make_tile()])
    with pytest.raises(InputError, match=r"(?s)train_03.tfrecord and .*train_03\.tfrecord\.gz.*remove one"):
        find_tile_files(tmp_path)
