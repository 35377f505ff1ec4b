"""Checks of terrain, time, target, duplicates and leakage on small stores by hand."""

import numpy as np
import pytest

from emberformer.checks.duplicates import check_duplicates
from emberformer.checks.finding import Finding, worst
from emberformer.checks.leakage import check_content, check_ground, check_split_sizes
from emberformer.checks.target import check_target
from emberformer.checks.terrain import check_band
from emberformer.checks.time import check_time
from emberformer.data.leakage import equal_fires, shared_ground
from tests.small_fires import small_fires

EMPTY = np.zeros((4, 6), np.uint8)


def values(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32).reshape(1, 1, -1)


@pytest.mark.parametrize(
    ("name", "kind", "unit", "numbers", "level", "said"),
    [
        ("slope_deg", "continuous", "deg", (0, 89), "OK", ""),
        ("slope_deg", "continuous", "deg", (0, 120), "ERROR", "0 to 90"),
        ("aspect_deg", "angle", "deg", (0, 359), "OK", ""),
        ("aspect_deg", "angle", "deg", (-1, 359), "ERROR", "0 to 360"),
        ("other", "angle", "deg", (0, 400), "ERROR", "0 to 360"),
        ("elevation", "continuous", "m", (-9999, 500), "ERROR", "nodata_value"),
        ("elevation", "continuous", "m", (0, 12000), "ERROR", "-450 to 9000"),
        ("canopy_cover", "continuous", "percent", (0, 101), "ERROR", "0 to 100"),
        ("canopy_height", "continuous", "m", (7, 7), "WARNING", "same value"),
        ("canopy_height", "continuous", "m", (1, 2, np.nan, np.nan, np.nan), "WARNING", "missing"),
        ("canopy_height", "continuous", "m", (np.nan, np.nan), "ERROR", "name"),
        ("fuel_model", "categorical", "1", (0, 1, 2), "OK", ""),
        ("fuel_model", "categorical", "1", (0, 1.5), "ERROR", "whole numbers"),
        ("fuel_model", "categorical", "1", tuple(range(65)), "WARNING", "measurement"),
        ("fuel_model", "categorical", "1", (-9999, 1, 2), "ERROR", "-9999 looks like no data"),
        ("canopy_height", "continuous", "m", (0, 12, 32767), "ERROR", "32767 looks like no data"),
        ("canopy_height", "continuous", "m", (-32768, 12), "ERROR", "-32768 looks like no data"),
        ("burnable", "binary", "1", (1, np.nan), "OK", ""),
        ("burnable", "binary", "1", (0, 1, 2), "ERROR", "0 and 1"),
        ("burnable", "binary", "1", (1, 1), "WARNING", "same value"),
    ],
)
def test_bands(name, kind, unit, numbers, level, said):
    found = check_band(name, kind, unit, values(*numbers))
    assert found.level == level
    assert said in found.remedy


def test_a_band_tells_its_codes_and_gaps():
    found = check_band("fuel_model", "categorical", "1", values(1, 1, 4, np.nan))
    assert (found.numbers["codes"], found.numbers["missing"]) == (2, 0.25)


def test_steps_of_unequal_length_and_frames_that_are_missing():
    fires = small_fires({"a": [EMPTY] * 3, "b": [EMPTY] * 2, "c": [EMPTY]})
    steps, lengths = check_time(fires)
    assert (steps.level, steps.numbers["steps"]) == ("OK", 3)
    assert (lengths.level, lengths.numbers["single_frame"]) == ("WARNING", 1)
    rounded = fires.assign_attrs(seconds_per_frame=1800.5)  # 30.008 min: times are whole seconds
    assert check_time(rounded)[0].level == "OK"
    late = fires.valid_time.values.copy()
    late[2] += np.timedelta64(3600, "s")  # two further half hours between frame 1 and 2
    steps, _ = check_time(fires.assign_coords(valid_time=("frame", late)))
    assert (steps.level, steps.numbers["unequal"], steps.numbers["missing_frames"]) == ("WARNING", 1, 2)
    late[4] = late[3]
    assert check_time(fires.assign_coords(valid_time=("frame", late)))[0].level == "ERROR"


@pytest.mark.parametrize(
    ("kind", "inside", "level"),
    [
        ("same_as_burned", 1.0, "OK"),
        ("increment", 0.0, "OK"),
        ("increment", 0.3, "WARNING"),
        ("cumulative", 0.99, "OK"),
        ("cumulative", 0.8, "WARNING"),
    ],
)
def test_the_target_says_what_it_holds_of_the_current_fire(kind, inside, level):
    fires = small_fires({"a": [EMPTY]})
    fires.attrs.update(target_kind=kind, isochrone_check={"current_fire_inside_target": inside})
    (found,) = check_target(fires)
    assert found.level == level
    assert f"{100 * inside:.1f} %" in found.message
    fires.attrs["fires_skipped"] = [{"fire_id": "b", "reason": "no frame"}]
    assert check_target(fires)[1].level == "WARNING"


