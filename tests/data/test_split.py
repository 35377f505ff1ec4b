"""Splits: whole fires, every fire once, shares kept, and nothing reshuffled by a new fire."""

import json
from collections import Counter

import numpy as np
import pyproj
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st
from rasterio.crs import CRS

from emberformer.data.split import SPLITS, _blocks, cut_groups, first_burned_centre, make_split, read_split, write_split
from emberformer.data_settings import SplitSettings
from emberformer.errors import InputError


def _settings(**changes):
    return SplitSettings.model_validate(changes)


def _fires(number, digests=None, dataset="land"):
    names = [f"sequence_{index:03d}" for index in range(1, number + 1)]
    return xr.Dataset(
        coords={
            "fire_id": ("fire", np.array(names, "T")),
            "fire_digest": ("fire", np.array(digests or [f"{dataset}-{name}" for name in names], "T")),
        },
        attrs={"dataset": dataset},
    )


def _placed(starts, cell_m=100.0, window=(0, 0), frames_before=0):
    """Fires of two frames on a landscape of 60 x 60 pixels that begin at the given pixels."""
    size, rows = frames_before + 2, len(starts)
    burned = np.zeros((rows * size, 60, 60), "uint8")
    for fire, (y, x) in enumerate(starts):
        burned[fire * size + frames_before : (fire + 1) * size, y, x] = 1
        burned[(fire + 1) * size - 1] = 1  # later frames do not matter
    return (
        _fires(rows)
        .assign(burned=(("frame", "y", "x"), burned))
        .assign_attrs(cell_m=cell_m)
        .assign_coords(
            row_start=("fire", np.arange(rows) * size),
            row_size=("fire", np.full(rows, size)),
            window_row=("fire", np.full(rows, window[0])),
            window_col=("fire", np.full(rows, window[1])),
            ground_index=("fire", np.zeros(rows, int)),
            crs_wkt=("ground", np.array([""], "T")),
        )
    )


@st.composite
def _shares(draw):
    train, validation = draw(st.integers(0, 20)), draw(st.integers(0, 20))
    assume(train + validation <= 20)
    return {"train": train / 20, "validation": validation / 20, "test": (20 - train - validation) / 20}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=60), _shares())
def test_groups_are_cut_in_order_and_none_is_lost(sizes, shares):
    cut = cut_groups(sizes, shares)
    assert len(cut) == len(sizes)
    assert [SPLITS.index(split) for split in cut] == sorted(SPLITS.index(split) for split in cut)
    wanted = [split for split in SPLITS if shares[split] > 0]
    assert set(cut) == set(wanted[: len(sizes)])


@given(st.integers(20, 300), _shares())
def test_single_fires_keep_the_shares(number, shares):
    counts = Counter(cut_groups([1] * number, shares))
    for split in SPLITS:
        assert abs(counts[split] - number * shares[split]) <= 2


@given(st.integers(1, 60), _shares(), st.integers(0, 5))
def test_every_fire_is_in_one_split_and_one_more_moves_at_most_one_a_cut(number, shares, seed):
    settings = _settings(seed=seed, **shares)
    try:
        before = make_split({"land": _fires(number)}, settings)["fires"]["land"]
    except InputError:  # fewer fires than splits
        assume(False)
    assert list(before) == _fires(number).fire_id.values.tolist()
    after = make_split({"land": _fires(number + 1)}, settings)["fires"]["land"]
    moved = Counter((before[fire], after[fire]) for fire in before if before[fire] != after[fire])
    assert sum(moved.values()) <= 2
    assert all(count == 1 for count in moved.values())


def test_split_depends_on_the_seed_and_the_data_set_and_nothing_else():
    one = make_split({"a": _fires(40), "b": _fires(40)}, _settings())
    assert one == make_split({"b": _fires(40), "a": _fires(40)}, _settings())
    assert one["fires"]["a"] == make_split({"a": _fires(40)}, _settings())["fires"]["a"]
    assert one["fires"]["a"] != one["fires"]["b"]
    assert one["fires"] != make_split({"a": _fires(40), "b": _fires(40)}, _settings(seed=1))["fires"]


def test_counts_and_shares():
    split = make_split({"a": _fires(160)}, _settings(train=0.6, validation=0.15, test=0.25))
    assert split["counts"] == {"a": {"train": 96, "validation": 24, "test": 40}}
    assert (split["by"], split["seed"]) == ("fire", 42)


