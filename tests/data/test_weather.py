"""Weather tables: the sign and unit of the wind, the row that drives a step, and what stops a bad table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberformer.data.weather import drive_steps, frame_times, read_history, read_weather, wind_towards
from emberformer.data_settings import WeatherSettings
from emberformer.errors import InputError

METRES = WeatherSettings.model_validate({"speed_unit": "m s-1"})


def _write(path, *rows, header="datetime,WS,WD"):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("direction_from", "u", "v"),
    [(270, 10, 0), (90, -10, 0), (0, 0, -10), (180, 0, 10), (225, 10 / np.sqrt(2), 10 / np.sqrt(2)), (360, 0, -10)],
)
def test_wind_blows_towards_the_opposite_side(direction_from, u, v):
    np.testing.assert_allclose(wind_towards(np.array([10.0]), np.array([float(direction_from)])), [[u, v]], atol=1e-12)


def test_359_and_1_degree_are_neighbours():
    """Directions next to each other are next to each other as vectors, on both sides of north as everywhere."""
    wind = wind_towards(np.full(4, 10.0), np.array([359.0, 1.0, 89.0, 91.0]))
    across_north, across_east = np.linalg.norm(wind[0] - wind[1]), np.linalg.norm(wind[2] - wind[3])
    assert across_north == pytest.approx(across_east) == pytest.approx(20 * np.sin(np.deg2rad(1)))


@given(st.floats(0.1, 60), st.floats(0, 359.99))
def test_speed_and_direction_come_back_from_the_vector(speed, direction):
    u, v = wind_towards(np.array([speed]), np.array([direction]))[0]
    assert np.hypot(u, v) == pytest.approx(speed)
    turn = (np.rad2deg(np.arctan2(-u, -v)) - direction + 180) % 360 - 180
    assert turn == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("word", ["", "31/01/2024 13:00", "7"])
def test_a_time_that_cannot_be_read_is_said(tmp_path, caplog, word):
    table = read_weather(
        _write(tmp_path / "a.csv", f"{'3' if word == '7' else '2024-01-31T12:00'},36,270", f"{word},36,270"), METRES
    )
    assert table.time is None
    assert f"a.csv, line {2 if word == '7' else 3}: datetime" in caplog.text


@pytest.mark.parametrize(("unit", "metres_per_second"), [("m s-1", 36.0), ("km h-1", 10.0), ("mph", 16.09344)])
def test_speed_is_converted_once_and_kept_raw(tmp_path, unit, metres_per_second):
    settings = WeatherSettings.model_validate({"speed_unit": unit})
    table = read_weather(_write(tmp_path / "a.csv", "x,36,270", "x,36,270"), settings)
    values = drive_steps(table, ["WS", "WD"], 2, settings)
    np.testing.assert_allclose(values[0], [metres_per_second, 0, 36, 270], atol=1e-4)


@pytest.mark.parametrize(
    ("offset", "expected"), [(0, [1, 2, 3, np.nan]), (1, [2, 3, np.nan, np.nan]), (-1, [np.nan, 1, 2, 3])]
)
def test_row_offset_chooses_the_row_that_drives_a_step(tmp_path, offset, expected):
    settings = METRES.model_copy(update={"row_offset": offset})
    table = read_weather(_write(tmp_path / "a.csv", "x,1,270", "x,2,270", "x,3,270"), settings)
    frames = 4 if offset <= 0 else 3
    np.testing.assert_allclose(drive_steps(table, [], frames, settings)[:, 0], expected[:frames], atol=1e-6)


def test_too_few_rows_for_the_steps(tmp_path):
    table = read_weather(_write(tmp_path / "a.csv", "x,1,270", "x,2,270"), METRES)
    assert np.isnan(drive_steps(table, [], 3, METRES)[2]).all()  # the last frame drives nothing
    with pytest.raises(InputError, match=r"(?s)a\.csv.*2 rows.*at least 3 rows.*4 frames"):
        drive_steps(table, [], 4, METRES)


@pytest.mark.parametrize("row", ["x,,270", "x,5,", "x,-1,270", "x,5,999", "x,inf,0"])
def test_unusable_wind_names_file_and_row(tmp_path, row):
    table = read_weather(_write(tmp_path / "a.csv", "x,1,270", row), METRES)
    with pytest.raises(InputError, match=r"(?s)a\.csv, row 1 \(line 3\).*WS = .*WD = .*0 to 360"):
        drive_steps(table, [], 2, METRES)


def test_missing_file_and_missing_column(tmp_path):
    with pytest.raises(InputError, match=r"(?s)Weather9\.csv.*WeatherHistory"):
        read_weather(tmp_path / "Weather9.csv", METRES)
    with pytest.raises(InputError, match=r"(?s)numeric columns \['WIND'\].*'WS'.*weather\.speed"):
        read_weather(_write(tmp_path / "a.csv", "5,north", header="WIND,WD"), METRES)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match=r"empty\.csv"):
        read_weather(tmp_path / "empty.csv", METRES)


def test_times_come_from_the_table_and_count_on_where_it_ends(tmp_path):
    table = read_weather(_write(tmp_path / "a.csv", "2023-03-30 12:30,1,0", "2023-03-30 13:00,1,0"), METRES)
    assert frame_times(table.time, 3, 1800).astype(str).tolist() == [
        "2023-03-30T12:30:00",
        "2023-03-30T13:00:00",
        "2023-03-30T13:30:00",
    ]


@pytest.mark.parametrize("rows", [("0,1,0", "1,1,0"), ("noon,1,0", "2023-03-30 13:00,1,0")])
def test_unreadable_times_count_from_1970(tmp_path, rows):
    table = read_weather(_write(tmp_path / "a.csv", *rows), METRES)
    assert table.time is None
    assert frame_times(table.time, 2, 90).astype("datetime64[s]").astype(int).tolist() == [0, 90]


def test_only_the_base_name_of_a_weather_file_counts(tmp_path):
    path = tmp_path / "WeatherHistory.csv"
    path.write_text('data/risk/Weathers/Weather14.csv\nC:\\runs\\Weathers\\Weather2.csv\n\n"Weathers/Weather3.csv"\n')
    assert read_history(path) == ["Weather14.csv", "Weather2.csv", "", "Weather3.csv"]
