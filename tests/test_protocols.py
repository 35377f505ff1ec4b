"""Protocols: what they fix, what they refuse, and that scores are those of the published rules."""

import random

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import average_precision_score

from emberformer.data.published_splits import split_as_published, split_by_years, split_shuffled
from emberformer.data.split import make_split
from emberformer.data.wsts.samples import FOLDS
from emberformer.data_settings import SplitSettings
from emberformer.errors import InputError
from emberformer.evaluate.pooling import Score, fire_table, scores_of
from emberformer.evaluate.verification import CENTRE, Scored, Selection, sums_of
from emberformer.forecast_store import ForecastBlock, open_forecasts, write_forecasts
from emberformer.settings import Settings, parse_settings
from tests.small_fires import small_fires

WSTS = {"name": "a", "protocol": "wsts-full", "datasets": {"d": {"source": "wsts", "root": "."}}}


def named(*fire_ids: str) -> xr.Dataset:
    return xr.Dataset(coords={"fire_id": ("fire", np.array(fire_ids, "T"))}, attrs={"dataset": "d"})


def test_a_protocol_sets_what_it_fixes_and_comes_back_from_a_dump():
    settings = parse_settings(WSTS | {"split": {"fold": 3}})
    assert (settings.split.by, settings.split.fold) == ("year", 3)
    assert (settings.evaluation.crop, settings.evaluation.first_step) == ("multiple_of_32", 4)
    assert settings.evaluation.protocol == "wsts-full"
    assert settings.datasets["d"].missing_days == "skip"  # type: ignore[union-attr]
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": {"by": "fire"}}, r"split\.by: 'fire', but protocol wsts-full fixes 'year'"),
        ({"evaluation": {"crop": "centre_128"}}, r"evaluation\.crop: 'centre_128', but protocol wsts-full"),
        ({"datasets": {"d": {"source": "wsts", "root": ".", "missing_days": "unknown"}}}, r"datasets\.d\.missing_days"),
        ({"datasets": {"d": {"source": "ndws", "root": "."}}}, r"datasets\.d\.source: 'ndws'"),
        ({"forecast": {"every": 2}}, r"forecast\.every: 2"),
    ],
)
def test_what_contradicts_a_protocol_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        parse_settings(WSTS | changes)


def test_a_protocol_that_does_not_exist():
    with pytest.raises(InputError, match=r"protocol: Input should be 'wsts-full'"):
        parse_settings(WSTS | {"protocol": "wsts"})


@pytest.mark.parametrize("fold", range(12))
def test_years_of_a_fold(fold):
    years = FOLDS[fold]
    fires = named(*(f"{year}_fire_{year}" for year in (2017, 2018, 2019, 2020, 2021)))
    split = split_by_years(fires, fold)
    assert "2017_fire_2017" not in split
    of = {year: split[f"{year}_fire_{year}"] for year in (2018, 2019, 2020, 2021)}
    assert [of[year] for year in (*years.train, years.validation, years.test)] == [
        "train", "train", "validation", "test",
    ]  # fmt: skip
    with pytest.raises(InputError, match=r"(?s)split\.by`.*'sequence_1'.*begins with its year"):
        split_by_years(named("sequence_1"), fold)


def test_tiles_keep_the_split_of_their_file():
    split = split_as_published(named("train_00_000001", "eval_01_000002", "test_00_000003"))
    assert list(split.values()) == ["train", "validation", "test"]
    with pytest.raises(InputError, match="a name such as train_00_000123"):
        split_as_published(named("2018_fire_1"))


def test_the_shuffle_of_the_original():
    names = [f"sequence_{number:03d}" for number in range(1, 28)]
    split = split_shuffled(named(*names), 42, 0.8, 0.1)
    expected = list(names)
    random.Random(42).shuffle(expected)
    assert [name for name in names if split[name] == "train"] == sorted(expected[:21])
    assert [name for name in names if split[name] == "validation"] == sorted(expected[21:24])
    assert list(split) == names


def test_make_split_takes_the_rule_that_is_named():
    fires = {"d": named("2018_fire_1", "2019_fire_2", "2020_fire_3", "2021_fire_4")}
    made = make_split(fires, SplitSettings(by="year", fold=0))
    assert made["fires"]["d"] == split_by_years(fires["d"], 0)
    assert made["counts"]["d"] == {"train": 2, "validation": 1, "test": 1}


@pytest.mark.parametrize(
    ("crop", "rows", "columns"), [("multiple_of_32", slice(4, 36), slice(9, 41)), ("centre_128", slice(40), slice(50))]
)
def test_only_the_crop_of_the_fires_own_raster_is_scored(tmp_path, crop, rows, columns):
    """A raster of 40 x 50 in a window of 45 x 60: its centre of 32 x 32 begins at (4, 9), whatever the padding."""
    rng = np.random.default_rng(0)
    frames = [np.full((45, 60), 255, np.uint8) for _ in range(4)]
    for frame in frames:
        frame[:40, :50] = rng.random((40, 50)) < 0.3
    fires = small_fires({"a": frames}, fire_kind="active")
    times, values = fires.valid_time.values, rng.random((3, 45, 60), np.float32)
    blocks = [ForecastBlock("a", "test", k, times[k], times[k + 1 : k + 2], values[k][None]) for k in range(3)]
    about = {"method": "m", "dataset": "small", "score_kind": "probability", "provenance": {}}
    write_forecasts(tmp_path / "m.zarr", blocks, shape=(1, 45, 60), sees_target_wind=False, **about)
    sums = sums_of(open_forecasts(tmp_path / "m.zarr"), fires, Scored(crop, first_step=1))  # type: ignore[arg-type]
    assert sums.about.init_step.tolist() == [1, 2]
    target = np.stack(frames[2:])[:, rows, columns]
    assert sums.count.sum() == target.size
    found = scores_of(fire_table([sums], Selection("test")), np.ones((1, 1)), "probability", CENTRE)
    expected = average_precision_score(target.ravel(), values[1:, rows, columns].ravel())
    assert found[Score("whole", "", "average_precision")][0] == pytest.approx(expected, abs=4e-3)
