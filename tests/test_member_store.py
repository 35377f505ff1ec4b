"""Member store: round trip, chunks, atomic writing, refusals."""

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from emberformer import member_store
from emberformer.arrival_leads import NEVER, UNKNOWN
from emberformer.errors import InputError
from emberformer.member_store import MemberBlock, open_members, write_members

SHAPE, LEADS = (3, 5, 7), 2


def block(number: int, members: np.ndarray | None = None) -> MemberBlock:
    start = np.datetime64("2023-03-30T12:30:00", "s") + 60 * number
    drawn = np.random.default_rng(number).choice(np.array([0, 1, 2, UNKNOWN, NEVER], np.uint8), SHAPE)
    valid = start + np.array([1800, 3600])
    split = "validation" if number % 2 else "test"
    return MemberBlock(f"sequence_{number:03d}", split, number, start, valid, drawn if members is None else members)


def write(path, blocks):
    write_members(
        path,
        blocks,
        method="m",
        dataset="d",
        leads=LEADS,
        shape=SHAPE,
        provenance={"steps": 25},
        sees_target_wind=True,
    )


@settings(max_examples=6)
@given(count=st.sampled_from([0, 1, 64, 65]))
def test_round_trip(tmp_path_factory, count):
    path = tmp_path_factory.mktemp("store") / "members.zarr"
    blocks = [block(k) for k in range(count)]
    write(path, (one for one in blocks))
    stored = open_members(path)
    assert stored.arrival_lead.dims == ("forecast", "member", "y", "x")
    assert stored.arrival_lead.dtype == np.uint8
    for k, one in enumerate(blocks):
        np.testing.assert_array_equal(stored.arrival_lead[k].values, one.arrival_lead)
    assert stored.fire_id.values.tolist() == [one.fire_id for one in blocks]
    assert stored.split.values.tolist() == [one.split for one in blocks]
    assert stored.history_length.values.tolist() == [one.init_step + 1 for one in blocks]
    if count:
        np.testing.assert_array_equal(stored.init_time.values, [one.init_time for one in blocks])
        np.testing.assert_array_equal(stored.valid_time.values, [one.valid_time for one in blocks])
    assert stored.lead.values.tolist() == [1, 2]
    assert stored.attrs["provenance"] == {"steps": 25}
    assert (stored.attrs["method"], stored.attrs["dataset"], stored.attrs["sees_target_wind"]) == ("m", "d", True)


def test_a_chunk_is_a_forecast_and_checksums_find_damage(tmp_path):
    path = tmp_path / "members.zarr"
    write(path, [block(k) for k in range(3)])
    array = zarr.open_array(path / "arrival_lead", mode="r")
    assert array.chunks == (1, *SHAPE)
    assert array.shards == (64, *SHAPE)
    assert array.fill_value == UNKNOWN
    shard = path / "arrival_lead" / "c" / "0" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[10] ^= 0xFF
    shard.write_bytes(bytes(content))
    with pytest.raises(Exception, match=r"(?i)checksum|decompress|data"):
        open_members(path).arrival_lead.values  # noqa: B018


def test_a_shard_bounds_the_memory_of_the_writer(tmp_path, monkeypatch):
    monkeypatch.setattr(member_store, "SHARD_BYTES", 2 * int(np.prod(SHAPE)))
    path = tmp_path / "members.zarr"
    write(path, [block(k) for k in range(5)])
    assert zarr.open_array(path / "arrival_lead", mode="r").shards == (2, *SHAPE)
    np.testing.assert_array_equal(open_members(path).arrival_lead[4].values, block(4).arrival_lead)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "members.zarr"
    write(path, [block(0)])

    def failing():
        yield block(1)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write(path, failing())
    assert open_members(path).fire_id.values.tolist() == ["sequence_000"]


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 5, 7), np.uint8), np.full(SHAPE, 3, np.uint8), np.zeros(SHAPE, np.int64)]
)
def test_unfit_members_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="sequence_000 from step 0"):
        write(tmp_path / "m.zarr", [block(0, wrong)])
    assert not (tmp_path / "m.zarr").exists()


def test_what_is_no_store_is_named(tmp_path):
    with pytest.raises(InputError, match="no store"):
        open_members(tmp_path / "absent.zarr")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="arrival_lead"):
        open_members(tmp_path / "other.zarr")
