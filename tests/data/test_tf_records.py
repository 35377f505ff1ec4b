"""TFRecord files: checksums by known values, what TensorBoard's writer frames, and every kind of damage."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberformer.data.tf_records import masked_crc, read_records
from emberformer.errors import InputError
from tests.ndws_tiles import frame_records

CONTENTS = [b"first", b"", b"x" * 300, b"last"]


def _read(path):
    """Records by number, and what was found in those that cannot be read."""
    damage: dict[int, str] = {}
    records = dict(read_records(path, lambda number, error: damage.update({number: str(error)})))
    return records, damage


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.tfrecord").write_bytes(frame_records(CONTENTS))
    return tmp_path / "a.tfrecord"


def test_masked_checksum_of_a_known_value():
    """CRC-32C of the digits 1 to 9 is e3069283 (RFC 3720's algorithm, the usual check value)."""
    assert masked_crc(b"123456789") == (0x2507C60D + 0xA282EAD8) % 2**32  # e3069283 turned right by 15 bits


@given(st.lists(st.binary(max_size=50), max_size=5), st.booleans())
def test_reads_what_tensorboard_writes(tmp_path_factory, contents, zipped):
    path = tmp_path_factory.mktemp("records") / "a"
    path.write_bytes(gzip.compress(frame_records(contents)) if zipped else frame_records(contents))
    assert _read(path) == (dict(enumerate(contents)), {})


def test_length_that_looks_like_gzip(tmp_path):
    content = bytes(0x8B1F)  # the file begins with 1f 8b
    (tmp_path / "a").write_bytes(frame_records([content]))
    assert _read(tmp_path / "a") == ({0: content}, {})


def test_wrong_checksum_of_data_costs_one_record(path):
    damaged = bytearray(path.read_bytes())
    damaged[12] ^= 1  # first byte of the first record's data
    path.write_bytes(damaged)
    records, damage = _read(path)
    assert records == {number: content for number, content in enumerate(CONTENTS) if number}
    assert list(damage) == [0]
    assert "a.tfrecord, record 0" in damage[0]
    assert "wrong CRC-32C of its data" in damage[0]


def test_wrong_length_loses_the_rest(path):
    damaged = bytearray(path.read_bytes())
    damaged[16 + 5] ^= 1  # the length of record 1
    path.write_bytes(damaged)
    records, damage = _read(path)
    assert records == {0: b"first"}
    assert list(damage) == [1]
    assert "all behind it are lost" in damage[1]


@pytest.mark.parametrize(
    ("cut", "lost", "found"),
    [
        (1, 3, "7 of its 8 bytes"),
        (6, 3, "2 of its 8 bytes"),
        (15, 3, "ends after 5 bytes"),
        (24, 2, "300 of its 304 bytes"),
    ],
)
def test_truncated_file(path, cut, lost, found):
    path.write_bytes(path.read_bytes()[:-cut])
    records, damage = _read(path)
    assert list(records) == list(range(lost))
    assert list(damage) == [lost]
    assert found in damage[lost]


@pytest.mark.parametrize("cut", [1, 30])
def test_truncated_gzip(path, cut):
    path.write_bytes(gzip.compress(frame_records(CONTENTS))[:-cut])
    assert next(iter(_read(path)[1].values())).startswith(str(path))


def test_other_files(tmp_path):
    (tmp_path / "a").write_text("no TFRecord file at all")
    assert "TFRecord file, plain or gzip'd" in _read(tmp_path / "a")[1][0]
    with pytest.raises(InputError, match=r"(?s)none.*a TFRecord file"):
        _read(tmp_path / "none")


def test_reading_stops_where_the_caller_raises(path):
    def stop(number, error):
        raise error

    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="record 3"):
        list(read_records(path, stop))
