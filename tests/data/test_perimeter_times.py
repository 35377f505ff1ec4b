"""Times of perimeters: in words, in names, counted; what is out of order is refused."""

from pathlib import Path

import numpy as np
import pytest

from emberformer.data.perimeter_times import (
    check_increasing,
    check_numbers,
    count_times,
    parse_time,
    sort_files,
    time_in,
    told_time,
)
from emberformer.errors import InputError


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("fire_20240131T123005", "2024-01-31T12:30:05"),
        ("2024-01-31_12-30", "2024-01-31T12:30:00"),
        ("goes16_20240131_1230Z", "2024-01-31T12:30:00"),
        ("perimeter 2024-01-31", "2024-01-31T00:00:00"),
        ("a_2024013112", None),  # digits that are no date and no hour
        ("20241331T1200", None),  # no month 13
        ("fire_003", None),
        ("tile_19991231_fire_20240131T1230", "1999-12-31T00:00:00"),
        ("2024-01-31T12:30:00-07:00", "2024-01-31T19:30:00"),
        ("2024-01-31T12:30-07", "2024-01-31T19:30:00"),
        ("fire_20240131T1230-0700", "2024-01-31T19:30:00"),
        ("fire_20240131T1230-0001", "2024-01-31T12:30:00"),  # there is no such zone
        ("20240131T12Z", "2024-01-31T12:00:00"),
        ("fire_20240131T12", "2024-01-31T12:00:00"),
        ("fire_2024-01-31_12Z", "2024-01-31T12:00:00"),
        ("fire_2024-01-31_12", None),  # an hour or a number
        ("fire_20240131_10m", "2024-01-31T00:00:00"),
        ("fire_20240131_12h", "2024-01-31T12:00:00"),
        ("fire_2024-01-31 12UTC", "2024-01-31T12:00:00"),
        ("fire_20240131_12H30", "2024-01-31T12:30:00"),
        ("fire_20240131.1230", "2024-01-31T12:30:00"),
        ("fire_20240131_12ha", "2024-01-31T00:00:00"),  # hectares
        ("fire_20240131_24h", "2024-01-31T00:00:00"),  # the whole day
        ("fire_20240131.12", None),
        ("fire_20240131_12_003", None),
    ],
)
def test_time_in_a_name(name, time):
    assert time_in(name) == (None if time is None else np.datetime64(time, "s"))


def test_the_first_word_that_tells_a_time_counts():
    noon, saved = np.datetime64("2024-01-31T12:00:00"), "2025-05-05 10:00:00"
    assert told_time(["", "fire_003", "fire_20240131T12", saved], "x", None) == noon
    assert told_time(["2024-01-31T12:00", "fire_2024-01-31_09"], "x", None) == noon
    assert told_time(["fire_003", ""], "x", None) is None


@pytest.mark.parametrize("doubtful", ["fire_2024-01-31_12", "2024-01-31 12", "20240131.12", "20240131_12_003"])
def test_two_digits_that_may_be_an_hour_are_refused(doubtful):
    for behind in ("", "2025-05-05 10:00:00"):  # whatever stands behind them
        with pytest.raises(InputError, match=r"(?s)a\.tif.*an hour or a number.*20240131T12.*--start"):
            told_time(["", doubtful, behind], "a.tif", None)
        assert told_time(["", doubtful, behind], "a.tif", np.datetime64("2024-01-31")) is None


def test_words_are_iso_and_zones_become_utc():
    assert parse_time("2024-01-31T12:30", "x") == np.datetime64("2024-01-31T12:30:00")
    assert parse_time("2024-01-31T12:30-03:00", "x") == np.datetime64("2024-01-31T15:30:00")
    with pytest.raises(InputError, match=r"(?s)--start.*'yesterday'.*ISO 8601"):
        parse_time("yesterday", "--start")


def test_counted_times_by_hand():
    start = np.datetime64("2024-01-31T12:00", "s")
    assert count_times(3, start, 1.5).tolist() == [
        np.datetime64(f"2024-01-31T12:0{minute}", "s").item() for minute in ("0:00", "1:30", "3:00")
    ]
    assert count_times(1, None, 30)[0] == np.datetime64(0, "s")


def test_files_are_sorted_by_times_else_by_numbers():
    def sort(*names):
        return [path.name for path in sort_files([Path(name) for name in names])]

    assert sort("f_10.tif", "f_9.tif") == ["f_9.tif", "f_10.tif"]
    assert sort("b_20240131T0000.tif", "a_20240201T0000.tif") == ["b_20240131T0000.tif", "a_20240201T0000.tif"]
    assert sort("b.tif", "a.tif") == ["b.tif", "a.tif"]
    assert sort("20240201_00.tif", "20240131_23.tif") == ["20240131_23.tif", "20240201_00.tif"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a_1.tif", "a_3.tif"], "a_1.tif and a_3.tif, and frames missing between them"),
        (["a_1.tif", "b_1.tif"], "a_1.tif and b_1.tif, of one number"),
        (["a_1.tif", "old.tif"], "old.tif without a number"),
    ],
)
def test_numbers_have_no_gap(names, message):
    with pytest.raises(InputError, match=message):
        check_numbers([Path(name) for name in names], 60)


def test_hours_behind_dates_are_a_step_apart_where_they_are_no_numbers():
    def paths(*names):
        return [Path(f"2024{name}.tif") for name in names]

    check_numbers(paths("0131_23", "0201_00", "0201_01"), 60)
    check_numbers(paths("0131_12", "0201_12"), 1440)
    check_numbers(paths("0131_01", "0131_02"), 30)
    with pytest.raises(InputError, match=r"20240201_00\.tif and 20240201_02\.tif, neither 60 minutes apart nor"):
        check_numbers(paths("0131_23", "0201_00", "0201_02"), 60)
    with pytest.raises(InputError, match=r"20240201_12\.tif and 20240201_13\.tif, neither 1440 minutes apart nor"):
        check_numbers(paths("0131_12", "0201_12", "0201_13"), 1440)
    with pytest.raises(InputError, match=r"20240131_12\.tif and 20240201_12\.tif, neither 60 minutes apart nor"):
        check_numbers(paths("0131_12", "0201_12"), 60)


@pytest.mark.parametrize(("minutes", "relation"), [((0, 60, 30), "earlier than"), ((0, 30, 30), "the same time as")])
def test_times_out_of_order_or_double(minutes, relation):
    times = np.datetime64("2024-01-31T12:00", "s") + np.array(minutes) * np.timedelta64(60, "s")
    with pytest.raises(InputError, match=rf"(?s)x\.tif.*third at 2024-01-31T12:30:00, {relation} second"):
        check_increasing(times, ["first", "second", "third"], "x.tif")
