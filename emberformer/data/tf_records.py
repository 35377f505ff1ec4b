"""TFRecord files without TensorFlow: the frames of a file, each checked against its two checksums.

A record is its length n (uint64, little-endian), the masked CRC-32C of those 8 bytes, n bytes, and their masked CRC-32C
(https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details).
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import google_crc32c

from emberformer.errors import InputError

HEADER, FOOTER = struct.Struct("<QI"), struct.Struct("<I")
GZIP_MAGIC = b"\x1f\x8b"
REMEDY = "supply the file again; with `on_error: skip` of the data set the record is left out"


class Record(NamedTuple):
    """One record: its number in the file, from 0, and its bytes."""

    number: int
    content: bytes


def masked_crc(content: bytes) -> int:
    """Masked CRC-32C: the checksum turned right by 15 bits plus 0xa282ead8, modulo 2^32."""
    crc = google_crc32c.value(content)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(path: Path, on_damage: Callable[[int, InputError], None]) -> Iterator[Record]:
    """Records of a file, plain or gzip'd, one at a time.

    Args:
        path: the file.
        on_damage: is told the number of a record that cannot be read, and why. If it returns, reading goes on behind
            the record, or ends where its length is damaged too: nothing then tells where the next one begins.

    Raises:
        InputError: no such file.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(path, str(error), "a TFRecord file", "supply the file, or correct `root`") from error
    with file:
        stream = gzip.GzipFile(fileobj=file) if _is_gzip(file) else file
        number = 0
        while True:
            try:
                record = _read_record(stream, path, number)
            except InputError as error:
                on_damage(number, error)
                return
            if record is None:
                return
            content, crc = record
            if masked_crc(content) == crc:
                yield Record(number, content)
            else:
                on_damage(number, damaged(path, number, "a wrong CRC-32C of its data", "the record as it was written"))
            number += 1


def damaged(path: Path, number: int, found: str, expected: str) -> InputError:
    """The error that names a record of a file."""
    return InputError(f"{path}, record {number}", found, expected, REMEDY)


def _is_gzip(file: io.BufferedReader) -> bool:
    """A plain record may begin with gzip's two bytes as well, but then the checksum of its length is right."""
    head = file.peek(HEADER.size)[: HEADER.size]
    plain = len(head) == HEADER.size and masked_crc(head[:8]) == HEADER.unpack(head)[1]
    return head.startswith(GZIP_MAGIC) and not plain


def _read_record(stream: io.BufferedIOBase, path: Path, number: int) -> tuple[bytes, int] | None:
    """Content and checksum of the next record, None at the end of the file."""
    head = _read(stream, HEADER.size, path, number)
    if not head:
        return None
    if len(head) < HEADER.size:
        raise damaged(path, number, f"the file ends after {len(head)} bytes of it", "a whole record")
    length, crc = HEADER.unpack(head)
    if masked_crc(head[:8]) != crc:
        found = "a wrong CRC-32C of its length; this record and all behind it are lost"
        raise damaged(path, number, found, "a TFRecord file, plain or gzip'd")
    content, foot = (_read(stream, size, path, number) for size in (length, FOOTER.size))
    if (there := len(content) + len(foot)) < (whole := length + FOOTER.size):
        found = f"the file ends after {there} of its {whole} bytes"
        raise damaged(path, number, found, "a whole record with its checksum")
    return content, FOOTER.unpack(foot)[0]


def _read(stream: io.BufferedIOBase, size: int, path: Path, number: int) -> bytes:
    try:
        return stream.read(size)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, number, str(error), "a whole file that can be unpacked") from error
