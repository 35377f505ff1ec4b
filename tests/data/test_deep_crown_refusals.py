"""What the deep_crown reader refuses: each misfit is named with its file and a remedy."""

import json
import shutil

import numpy as np
import pytest

from emberformer.data.fires import open_fires
from emberformer.data.reading import ingest
from emberformer.errors import InputError
from tests.tiny import tiny_settings, write_frame, write_weather


def _ingest(root, tmp_path, **changes):
    ingest("tiny", tiny_settings(root, **changes), tmp_path / "fires.zarr")
    return open_fires(tmp_path / "fires.zarr")


def _refused(root, tmp_path, message, **changes):
    with pytest.raises(InputError, match=f"(?s){message}"):
        _ingest(root, tmp_path, **changes)
    assert not (tmp_path / "fires.zarr").exists()


def _frame(root, sequence=2, frame=1, kind="fire"):
    folder = {"fire": "fire_frames", "iso": "isochrones"}[kind]
    return root / folder / f"sequence_{sequence:03d}" / f"{kind}_{frame:03d}.png"


def test_no_folder(tmp_path):
    _refused(tmp_path / "none", tmp_path, r"none/fire_frames.*sequence_001.*check `root`")


def test_no_fire_that_can_be_forecast(tiny_root, tmp_path):
    for path in tiny_root.glob("fire_frames/*/fire_00[1-4].png"):
        path.unlink()
    _refused(tiny_root, tmp_path, r"fire_frames.*6 sequences, none with two frames")


def test_truncated_frame(tiny_root, tmp_path):
    path = _frame(tiny_root)
    path.write_bytes(path.read_bytes()[:120])
    _refused(
        tiny_root, tmp_path, r"sequence_002/fire_001\.png.*no readable image.*a complete PNG.*supply the file again"
    )


def test_the_first_frame_is_missing(tiny_root, tmp_path):
    _frame(tiny_root, frame=0).unlink()
    _frame(tiny_root, frame=0, kind="iso").unlink()
    _refused(tiny_root, tmp_path, r"sequence_002.*frames \[0\] are missing.*from 0 on.*n-th line of the weather")


def test_empty_isochrone_file(tiny_root, tmp_path):
    _frame(tiny_root, kind="iso").write_bytes(b"")
    _refused(tiny_root, tmp_path, r"isochrones/sequence_002/iso_001\.png.*no readable image")


def test_frame_of_another_size(tiny_root, tmp_path):
    write_frame(_frame(tiny_root), np.ones((28, 40), bool))
    _refused(tiny_root, tmp_path, r"sequence_002/fire_001\.png.*28 x 40 pixels.*28 x 42, the size of the fire's window")


def test_window_of_another_size_than_all_frames(tiny_root, tmp_path):
    indices = tiny_root / "landscape" / "indices.json"
    windows = json.loads(indices.read_text())
    indices.write_text(json.dumps({key: [y0, y1 - 1, x0, x1] for key, (y0, y1, x0, x1) in windows.items()}))
    _refused(tiny_root, tmp_path, r"sequence_001/fire_000\.png.*28 x 42 pixels.*27 x 42")


def test_window_that_leaves_the_raster(tiny_root, tmp_path):
    indices = tiny_root / "landscape" / "indices.json"
    windows = json.loads(indices.read_text())
    indices.write_text(json.dumps(windows | {"4": [30, 58, 0, 42]}))
    _refused(tiny_root, tmp_path, r"indices\.json, sequence 4.*\[30, 58, 0, 42\].*48 rows x 60 columns")


def test_sequence_without_a_window(tiny_root, tmp_path):
    indices = tiny_root / "landscape" / "indices.json"
    windows = json.loads(indices.read_text())
    indices.write_text(json.dumps({key: window for key, window in windows.items() if key != "5"}))
    _refused(tiny_root, tmp_path, r"indices\.json, sequence 5.*no window")


