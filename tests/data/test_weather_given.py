"""Wind of a new fire: signs and units by hand, vectors between rows, and every gap named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberformer.data.weather_given import constant_wind, read_wind
from emberformer.errors import InputError
from tests.new_fires import START, times, write_weather


def _read(path, frames=3, leads=1, minutes=30.0, unit=None, dated=True):
    return read_wind(path, times(frames, minutes), dated, minutes, leads, unit)


@pytest.mark.parametrize(("speed", "unit"), [(36.0, "km h-1"), (10.0, "m s-1"), (10 / 0.44704, "mph")])
def test_west_wind_blows_to_the_east(speed, unit):
    wind = constant_wind(speed, 270.0, unit, 3, 2)
    np.testing.assert_allclose(wind.frames, [[10, 0]] * 3, atol=1e-5)
    np.testing.assert_allclose(wind.leads, [[10, 0]] * 2, atol=1e-5)
    assert wind.notes == ["the wind is 10.0 m/s (36 km/h) from 270 degrees in all steps"]


@given(st.floats(0.1, 70), st.floats(0, 360))
def test_notes_say_what_was_given(speed, direction):
    (note,) = constant_wind(speed, direction, "m s-1", 1, 1).notes
    assert f"{speed:.1f} m/s" in note or abs(speed * 10 % 1 - 0.5) < 1e-4
    said = float(note.split("from ")[1].split()[0])
    assert abs((said - direction + 180) % 360 - 180) <= 0.51


def test_rows_at_the_frames_drive_their_steps(tmp_path):
    path = write_weather(tmp_path / "w.csv", times(5), [36, 36, 36, 18, 72], [270, 180, 90, 0, 270])
    wind = _read(path, frames=3, leads=3)
    np.testing.assert_allclose(wind.frames, [[10, 0], [0, 10], [-10, 0]], atol=1e-5)
    np.testing.assert_allclose(wind.leads, [[-10, 0], [0, -5], [20, 0]], atol=1e-5)
    assert wind.notes == [
        "wind of w.csv (speed in km h-1): 10.0 m/s (36 km/h) from 90 degrees in the first step of the forecast, "
        "20.0 m/s (72 km/h) from 270 degrees in the last"
    ]


def test_between_rows_the_vector_is_interpolated(tmp_path):
    """Half-way from a wind from 350 to one from 10 degrees it blows from the north, not from the south."""
    path = write_weather(tmp_path / "w.csv", times(3, 60), [36, 36, 36], [350, 10, 10])
    wind = _read(path)
    np.testing.assert_allclose(wind.frames[1], [0, -10 * np.cos(np.deg2rad(10))], atol=1e-5)
    assert "interpolated as a vector" in wind.notes[1]


@pytest.mark.parametrize(
    ("names", "unit", "speed"),
    [
        (("time", "wind_speed_ms", "wind_direction"), None, 10),
        (("Date Time", "Wind Speed (km/h)", "Wind Direction (deg)"), None, 36),
        (("valid_time", "speed_mph", "direction"), None, 10 / 0.44704),
        (("datetime", "WS", "WD"), "km h-1", 36),
        (("datetime", "ws [m s-1]", "wd"), "m s-1", 10),
    ],
)
def test_columns_and_units_are_found_by_name(tmp_path, names, unit, speed):
    path = write_weather(tmp_path / "w.csv", times(3), [speed] * 3, [270] * 3, names)
    np.testing.assert_allclose(_read(path, unit=unit).frames, [[10, 0]] * 3, atol=1e-5)


def test_times_with_a_zone_become_utc(tmp_path):
    local = [f"{time}-03:00" for time in times(3) - np.timedelta64(3, "h")]
    path = write_weather(tmp_path / "w.csv", local, [36, 72, 36], [270] * 3)
    np.testing.assert_allclose(_read(path).frames[:, 0], [10, 20, 10], atol=1e-5)


def test_rows_that_no_step_needs_may_be_empty(tmp_path):
    around = START + np.arange(-4, 6) * np.timedelta64(1800, "s")
    speed = np.where(np.arange(10) < 4, np.nan, 36)
    speed[-1] = np.nan
    wind = _read(write_weather(tmp_path / "w.csv", around, speed, [270.0] * 10))
    np.testing.assert_allclose(wind.frames, [[10, 0]] * 3, atol=1e-5)


@pytest.mark.parametrize(
    ("minutes", "speed", "direction", "options", "message"),
    [
        ([0, 30, 60], [36, np.nan, 36], [270] * 3, {}, r"w\.csv, line 3.*speed nan"),
        ([0, 30, 60], [36, 36, 36], [270, 270, 400], {}, r"w\.csv, line 4.*direction 400"),
        ([0, 30, 60], [36, -1, 36], [270] * 3, {}, r"w\.csv, line 3.*speed -1"),
        ([0, 30, 60], [36, "calm", 36], [270] * 3, {}, r"w\.csv, line 3.*speed nan"),
        ([0, 30], [36] * 2, [270] * 2, {}, "no wind at 2024-01-31T13:00:00, for step 1 of the forecast.*add rows"),
        ([0, 30, 60], [36] * 3, [270] * 3, {"leads": 2}, "13:30:00, for step 2 of the forecast.*to 2024-01-31T13:30"),
        ([30, 60], [36] * 2, [270] * 2, {}, "no wind at .*12:00:00, for the step from frame 0.*fewer perimeters"),
        ([0, 300], [36] * 2, [270] * 2, {}, r"no row between .*12:00:00 and .*17:00:00.*at most 3 hours apart"),
        ([0, 60, 30], [36] * 3, [270] * 3, {}, r"line 4.*12:30:00 after .*13:00:00.*sort the rows"),
        ([0, 30, 30], [36] * 3, [270] * 3, {}, "each row later than the one before"),
        ([0, 30, 60], [400] * 3, [270] * 3, {}, "400 km h-1 = 111 m/s.*--wind-unit"),
        ([0, 30, 60], [36] * 3, [270] * 3, {"unit": "mph"}, "says km h-1.*'mph'"),
        ([0, 30, 60], [36] * 3, [270] * 3, {"dated": False}, "no times, but a weather table.*--start"),
    ],
)  # fmt: skip
def test_tables_that_do_not_cover_the_fire(tmp_path, minutes, speed, direction, options, message):
    moments = START + np.array(minutes) * np.timedelta64(60, "s")
    with pytest.raises(InputError, match=f"(?s){message}"):
        _read(write_weather(tmp_path / "w.csv", moments, speed, direction), **options)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("datetime", "WS", "WD"), "column 'WS' without a unit.*--wind-unit.*WS_kmh"),
        (("datetime", "gust", "WD"), "no column for speed among"),
        (("datetime", "WS_ms", "where"), "no column for direction"),
        (("row", "WS_ms", "WD"), "no column for time"),
    ],
)
def test_columns_that_are_not_found(tmp_path, names, message):
    with pytest.raises(InputError, match=rf"(?s)w\.csv.*{message}"):
        _read(write_weather(tmp_path / "w.csv", times(3), [36] * 3, [270] * 3, names))


def test_files_that_are_no_table(tmp_path):
    path = tmp_path / "w.csv"
    for content in (None, "", "datetime,WS_ms,WD\n", "datetime,WS_ms,WD\nnoon,3,4\n"):
        if content is not None:
            path.write_text(content)
        with pytest.raises(InputError, match=r"w\.csv"):
            _read(path)


@pytest.mark.parametrize(("speed", "direction"), [(-1.0, 0.0), (np.nan, 0.0), (3.0, 361.0), (200.0, 0.0)])
def test_constants_that_are_no_wind(speed, direction):
    with pytest.raises(InputError, match="--wind-"):
        constant_wind(speed, direction, "m s-1", 1, 1)
