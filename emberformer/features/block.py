"""Blocks: the files of a feature array, written record by record and plain Zarr v3 shards when whole.

A block is one `sharding_indexed` chunk (zarr-specs, codec "sharding_indexed" 1.0): inner chunks of one record
each (a frame's tokens) encoded by `bytes` (little endian) and `crc32c`, then the index of (offset, size) pairs with its
own crc32c. All records have one size, so an unfinished block says by its length how far it got: a killed extraction
goes on after the last whole record, and a finished block can be mapped into memory without reading the index.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import google_crc32c
import numpy as np

from emberformer.errors import InputError

EMPTY = np.uint64(2**64 - 1)
CHECKSUM_BYTES = 4


def _checksum(data: bytes | memoryview) -> bytes:
    return int(google_crc32c.value(bytes(data))).to_bytes(CHECKSUM_BYTES, "little")


class BlockWriter:
    """Appends records to a block; the block appears under its name only when it is whole.

    Args:
        path: the finished block.
        partial: the unfinished block; what an earlier process left there is taken up.
        shape: shape of one record.
        dtype: numpy name of the record's type.
        capacity: records that the block has room for.

    Raises:
        InputError: another process is writing the block.
    """

    def __init__(self, path: Path, partial: Path, shape: tuple[int, ...], dtype: str, capacity: int):
        self.path, self.partial = path, partial
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.shape, self.capacity = shape, capacity
        self.record_bytes = int(np.prod(shape)) * self.dtype.itemsize
        partial.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(partial, "a+b", buffering=0)  # noqa: SIM115 (closed by `finish` or `close`)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the system when a process dies
        except OSError as error:
            raise InputError(
                partial, "another process writes this block", "one job a shard", "wait for it or stop it"
            ) from error
        self.keep(self._whole_records())

    def _whole_records(self) -> int:
        """Records at the beginning of the file whose checksums hold."""
        step = self.record_bytes + CHECKSUM_BYTES
        self.file.seek(0)
        for number in range(os.fstat(self.file.fileno()).st_size // step):
            record = self.file.read(step)
            if _checksum(record[:-CHECKSUM_BYTES]) != record[-CHECKSUM_BYTES:]:
                return number
        return os.fstat(self.file.fileno()).st_size // step

    def keep(self, records: int) -> None:
        """Drop everything after this many records."""
        self.records = records
        self.file.truncate(records * (self.record_bytes + CHECKSUM_BYTES))

    def append(self, record: np.ndarray) -> None:
        """Write one record with its checksum."""
        data = np.ascontiguousarray(record, self.dtype).reshape(self.shape).tobytes()
        written = self.file.write(data + _checksum(data))
        if written != self.record_bytes + CHECKSUM_BYTES:
            raise OSError(f"{self.partial}: only {written} bytes of a record were written; is the disk full?")
        self.records += 1

    def finish(self) -> None:
        """Write the index, make the block durable and give it its name."""
        step = self.record_bytes + CHECKSUM_BYTES
        index = np.full((self.capacity, 2), EMPTY, "<u8")
        index[: self.records, 0] = np.arange(self.records, dtype=np.uint64) * step
        index[: self.records, 1] = step
        data = index.tobytes()
        self.file.write(data + _checksum(data))
        os.fsync(self.file.fileno())
        self.file.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self.partial, self.path)

    def close(self) -> None:
        self.file.close()


class Block:
    """A finished block, mapped into memory.

    Args:
        path: the block's file.
        shape: shape of one record.
        dtype: numpy name of the record's type.
        capacity: records that the block has room for.

    Raises:
        InputError: the file is missing or its length or index does not fit.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str, capacity: int):
        self.path = path
        record = np.dtype([("values", np.dtype(dtype).newbyteorder("<"), shape), ("checksum", "<u4")])
        tail = capacity * 16 + CHECKSUM_BYTES
        size = path.stat().st_size if path.exists() else 0
        self.records = (size - tail) // record.itemsize if size >= tail else -1
        if self.records < 0 or self.records * record.itemsize + tail != size:
            raise InputError(
                path,
                f"{size} bytes" if size else "no file",
                f"whole records of {record.itemsize} bytes and an index of {tail}",
                "run `emberformer features verify --fix` on the store, then extract again",
            )
        self._records = np.memmap(path, record, "r", shape=(self.records,)) if self.records else np.empty(0, record)

    def __getitem__(self, key) -> np.ndarray:
        """Records by index, as a view of the mapped file."""
        return self._records["values"][key]

    def damaged(self) -> list[int]:
        """Numbers of the records whose checksum does not hold; all of them where the index is damaged."""
        with open(self.path, "rb") as file:
            file.seek(self._records.nbytes)
            index = file.read()
        if _checksum(index[:-CHECKSUM_BYTES]) != index[-CHECKSUM_BYTES:]:
            return list(range(self.records))
        return [
            number
            for number in range(self.records)
            if google_crc32c.value(self._records[number]["values"].tobytes()) != int(self._records[number]["checksum"])
        ]