def test_windows_of_two_sizes(tiny_root, tmp_path):
    indices = tiny_root / "landscape" / "indices.json"
    windows = json.loads(indices.read_text())
    indices.write_text(json.dumps(windows | {"2": [0, 20, 0, 42]}))
    _refused(tiny_root, tmp_path, r"sequence 2.*20 x 42 pixels.*28 x 42, as the sequences before it")


def test_missing_frame(tiny_root, tmp_path):
    _frame(tiny_root, 2, 3).unlink()
    _refused(tiny_root, tmp_path, r"fire_frames/sequence_002.*frames \[3\] are missing.*without a gap")


def test_frames_that_begin_late(tiny_root, tmp_path):
    _frame(tiny_root, 2, 0).unlink()
    _frame(tiny_root, 2, 1).unlink()
    _refused(tiny_root, tmp_path, r"fire_frames/sequence_002.*frames \[0, 1\] are missing.*from 0 on")


def test_two_sequences_of_one_number(tiny_root, tmp_path):
    shutil.copytree(tiny_root / "fire_frames" / "sequence_002", tiny_root / "fire_frames" / "sequence_2")
    _refused(tiny_root, tmp_path, r"fire_frames.*sequence_002 and sequence_2, both number 2.*renumber")


def test_no_isochrones(tiny_root, tmp_path):
    shutil.rmtree(tiny_root / "isochrones" / "sequence_004")
    _refused(tiny_root, tmp_path, r"isochrones/sequence_004.*no such folder.*5 isochrones.*`isochrones: false`")


def test_isochrone_without_a_frame(tiny_root, tmp_path):
    _frame(tiny_root, 2, 4, "iso").unlink()
    _refused(tiny_root, tmp_path, r"isochrones/sequence_002.*4 isochrones for 5 frames; in only one of the two: \[4\]")


def test_fire_that_never_burns(tiny_root, tmp_path):
    _refused(
        tiny_root,
        tmp_path,
        r"fire_frames/sequence_001.*no pixel of any frame has the value 255 in channel 0.*`encoding`",
        encoding={"channel": 0, "value": 255},
    )


def test_missing_weather_file(tiny_root, tmp_path):
    (tiny_root / "landscape" / "Weathers" / "Weather3.csv").unlink()
    _refused(tiny_root, tmp_path, r"Weathers/Weather3\.csv.*supply the file")


def test_weather_history_that_is_too_short(tiny_root, tmp_path):
    history = tiny_root / "landscape" / "WeatherHistory.csv"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:4]))
    _refused(tiny_root, tmp_path, r"WeatherHistory\.csv.*no line 5.*weather file of sequence_005.*`weather: null`")


def test_weather_table_that_is_too_short(tiny_root, tmp_path):
    path = tiny_root / "landscape" / "Weathers" / "Weather2.csv"
    write_weather(path, np.full(4, 9.0), np.full(4, 270.0))
    fires = _ingest(tiny_root, tmp_path)
    np.testing.assert_allclose(fires.weather[5:9, :2], [[2.5, 0]] * 4, atol=1e-6)
    assert np.isnan(fires.weather[9]).all()  # the last frame drives nothing
    assert str(fires.valid_time.values[9]) == "2023-03-30T14:00:00"
    shutil.rmtree(tmp_path / "fires.zarr")
    write_weather(path, np.full(3, 9.0), np.full(3, 270.0))
    _refused(tiny_root, tmp_path, r"Weather2\.csv.*3 rows.*at least 4 rows")


def test_wind_that_is_not_a_number(tiny_root, tmp_path):
    write_weather(
        tiny_root / "landscape" / "Weathers" / "Weather2.csv", np.array([9, np.nan, 9, 9, 9]), np.full(5, 270.0)
    )
    _refused(tiny_root, tmp_path, r"Weather2\.csv, row 1 \(line 3\).*WS = nan")


def test_declared_band_that_is_not_there(tiny_root, tmp_path):
    _refused(
        tiny_root,
        tmp_path,
        r"Input_Geotiff\.tif, band 'cbd'.*fuels, elevation, slope, saz, burnable",
        bands={"cbd": {"kind": "continuous"}},
    )
