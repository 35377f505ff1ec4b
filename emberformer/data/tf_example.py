"""tf.train.Example without TensorFlow: the named features of one message in protocol-buffer wire format.

    message Example   { Features features = 1; }
    message Features  { map<string, Feature> feature = 1; }                        an entry is { key = 1; value = 2; }
    message Feature   { oneof { BytesList = 1; FloatList = 2; Int64List = 3; } }
    message BytesList { repeated bytes value = 1; }   FloatList, Int64List: repeated float, int64, packed or not

Wire format: https://protobuf.dev/programming-guides/encoding. As every reader of that format does, this one passes over
fields that it does not know, joins parts of one message, and takes the last of two entries with one key.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # kinds of fields
BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3  # numbers of a feature's fields
Feature = np.ndarray | list[bytes]  # float32 or int64 [value], or byte strings
Field = tuple[int, int, memoryview]  # number, kind, content; a varint's content is its bytes


def parse_example(message: bytes) -> dict[str, Feature]:
    """Features of one tf.train.Example by name; one without any list is left out.

    Raises:
        ValueError: the bytes are no such message.
    """
    features: dict[str, Feature] = {}
    for example in _contents(memoryview(message), 1):
        for entry in _contents(example, 1):
            name = b"".join(bytes(key) for key in list(_contents(entry, 1))[-1:]).decode()
            features.pop(name, None)
            if (feature := _parse_feature(list(_contents(entry, 2)))) is not None:
                features[name] = feature
    return features


def _parse_feature(parts: list[memoryview]) -> Feature | None:
    """The list that the last part names, with what the parts right before it add to the same list."""
    kind, lists = 0, []
    for part in parts:
        for number, wire, content in _fields(part):
            if wire != LENGTH or number not in (BYTES_LIST, FLOAT_LIST, INT64_LIST):
                continue
            if number != kind:
                kind, lists = number, []
            lists.append(content)
    if kind == BYTES_LIST:
        return [bytes(value) for one in lists for value in _contents(one, 1)]
    if kind == FLOAT_LIST:
        return np.concatenate([np.empty(0, "<f4"), *(values for one in lists for values in _floats(one))]).astype("f4")
    if kind == INT64_LIST:
        return np.array([value for one in lists for value in _integers(one)], np.int64)
    return None


def _floats(message: memoryview) -> Iterator[np.ndarray]:
    for number, wire, content in _fields(message):
        if number == 1 and wire in (LENGTH, FIXED32):
            yield np.frombuffer(content, "<f4")


def _integers(message: memoryview) -> Iterator[int]:
    for number, wire, content in _fields(message):
        if number == 1 and wire in (LENGTH, VARINT):
            position = 0
            while position < len(content):
                value, position = _varint(content, position)
                yield value - 2**64 if value >= 2**63 else value


def _contents(message: memoryview, number: int) -> Iterator[memoryview]:
    """Contents of all length-delimited fields of one number."""
    return (content for found, wire, content in _fields(message) if found == number and wire == LENGTH)


def _fields(message: memoryview) -> Iterator[Field]:
    position = 0
    while position < len(message):
        tag, start = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            _, position = _varint(message, start)
        elif wire == LENGTH:
            length, start = _varint(message, start)
            position = start + length
        elif wire in (FIXED64, FIXED32):
            position = start + struct.calcsize("<q" if wire == FIXED64 else "<i")
        else:
            raise ValueError(f"a field of wire type {wire} at byte {position}")
        if number == 0:
            raise ValueError("a field of number 0")
        if position > len(message):
            raise ValueError(f"a field of {position - start} bytes where {len(message) - start} are left")
        yield number, wire, message[start:position]


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Number of up to 64 bits, seven a byte, and the position behind it."""
    value = 0
    for index, byte in enumerate(message[position : position + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & (2**64 - 1), position + index + 1
    raise ValueError(f"a number without an end at byte {position}")