@given(st.lists(st.integers(0, 8), min_size=12, max_size=40), st.integers(0, 9))
def test_no_fire_leaks_under_a_second_name(contents, seed):
    assume(len(set(contents)) >= 3)
    digests = [str(content) for content in contents]
    splits = make_split({"a": _fires(len(digests), digests)}, _settings(seed=seed))["fires"]["a"]
    of_content = {}
    for digest, split in zip(digests, splits.values(), strict=True):
        of_content.setdefault(digest, set()).add(split)
    assert all(len(found) == 1 for found in of_content.values())


def test_block_goes_to_one_split_as_a_whole():
    rng = np.random.default_rng(0)
    starts = [tuple(pixel) for pixel in rng.integers(0, 60, (50, 2))]
    splits = make_split({"a": _placed(starts)}, _settings(by="block", block_km=1.5))["fires"]["a"]
    blocks = {}
    for (y, x), split in zip(starts, splits.values(), strict=True):
        blocks.setdefault((y // 15, x // 15), set()).add(split)  # 1500 m / 100 m
    assert all(len(found) == 1 for found in blocks.values())
    assert set(splits.values()) == set(SPLITS)


def test_blocks_of_two_grounds_are_two_blocks():
    """Fires that begin at the same pixel of two grounds begin far apart."""
    fires = _placed([(3, 3)] * 40)
    grounds = np.arange(40) % 2
    two = fires.drop_vars("crs_wkt").assign_coords(
        ground_index=("fire", grounds), crs_wkt=("ground", np.array(["", ""], "T"))
    )
    settings = _settings(by="block", train=0.5, validation=0.0, test=0.5)
    splits = list(make_split({"a": two}, settings)["fires"]["a"].values())
    assert {(ground, split) for ground, split in zip(grounds.tolist(), splits, strict=True)} in (
        {(0, "train"), (1, "test")},
        {(1, "train"), (0, "test")},
    )


def _on_grounds(starts, corners, crs):
    """Fires that begin at the given pixels, each on a ground of its own with its upper left corner at map x and y."""
    fires = _placed(starts).drop_vars("crs_wkt")
    return fires.assign_coords(
        ground_index=("fire", np.arange(len(starts))),
        crs_wkt=("ground", np.array(crs, "T")),
        transform=(("ground", "coefficient"), [[100, 0, x, 0, -100, y] for x, y in corners]),
    )


def _blocks_of(fires, block_km=1.5):
    """How `by: block` groups fires: the number of each one's block, in the order in which they are met."""
    met = {}
    return [met.setdefault(place, len(met)) for place in _blocks(fires, block_km)]


def test_grounds_of_one_crs_share_their_blocks():
    """At (3, 3) of 100 m: 350 m right of and below the corners; blocks of 1500 m count from the map's origin."""
    utm, other = (CRS.from_epsg(code).to_wkt() for code in (32719, 32718))
    corners = [(0, 1500), (300, 1200), (1200, 1500), (0, 1500), (0, 300)]
    fires = _on_grounds([(3, 3)] * 5, corners, [utm, utm, utm, other, utm])
    assert _blocks_of(fires) == [0, 0, 1, 2, 3]  # 50 m south of the origin is the next block
    feet = CRS.from_epsg(2227).to_wkt()  # US survey feet: 0.3048006 m
    far = _on_grounds([(0, 0)] * 3, [(0, 9000), (4800, 9000), (4900, 9000)], [feet] * 3)
    assert _blocks_of(far) == [0, 0, 1]  # 4850 and 4950 feet are 1478 and 1509 m
    degrees = CRS.from_epsg(4326).to_wkt()
    assert _blocks_of(_on_grounds([(3, 3)] * 2, [(0, 0)] * 2, [degrees] * 2)) == [0, 1]


def test_grounds_of_one_crs_share_their_blocks_however_it_is_written():
    """The name of a block, which gives its rank, is the text that stands there where all have one."""
    utm, other, written = (
        CRS.from_epsg(32719).to_wkt(),
        CRS.from_epsg(32718).to_wkt(),
        pyproj.CRS.from_epsg(32719).to_wkt("WKT1_ESRI"),
    )
    assert written != utm
    assert _blocks_of(_on_grounds([(3, 3)] * 3, [(0, 1500)] * 3, [utm, written, other])) == [0, 0, 1]
    for text in (utm, written):
        fires = _on_grounds([(3, 3)] * 2, [(0, 1500)] * 2, [text] * 2)
        assert _blocks(fires, 1.5) == [f"0 0 {text}"] * 2


def test_blocks_lie_fixed_on_the_landscape():
    """Fires of one place stay together whatever their windows."""
    near = _placed([(16, 16), (29, 29)])
    far = _placed([(1, 1), (14, 14)], window=(15, 15))
    both = [
        make_split({"a": fires}, _settings(by="block", block_km=1.5, train=1, validation=0, test=0))
        for fires in (near, far)
    ]
    assert both[0] == both[1]
    for fires in (near, far):
        with pytest.raises(InputError, match=r"(?s)no fire for validation, of 2 fires in 1 data sets.*block_km"):
            make_split({"a": fires}, _settings(by="block", block_km=1.5))  # one block


def test_place_is_that_of_the_first_burned_frame():
    fires = _placed([(4, 7)], frames_before=2)
    assert first_burned_centre(fires, "sequence_001") == (4.5, 7.5)
    with pytest.raises(InputError, match=r"(?s)sequence_001 of data set 'land'.*nothing burns"):
        first_burned_centre(fires.assign(burned=fires.burned * 0), "sequence_001")


def test_whole_landscapes_are_held_out():
    stores = {name: _fires(20) for name in ("a", "b", "c")}
    split = make_split(stores, _settings(by="landscape", test_landscapes=["b"]))
    assert split["counts"]["b"] == {"train": 0, "validation": 0, "test": 20}
    assert split["counts"]["a"] == split["counts"]["c"] == {"train": 16, "validation": 4, "test": 0}  # 0.7 : 0.15


def test_a_landscape_is_held_out_beside_a_split_by_fire():
    stores = {name: _fires(20) for name in ("a", "b")}
    alone, both = (make_split(stores, _settings(by="fire", test_landscapes=held)) for held in ([], ["b"]))
    assert both["counts"]["b"] == {"train": 0, "validation": 0, "test": 20}
    assert both["fires"]["a"] == alone["fires"]["a"]
    assert all(both["counts"]["a"].values())


@pytest.mark.parametrize("held_out", [[], ["x"], ["a", "b"]])
def test_landscapes_that_cannot_be_held_out(held_out):
    with pytest.raises(InputError, match=r"(?s)split\.test_landscapes.*\['a', 'b'\], and not all"):
        make_split({"a": _fires(9), "b": _fires(9)}, _settings(by="landscape", test_landscapes=held_out))


@pytest.mark.parametrize(("number", "missing"), [(1, "validation"), (2, "test")])
def test_too_few_fires(number, missing):
    with pytest.raises(
        InputError, match=f"(?s)settings `split`.*no fire for {missing}, of {number} fires.*give more fires"
    ):
        make_split({"a": _fires(number)}, _settings())


def test_small_data_set_beside_a_large_one_is_trained_on():
    split = make_split({"a": _fires(30), "one": _fires(1)}, _settings())
    assert split["counts"]["one"] == {"train": 1, "validation": 0, "test": 0}


def test_split_that_is_not_wanted_may_be_empty():
    split = make_split({"a": _fires(4)}, _settings(train=0.5, validation=0.5, test=0))
    assert split["counts"]["a"] == {"train": 2, "validation": 2, "test": 0}


def test_file_round_trip(tmp_path):
    split = make_split({"a": _fires(9)}, _settings())
    path = tmp_path / "splits" / "ab.json"
    write_split(path, split)
    assert read_split(path) == split["fires"]
    assert json.loads(path.read_text()) == split
    assert [file.name for file in path.parent.iterdir()] == ["ab.json"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "No such file"),
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError"),
        ('{"fires": {"a": {"f": "dev"}}}', "dev"),
    ],
)
def test_other_files_are_no_split(tmp_path, text, found):
    path = tmp_path / "split.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=rf"(?s)split\.json.*{found}.*emberformer split"):
        read_split(path)


def test_a_split_with_leaks_is_refused_where_they_stop(tmp_path):
    path = tmp_path / "split.json"
    write_split(path, make_split({"a": _fires(9)}, _settings()) | {"leaks": ["a/1 and a/2 burn alike"]})
    assert len(read_split(path, "report")["a"]) == 9
    with pytest.raises(InputError, match=r"(?s)split\.json.*a/1 and a/2 burn alike.*leakage: report"):
        read_split(path)


def test_split_of_the_tiny_store(tiny_fires):
    split = make_split({"tiny": tiny_fires}, _settings(by="block", block_km=0.3))
    assert sum(split["counts"]["tiny"].values()) == 6
