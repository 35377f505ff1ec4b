"""Splits that authors of data sets have made, by hand; and tiles of one place, which other splits keep together."""

import random

import numpy as np
import pytest
import xarray as xr

from emberformer.data.given_splits import split_as_published, split_by_sequence, split_by_year
from emberformer.data.split import make_split
from emberformer.data.wsts.samples import FOLDS
from emberformer.data_settings import SplitSettings
from emberformer.errors import InputError

YEARS = [f"{year}_fire_{number}" for year in (2018, 2019, 2020, 2021) for number in (7, 21458798)]


@pytest.mark.parametrize(
    ("fold", "of_year"),
    [  # the first and last of the published table, and one between
        (0, {"2018": "train", "2019": "train", "2020": "validation", "2021": "test"}),
        (3, {"2018": "train", "2020": "train", "2021": "validation", "2019": "test"}),
        (11, {"2020": "train", "2021": "train", "2019": "validation", "2018": "test"}),
    ],
)
def test_year_of_a_fire_says_its_split(fold, of_year):
    assert split_by_year("w", YEARS, fold) == {name: of_year[name[:4]] for name in YEARS}


def test_every_year_is_tested_three_times():
    splits = [split_by_year("w", YEARS, fold) for fold in range(len(FOLDS))]
    tested = [name for split in splits for name, of in split.items() if of == "test"]
    assert sorted(tested) == sorted(3 * YEARS)


def test_fire_of_another_year_is_refused():
    with pytest.raises(InputError, match=r"(?s)1 such as '2016_fire_1'.*years: \[2018"):
        split_by_year("w", [*YEARS, "2016_fire_1"], 0)


def test_published_split_of_a_tile():
    tiles = ["train_00_000123", "eval_01_000000", "test_00_000004"]
    assert list(split_as_published("n", tiles).values()) == ["train", "validation", "test"]
    with pytest.raises(InputError, match="'sequence_001'"):
        split_as_published("n", [*tiles, "sequence_001"])


def test_sequences_are_shuffled_as_numbers():
    """Ten fires whose names sort otherwise than their numbers: shuffled by Python's own generator, cut at 8 and 9."""
    names = [f"sequence_{number}" for number in (2, 10, 1, 3, 4, 9, 5, 6, 8, 7)]
    order = list(range(1, 11))
    random.Random(42).shuffle(order)
    found = split_by_sequence("d", names, 0.8, 0.1, 42)
    assert list(found) == names
    assert [found[f"sequence_{number}"] for number in order] == ["train"] * 8 + ["validation", "test"]


@pytest.mark.parametrize("second", ["sequence_01", "sequence"])
def test_sequences_need_numbers_of_their_own(second):
    with pytest.raises(InputError, match="2 fires with 1 numbers"):
        split_by_sequence("d", ["sequence_1", second], 0.8, 0.1, 42)


def _tiles(names):
    """Fires with grounds of their own, of which each elevation is there twice, and one whose elevation is unknown."""
    elevation = np.repeat(np.arange(len(names)) // 2, 9).reshape(-1, 1, 3, 3).astype("float32")
    elevation[-2:] = np.nan
    return xr.Dataset(
        {"terrain": (("terrain", "band", "y", "x"), elevation)},
        coords={
            "fire_id": ("fire", np.array(names, "T")),
            "fire_digest": ("fire", np.array([f"of {name}" for name in names], "T")),
            "terrain_index": ("fire", np.arange(len(names))),
            "band": np.array(["elevation"], "T"),
            "crs_wkt": ("ground", np.array([""] * len(names), "T")),
        },
        attrs={"dataset": "tiles"},
    )


def test_tiles_of_one_place_stay_together_unless_published_apart():
    names = [f"{split}_00_{number:06d}" for number in range(20) for split in ("train", "test")]
    settings = SplitSettings(train=0.5, validation=0.25, test=0.25)
    own = make_split({"tiles": _tiles(names)}, settings)["fires"]["tiles"]
    assert all(own[one] == own[other] for one, other in zip(names[:-2:2], names[1:-2:2], strict=True))
    assert len(set(own.values())) == 3
    published = make_split({"tiles": _tiles([*names, "eval_00_000000"])}, SplitSettings(by="published"))
    assert published["counts"]["tiles"] == {"train": 20, "validation": 1, "test": 20}


def test_split_by_year_is_in_make_split():
    fires = xr.Dataset(coords={"fire_id": ("fire", np.array(YEARS, "T"))}, attrs={"dataset": "w"})
    found = make_split({"w": fires}, SplitSettings(by="year", fold=11))
    assert found["counts"]["w"] == {"train": 4, "validation": 2, "test": 2}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"by": "year"}, "fold belongs to by: year"),
        ({"fold": 3}, "fold belongs to by: year"),
        ({"by": "year", "fold": 12}, "less than or equal to 11"),
        ({"by": "published", "test_landscapes": ["a"]}, "by: published says by itself"),
    ],
)
def test_keys_that_do_not_fit_the_kind(content, named):
    with pytest.raises(ValueError, match=named):
        SplitSettings.model_validate(content)