def with_digests(fires, digests, corners=None):
    """Frame digests, and the windows' upper left corners."""
    rows, columns = np.array(corners or [(0, 0)] * fires.sizes["fire"]).T
    return fires.assign_coords(
        frame_digest=("frame", np.array(list(digests), "T")), window_row=("fire", rows), window_col=("fire", columns)
    )


def test_equal_fires_and_frames_that_come_back():
    fires = with_digests(small_fires({"a": [EMPTY] * 4, "b": [EMPTY] * 3, "c": [EMPTY] * 3}), "pqqp" + "pqr" + "xyz")
    equal, frames = check_duplicates(fires)
    assert equal.numbers["first"] == [["a", "b"]]  # both frames of a are in b; c shares none
    assert (frames.numbers["repeated"], frames.numbers["returned"], frames.level) == (1, 1, "WARNING")


def test_small_fires_in_two_windows_are_no_equal_fires():
    """Each is one pixel in the middle of its window, and elsewhere on the ground."""
    fires = with_digests(small_fires({"a": [EMPTY] * 2, "b": [EMPTY] * 2}), "pqpq")
    assert check_duplicates(fires)[0].numbers["pairs"] == 1
    apart = fires.assign_coords(terrain_index=("fire", [0, 1]))
    split = {"d": {"a": "train", "b": "test"}}
    assert check_duplicates(apart)[0].level == check_content({"d": apart}, split).level == "OK"


def test_frames_of_fires_that_go_out_come_back():
    fires = with_digests(small_fires({"a": [EMPTY] * 4}, fire_kind="active"), "pqrq")
    assert check_duplicates(fires)[1].level == "OK"
    assert check_duplicates(fires.assign_attrs(fire_kind="cumulative"))[1].level == "WARNING"


def test_an_ignition_that_many_share_makes_no_equal_fires():
    frames = {("d", str(n)): ["same", f"own {n}", f"other {n}"] for n in range(60)}
    assert equal_fires(frames) == []


def test_content_in_two_splits_is_an_error_also_over_data_sets():
    one = with_digests(small_fires({"a": [EMPTY] * 2, "b": [EMPTY] * 2}), "pqxy")
    other = with_digests(small_fires({"c": [EMPTY] * 2}), "pq")
    split = {"one": {"a": "train", "b": "test"}, "other": {"c": "test"}}
    found = check_content({"one": one, "other": other}, split)
    assert (found.level, found.numbers["pairs"]) == ("ERROR", 1)
    assert "one/a and other/c" in found.message
    split["other"]["c"] = "train"
    assert check_content({"one": one, "other": other}, split).level == "OK"


def test_ground_that_test_and_training_share():
    """Windows of 4 x 6: the test's at (0, 0) and (10, 10), training's at (2, 3): 2 x 3 of 48 pixels are shared."""
    fires = with_digests(
        small_fires({"a": [EMPTY], "b": [EMPTY], "c": [EMPTY]}), "pqr", [(0, 0), (2, 3), (10, 10)]
    )  # fmt: skip
    split = {"a": "test", "b": "train", "c": "test"}
    assert shared_ground({"small": fires}, {"small": split}) == pytest.approx(6 / 48)
    assert check_ground(fires, split, "fire").level == "OK"
    assert check_ground(fires, split, "block").level == "WARNING"
    assert check_ground(fires, {"a": "test", "b": "test", "c": "test"}, "landscape").level == "OK"


@pytest.mark.parametrize(
    ("counts", "level"), [((9, 5, 5), "OK"), ((9, 5, 2), "WARNING"), ((9, 5, 0), "WARNING"), ((9, 0, 5), "ERROR")]
)
def test_sizes_of_the_splits(counts, level):
    names = [name for name, n in zip(("train", "validation", "test"), counts, strict=True) for _ in range(n)]
    found = check_split_sizes({"d": {str(n): name for n, name in enumerate(names)}})
    assert found.level == level


def test_the_gravest_finding_decides():
    ok, warning, error = (Finding(level, "a", "") for level in ("OK", "WARNING", "ERROR"))  # type: ignore[arg-type]
    assert [worst([]), worst([ok]), worst([ok, warning]), worst([warning, error, ok])] == [
        "OK", "OK", "WARNING", "ERROR",
    ]  # fmt: skip
