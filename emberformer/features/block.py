"""Blocks: the files of a feature array, written record by record and plain Zarr v3 shards when whole.

A block is one `sharding_indexed` chunk (zarr-specs, codec "sharding_indexed" 1.0): inner chunks of one record
each (a frame's tokens) encoded by `bytes` (little endian) and `crc32c`, then the index of (offset, size) pairs with its
own crc32c. All records have one size, so an unfinished block says by its length how far it got: a killed extraction
goes on after the last whole record, and a finished block can be mapped into memory without reading the index.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import google_crc32c
import numpy as np

from emberformer.errors import InputError

EMPTY = np.uint64(2**64 - 1)
CHECKSUM_BYTES = 4
RECORDS_AT_ONCE = 256  # of one system call, which takes at most 1024 pieces


def _checksum(data: bytes | np.ndarray) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(CHECKSUM_BYTES, "little")


def checksum_holds(data: bytes | memoryview) -> bool:
    """Whether the last bytes are the checksum of those before them."""
    return _checksum(np.frombuffer(data[:-CHECKSUM_BYTES], np.uint8)) == data[-CHECKSUM_BYTES:]


def write_error(path: Path, error: OSError) -> InputError:
    """What a failed write means to people; what was written before stays."""
    remedies = {
        errno.ENOSPC: "free some space", errno.EDQUOT: "free some of the quota", errno.EFBIG: "raise the limit",
        errno.EROFS: "make the folder writable", errno.EACCES: "make the folder writable",
        errno.EPERM: "make the folder writable",
    }  # fmt: skip
    remedy = remedies.get(error.errno or 0, "mend the file system")
    return InputError(
        path, f"it cannot be written: {error.strerror or error}", "a folder with room that may be written to",
        f"{remedy}, then run `snakemake extract_features` again: it goes on where it stopped",
    )  # fmt: skip


class BlockWriter:
    """Appends records to a block; the block appears under its name only when it is whole.

    Args:
        path: the finished block; one that stands there already is taken back, to be finished anew.
        partial: the unfinished block; what an earlier process left there is taken up.
        shape: shape of one record.
        dtype: numpy name of the record's type.
        capacity: records that the block has room for.

    Raises:
        InputError: another process is writing the block, or the folder cannot be written to.
    """

    def __init__(self, path: Path, partial: Path, shape: tuple[int, ...], dtype: str, capacity: int):
        self.path, self.partial = path, partial
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.shape, self.capacity = shape, capacity
        self.step = int(np.prod(shape)) * self.dtype.itemsize + CHECKSUM_BYTES
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(partial, "a+b", buffering=0)  # noqa: SIM115 (closed by `finish` or `close`)
        except OSError as error:
            raise write_error(partial, error) from error
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the system when a process dies
        except BlockingIOError as error:
            raise self._taken() from error
        except OSError as error:
            raise write_error(partial, error) from error
        if not partial.exists() or not os.path.samestat(os.fstat(self.file.fileno()), partial.stat()):
            self.file.close()  # between `open` and the lock the other process gave the file its final name
            raise self._taken()
        if path.exists():
            self._take_back()
        self.keep(self._whole_records())

    def _taken(self) -> InputError:
        return InputError(
            self.partial, "another process writes this block", "one job a shard", "wait for it or stop it"
        )

    def _take_back(self) -> None:
        """Copy a finished block of this array into the unfinished one: its sister arrays were not finished."""
        self.file.truncate(0)
        with open(self.path, "rb") as finished:
            while part := finished.read(2**24):
                self._write([part])

    def _whole_records(self) -> int:
        """Records at the beginning of the file whose checksums hold."""
        self.file.seek(0)
        most = min(os.fstat(self.file.fileno()).st_size // self.step, self.capacity)
        for number in range(most):
            record = self.file.read(self.step)
            if not checksum_holds(record):
                return number
        return most

    def keep(self, records: int) -> None:
        """Drop everything after this many records."""
        self.records = records
        self.file.truncate(records * self.step)

    def append(self, records: np.ndarray) -> None:
        """Write records [n, *shape] with their checksums.

        Raises:
            InputError: the disk is full, or another fault of the file system; what was whole before stays.
        """
        data = np.ascontiguousarray(records, self.dtype).reshape(-1, *self.shape)
        for start in range(0, len(data), RECORDS_AT_ONCE):
            part = data[start : start + RECORDS_AT_ONCE]
            self._write([piece for record in part for piece in (record, _checksum(record))])
            self.records += len(part)

    def _write(self, pieces: list) -> None:
        """Write pieces of memory one after the other; a short write is a full disk that says so at the next try."""
        views = [memoryview(piece).cast("B") for piece in pieces]
        try:
            while views:
                written = os.writev(self.file.fileno(), views)
                while views and written >= len(views[0]):
                    written -= len(views.pop(0))
                if written:
                    views[0] = views[0][written:]
        except OSError as error:
            raise write_error(self.partial, error) from error

    def finish(self) -> None:
        """Write the index, make the block durable and give it its name."""
        index = np.full((self.capacity, 2), EMPTY, "<u8")
        index[: self.records, 0] = np.arange(self.records, dtype=np.uint64) * self.step
        index[: self.records, 1] = self.step
        self._write([index, _checksum(index)])
        try:
            os.fsync(self.file.fileno())
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.partial, self.path)
        except OSError as error:
            raise write_error(self.path, error) from error
        self.file.close()

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
        self.count = (size - tail) // record.itemsize if size >= tail else -1
        if not 0 <= self.count <= capacity or self.count * record.itemsize + tail != size:
            raise InputError(
                path,
                f"{size} bytes" if size else "no file",
                f"whole records of {record.itemsize} bytes and an index of {tail}",
                "run `emberformer features verify --fix` on the store, then extract again",
            )
        # Copy-on-write, although nothing writes: torch takes no read-only memory.
        self.records = np.memmap(path, record, "c", shape=(self.count,)) if self.count else np.empty(0, record)
        self.values = np.asarray(self.records)["values"]  # as a plain array, whose views are made five times as fast

    def __getitem__(self, key) -> np.ndarray:
        """Records by index, as a view of the mapped file."""
        return self.values[key]

    def holds(self, number: int) -> bool:
        """Whether a record is what was written, by its checksum."""
        return google_crc32c.value(np.ascontiguousarray(self.values[number])) == int(self.records["checksum"][number])

    def damaged(self) -> list[int]:
        """Numbers of the records whose checksum does not hold; all of them where the index is damaged."""
        with open(self.path, "rb") as file:
            file.seek(self.records.nbytes)
            index = file.read()
        if not checksum_holds(index):
            return list(range(self.count))
        return [number for number in range(self.count) if not self.holds(number)]
