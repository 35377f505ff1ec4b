"""tf.train.Example: what Google's own protobuf writes is read back, and what it refuses is refused."""

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from emberformer.data.tf_example import parse_example
from tests.ndws_tiles import EXAMPLES, encode

FLOATS = st.lists(st.floats(width=32), min_size=1, max_size=5).map(lambda values: np.array(values, "float32"))
INTEGERS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=5).map(lambda values: np.array(values, int))
BYTES = st.lists(st.binary(max_size=5), min_size=1, max_size=3)
EXAMPLE = st.dictionaries(st.text(max_size=5), FLOATS | INTEGERS | BYTES, max_size=4)


def _same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if isinstance(values, list):
            assert found[name] == values
        else:
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values)


@given(EXAMPLE, st.booleans())
def test_reads_what_protobuf_writes(features, packed):
    _same(parse_example(encode(features, packed)), features)


@given(EXAMPLE, EXAMPLE)
def test_joined_messages_read_as_protobuf_reads_them(first, second):
    """Of one key in both, the later counts: bytes of two messages in a row are one message."""
    _same(parse_example(encode(first) + encode(second)), first | second)


@given(st.binary(max_size=40))
def test_accepts_no_bytes_that_protobuf_refuses(message):
    try:
        parse_example(message)
    except ValueError:
        return
    EXAMPLES[True].FromString(message)  # raises DecodeError


@given(EXAMPLE, st.data())
def test_truncated_message_is_refused_or_holds_less(features, data):
    message = encode(features)
    cut = message[: data.draw(st.integers(0, len(message)))]
    try:
        EXAMPLES[True].FromString(cut)
    except DecodeError:
        with pytest.raises(ValueError, match=r"byte|utf|buffer"):
            parse_example(cut)


def test_bytes_by_hand():
    """{"a": floats 1 and -2}: packed, then one value a field; an unknown field 9 in between is passed over."""
    floats = bytes.fromhex("0a08 0000803f 000000c0")
    unpacked = bytes.fromhex("0d 0000803f 0d 000000c0 48 96 01")
    for values in (floats, unpacked):
        feature = bytes([0x12, len(values)]) + values
        entry = b"\x0a\x01a" + bytes([0x12, len(feature)]) + feature
        features = bytes([0x0A, len(entry)]) + entry
        found = parse_example(bytes([0x0A, len(features)]) + features)
        np.testing.assert_array_equal(found["a"], np.array([1, -2], "float32"))


def test_feature_without_a_list_is_left_out():
    assert parse_example(bytes.fromhex("0a05 0a03 0a01 61")) == {}


@pytest.mark.parametrize(
    ("message", "why"),
    [("0b", "wire type 3"), ("0aff", "without an end"), ("0a05 00", "5 bytes where 1 are left"), ("00 00", "number 0")],
)
def test_no_message(message, why):
    with pytest.raises(ValueError, match=why):
        parse_example(bytes.fromhex(message))
