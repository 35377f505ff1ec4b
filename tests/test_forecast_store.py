"""Forecast store: round trip, atomic writing, refusals."""

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from emberformer.errors import InputError
from emberformer.forecast_store import ForecastBlock, ScoreKind, open_forecasts, write_forecasts

SHAPE = (2, 5, 7)


def block(number: int, probability: np.ndarray | None = None) -> ForecastBlock:
    start = np.datetime64("2023-03-30T12:30:00", "s") + 60 * number
    values = np.random.default_rng(number).random(SHAPE).astype(np.float32) if probability is None else probability
    split = "validation" if number % 2 else "test"
    return ForecastBlock(f"sequence_{number:03d}", split, number, start, start + np.array([1800, 3600]), values)


def write(path, blocks, kind: ScoreKind = "probability"):
    write_forecasts(
        path,
        blocks,
        method="m",
        dataset="d",
        score_kind=kind,
        shape=SHAPE,
        provenance={"fitted": {"radius_px": 2.5}},
        sees_target_wind=True,
    )


@settings(max_examples=8)
@given(count=st.sampled_from([0, 1, 63, 64, 65, 130]))
def test_round_trip(tmp_path_factory, count):
    path = tmp_path_factory.mktemp("store") / "forecasts.zarr"
    blocks = [block(k) for k in range(count)]
    write(path, (one for one in blocks))
    stored = open_forecasts(path)
    assert stored.probability.dims == ("forecast", "lead", "y", "x")
    assert stored.probability.shape == (count, *SHAPE)
    for k, one in enumerate(blocks):
        np.testing.assert_array_equal(stored.probability[k].values, one.probability)
    assert stored.fire_id.values.tolist() == [one.fire_id for one in blocks]
    assert stored.split.values.tolist() == [one.split for one in blocks]
    assert stored.history_length.values.tolist() == [one.init_step + 1 for one in blocks]
    if count:
        assert stored.init_time.dtype == "datetime64[s]"
        np.testing.assert_array_equal(stored.init_time.values, [one.init_time for one in blocks])
        np.testing.assert_array_equal(stored.valid_time.values, [one.valid_time for one in blocks])
    assert stored.lead.values.tolist() == [1, 2]
    assert stored.attrs["provenance"] == {"fitted": {"radius_px": 2.5}}
    assert (stored.attrs["method"], stored.attrs["score_kind"], stored.attrs["sees_target_wind"]) == (
        "m",
        "probability",
        True,
    )


def test_chunks_are_frames_and_checksums_find_damage(tmp_path):
    path = tmp_path / "forecasts.zarr"
    write(path, [block(k) for k in range(3)])
    array = zarr.open_array(path / "probability", mode="r")
    assert array.chunks == (1, 1, *SHAPE[1:])
    assert array.shards == (64, 1, *SHAPE[1:])
    shard = path / "probability" / "c" / "0" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[10] ^= 0xFF
    shard.write_bytes(bytes(content))
    with pytest.raises(Exception, match=r"(?i)checksum|decompress|data"):
        open_forecasts(path).probability.values  # noqa: B018


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "forecasts.zarr"
    write(path, [block(0)])

    def failing():
        yield block(1)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write(path, failing())
    assert open_forecasts(path).fire_id.values.tolist() == ["sequence_000"]
    write(path, [block(2)])
    assert open_forecasts(path).fire_id.values.tolist() == ["sequence_002"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["forecasts.zarr"]


def test_unknown_pixels_stay_nan(tmp_path):
    values = np.full(SHAPE, 0.25, np.float32)
    values[0, 2, 3] = np.nan
    write(tmp_path / "f.zarr", [block(0, values)])
    np.testing.assert_array_equal(open_forecasts(tmp_path / "f.zarr").probability[0].values, values)


@pytest.mark.parametrize("wrong", [np.full((1, 5, 7), 0.5), np.full(SHAPE, 1.5), np.full(SHAPE, -0.1)])
def test_unfit_values_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="sequence_000 from step 0"):
        write(tmp_path / "f.zarr", [block(0, wrong.astype(np.float32))])
    assert not (tmp_path / "f.zarr").exists()


def test_a_score_may_have_any_range(tmp_path):
    write(tmp_path / "f.zarr", [block(0, np.full(SHAPE, -30, np.float32))], kind="score")
    assert open_forecasts(tmp_path / "f.zarr").probability.min() == -30


def test_what_is_no_store_is_named(tmp_path):
    with pytest.raises(InputError, match="no store"):
        open_forecasts(tmp_path / "absent.zarr")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="score_kind"):
        open_forecasts(tmp_path / "other.zarr")
