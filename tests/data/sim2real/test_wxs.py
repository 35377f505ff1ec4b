"""Weather: units and signs by hand, lines by number, every misfit with its line."""

from typing import Literal

import numpy as np
import pytest

from emberformer.data.sim2real.wxs import KEPT, drive_days, drive_frames, read_wxs
from emberformer.errors import InputError
from tests.sim2real_scenes import weather_lines, write_lines


def _table(tmp_path, lines, units: Literal["english", "metric"] = "english"):
    write_lines(tmp_path / "a.wxs", lines)
    return read_wxs(tmp_path / "a.wxs", units)


def test_units_by_hand(tmp_path):
    """50 deg F = 283.15 K; 10 miles an hour = 4.4704 m/s, from the west: towards the east. 36 km/h = 10 m/s."""
    line = "2023 07 24 0130 50.0 32 0.25 10.0 270 75.0"
    values = drive_frames(_table(tmp_path, [line, line]), 0, 2)
    np.testing.assert_allclose(values[0], [4.4704, 0, 283.15, 32, 0.25, 75], atol=1e-4)
    values = drive_frames(_table(tmp_path, [line.replace("10.0 270", "36.0 180")], "metric"), 0, 2)
    np.testing.assert_allclose(values[0], [0, 10, 323.15, 32, 0.25, 75], atol=1e-4)
    assert list(KEPT) == ["temperature", "relative_humidity", "precipitation", "cloud_cover"]


def test_times_of_the_lines(tmp_path):
    lines = [*weather_lines(1), "2023 07 24 2400 50 32 0 5 90 0"]
    time = _table(tmp_path, lines).time
    assert time is not None
    assert time.tolist() == np.array(["2023-07-24", "2023-07-25"], "datetime64[s]").tolist()


def test_row_of_the_first_frame(tmp_path):
    table = _table(tmp_path, weather_lines(6))
    speeds = np.array([3, 4, 5], "float32") * 0.44704
    np.testing.assert_allclose(drive_frames(table, 3, 3)[:, 0], speeds, rtol=1e-6)
    np.testing.assert_allclose(drive_frames(table, 3, 4)[:, 0], [*speeds, np.nan], rtol=1e-6)
    np.testing.assert_allclose(drive_frames(table, -1, 2)[:, 0], [np.nan, 0], atol=1e-6)


def test_too_few_lines_for_the_steps(tmp_path):
    table = _table(tmp_path, weather_lines(4))
    with pytest.raises(InputError, match=r"(?s)a\.wxs.*4 lines.*at least 5.*3 masks from line 4 on"):
        drive_frames(table, 3, 3)


def test_hours_that_are_not_known_keep_their_lines(tmp_path):
    lines = weather_lines(4)
    lines[1] = "#"
    table = _table(tmp_path, lines)
    np.testing.assert_allclose(drive_frames(table, 0, 4)[:, 0] / 0.44704, [0, np.nan, 2, 3], rtol=1e-6)
    assert table.time is not None
    assert np.isnat(table.time).tolist() == [False, True, False, False]


def _days(tmp_path, offset, lost=()):
    """Wind in miles an hour of four masks of 24, 25, 26 and 28 July; line h has the speed h."""
    lines = ["#" if hour in lost else line for hour, line in enumerate(weather_lines(100))]
    days = np.array(["2023-07-24", "2023-07-25", "2023-07-26", "2023-07-28"], "datetime64[s]")
    return drive_days(_table(tmp_path, lines), days, offset)[:, 0] / 0.44704


def test_an_hour_that_is_not_known_falls_out_of_the_mean_of_its_day(tmp_path):
    np.testing.assert_allclose(_days(tmp_path, 0), [11.5, 35.5, 71.5, np.nan], rtol=1e-6)
    np.testing.assert_allclose(_days(tmp_path, 0, lost=[3]), [(11.5 * 24 - 3) / 23, 35.5, 71.5, np.nan], rtol=1e-6)


def test_a_day_without_a_known_hour_is_said(tmp_path, caplog):
    wind = _days(tmp_path, 0, lost=range(24, 48))
    np.testing.assert_allclose(wind, [11.5, np.nan, 71.5, np.nan], rtol=1e-6)
    assert "a.wxs: no wind for 1 of 3 steps" in caplog.text


def test_daily_masks_know_the_past_wind_alone_where_that_is_asked_for(tmp_path, caplog):
    """At the mask of a day with -1 stands the wind from the mask before it to this one."""
    np.testing.assert_allclose(_days(tmp_path, -1), [np.nan, 11.5, 35.5, 71.5], rtol=1e-6)
    np.testing.assert_allclose(_days(tmp_path, 1), [35.5, 71.5, np.nan, np.nan], rtol=1e-6)
    assert not caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2023 07 24 0100 50 32 0 calm 90 0", "line 2.*calm.*wind_speed wind_direction"),
        ("2023 07 24 0100 50 32 0 5 90", "line 2.*9 numbers"),
        ("2023 13 24 0100 50 32 0 5 90 0", "line 2.*month"),
        ("2023 07 24 0100 50 32 0 -5 90 0", "line 2.*wind_speed = -5"),
        ("2023 07 24 0100 50 32 0 5 400 0", "line 2.*wind_direction = 400.*0 to 360"),
        ("", "line 2.*year month day"),
    ],
)
def test_lines_that_do_not_fit(tmp_path, line, message):
    with pytest.raises(InputError, match=rf"(?s)a\.wxs, {message}.*weather: false"):
        _table(tmp_path, [weather_lines(1)[0], line, weather_lines(3)[2]])


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(InputError, match=r"(?s)none\.wxs.*supply the file"):
        read_wxs(tmp_path / "none.wxs", "english")
    with pytest.raises(InputError, match=r"(?s)a\.wxs.*an empty file"):
        _table(tmp_path, [])
