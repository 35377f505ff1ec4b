"""Rows of one array of a store: from mapped blocks, through zarr-python, or all of them in memory.

A row is checked against its checksum when it is first used, so that nothing trains on damage; a mapped row is not
checked again. What the storage does not hold is an error, and never the fill value.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import zarr
from torch import Tensor
from tqdm import tqdm

from emberformer.errors import InputError
from emberformer.features.block import Block
from emberformer.features.location import is_remote, read_files
from emberformer.features.shape import block_path

Memory = Literal["disk", "ram", "device"]
PAGE = mmap.PAGESIZE
BYTES_AT_ONCE = 2**28  # of rows on their way into memory


def runs(rows: Sequence[int]) -> list[tuple[int, range]]:
    """Place in `rows` and numbers of consecutive rows.

    >>> runs([3, 4, 5, 9, 7])
    [(0, range(3, 6)), (3, range(9, 10)), (4, range(7, 8))]
    """
    if rows and rows[-1] - rows[0] == len(rows) - 1 and list(rows) == list(range(rows[0], rows[-1] + 1)):
        return [(0, range(rows[0], rows[-1] + 1))]
    found: list[tuple[int, range]] = []
    for place, row in enumerate(rows):
        if found and found[-1][1].stop == row:
            found[-1] = (found[-1][0], range(found[-1][1].start, row + 1))
        else:
            found.append((place, range(row, row + 1)))
    return found


def parts_of(rows: np.ndarray, most: int) -> list[range]:
    """Runs of ascending rows, cut into parts of at most `most` rows.

    >>> parts_of(np.array([3, 4, 5, 9]), 2)
    [range(3, 5), range(5, 6), range(9, 10)]
    """
    return [run[n : n + most] for _, run in runs(rows.tolist()) for n in range(0, len(run), most)]


class MappedRows:
    """Rows of an array of a local store, straight from its mapped blocks.

    Args:
        store: the feature store.
        array: name of the array.
        metadata: content of the array's `zarr.json`.
    """

    def __init__(self, store: Path, array: str, metadata: dict[str, Any]):
        self.shape = tuple(metadata["shape"])
        self.store, self.array, self.dtype = store, array, metadata["data_type"]
        self.block = metadata["chunk_grid"]["configuration"]["chunk_shape"][0]
        self.row_bytes = int(np.prod(self.shape[1:])) * np.dtype(self.dtype).itemsize
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self.stays_in_memory = self.shape[0] * self.row_bytes < memory / 2
        self._opened: dict[int, tuple[Block, np.ndarray]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Mapped blocks stay behind: a worker process maps its own."""
        return {**self.__dict__, "_opened": {}}

    def _open(self, number: int) -> tuple[Block, np.ndarray]:
        if number not in self._opened:
            block = Block(block_path(self.store, self.array, number), self.shape[1:], self.dtype, self.block)
            self._opened[number] = (block, np.zeros(block.count, bool))
        return self._opened[number]

    def _parts(self, run: range) -> list[tuple[int, slice]]:
        """Blocks that hold a run, and the records in them."""
        first, last = run.start // self.block, (run.stop - 1) // self.block
        if first == last:
            return [(first, slice(run.start - first * self.block, run.stop - first * self.block))]
        blocks = range(first, last + 1)
        return [
            (b, slice(max(run.start - b * self.block, 0), min(run.stop - b * self.block, self.block))) for b in blocks
        ]

    def announce(self, run: range) -> None:
        """Have the system read rows that may not be in memory."""
        for number, part in self._parts(run):
            block, seen = self._open(number)
            if self.stays_in_memory and seen[part].all():
                continue
            size, stop = block.records.itemsize, min(part.stop, block.count)
            start = part.start * size // PAGE * PAGE
            if part.start < stop:  # a record that is not there is named when it is read
                block.records._mmap.madvise(mmap.MADV_WILLNEED, start, stop * size - start)  # type: ignore[attr-defined]

    def pieces(self, run: range) -> list[np.ndarray]:
        """Views of the mapped files.

        Raises:
            InputError: a row is not what was written.
        """
        views = []
        for number, part in self._parts(run):
            block, seen = self._open(number)
            if part.stop > block.count or not seen[part].all():
                self._check(block, seen, part)
            views.append(block[part])
        return views

    @staticmethod
    def _check(block: Block, seen: np.ndarray, part: slice) -> None:
        for record in range(part.start, part.stop):
            if record >= block.count or (not seen[record] and not block.holds(record)):
                raise InputError(
                    block.path, f"record {record} is missing or not what was written (checksum)",
                    "undamaged features",
                    "run `emberformer features verify --fix` on the store, then `snakemake extract_features`",
                )  # fmt: skip
            seen[record] = True


class ZarrRows:
    """Rows of an array through zarr-python: any codec, any storage; zarr checks the checksums.

    Args:
        location: the store.
        array: name of the array.
        metadata: content of the array's `zarr.json`.
    """

    def __init__(self, location: Path | str, array: str, metadata: dict[str, Any]):
        self.location, self.array = location, array
        self.shape, self.fill = tuple(metadata["shape"]), metadata["fill_value"]
        self._opened: tuple[int, zarr.Array] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Connections stay behind: a worker process opens its own."""
        return {**self.__dict__, "_opened": None}

    def _open(self) -> zarr.Array:
        if self._opened is None or self._opened[0] != os.getpid():  # connections do not outlive a fork
            self._opened = os.getpid(), zarr.open_array(str(self.location), path=self.array, mode="r")
        return self._opened[1]

    def announce(self, run: range) -> None:
        """Nothing to announce."""

    def pieces(self, run: range) -> list[np.ndarray]:
        """The rows, decoded.

        Raises:
            InputError: a row is damaged or missing, or cannot be read.
        """
        try:
            values = np.asarray(self._open()[run.start : run.stop])
        except Exception as error:  # storage libraries and codecs raise errors of their own kinds
            raise self._unreadable(run, f"{type(error).__name__}: {error}") from error
        missing = is_missing(values, self.fill)
        if missing.any():
            raise self._unreadable(run, f"nothing is stored for row {run.start + int(missing.argmax())}")
        return [values]

    def _unreadable(self, run: range, found: str) -> InputError:
        return InputError(
            f"{self.location}, {self.array}, rows {run.start} to {run.stop - 1}", found, "undamaged features",
            "check that the storage answers; else make the store again with `emberformer features copy`",
        )  # fmt: skip


def is_missing(values: np.ndarray, fill: object) -> np.ndarray:
    """Which of some rows are not stored: no feature takes the fill value of its array, see `FILL`."""
    first = values.reshape(len(values), -1)[:, 0]
    return np.isnan(first) if fill == "NaN" else first == fill


class MemoryRows:
    """The rows in use of an array in memory, of the machine or of the GPU.

    Args:
        rows: where they are read, once.
        used: rows that are loaded, ascending; what else the array holds may be gaps.
        kind: 'float16', 'float32', 'bfloat16' or 'int8'.
        device: where they stay.
        name: shown by the progress bar.

    Raises:
        InputError: a row is damaged.
    """

    def __init__(self, rows: MappedRows | ZarrRows, used: np.ndarray, kind: str, device: torch.device, name: str):
        self.shape = rows.shape
        self.place = np.full(self.shape[0], -1)
        self.place[used] = np.arange(len(used))
        dtype = getattr(torch, kind)
        self.values = torch.empty((len(used), *self.shape[1:]), dtype=dtype, device=device)
        step = max(1, BYTES_AT_ONCE // max(1, self.values[:1].nbytes))
        done = 0
        for run in tqdm(parts_of(used, step), desc=f"load {name}", unit="part", mininterval=1):
            rows.announce(run)
            for piece in rows.pieces(run):
                tensor = torch.from_numpy(np.ascontiguousarray(piece)).view(dtype)
                self.values[done : done + len(tensor)] = tensor.to(device)
                done += len(tensor)

    def announce(self, run: range) -> None:
        """Nothing to announce."""

    def pieces(self, run: range) -> list[Tensor]:
        """The rows, as a view of the memory."""
        first, last = self.place[run.start], self.place[run.stop - 1]
        assert 0 <= first == last - len(run) + 1, f"{run} has rows that no fire uses"
        return [self.values[first : last + 1]]


Rows = MappedRows | ZarrRows | MemoryRows


def open_rows(location: Path | str, array: str, memory: Memory, device: torch.device) -> Rows:
    """Rows of an array by the fastest way that its codecs and its storage allow.

    Raises:
        InputError: the rows do not fit into memory, or one of them is damaged.
    """
    metadata = json.loads(read_files(location, [f"{array}/zarr.json"])[f"{array}/zarr.json"])
    mapped = not is_remote(location) and is_plain(metadata)
    rows = MappedRows(Path(location), array, metadata) if mapped else ZarrRows(location, array, metadata)
    if memory == "disk":
        return rows
    used = used_rows(location, array)
    needed = len(used) * int(np.prod(rows.shape[1:])) * np.dtype(metadata["data_type"]).itemsize
    free = free_memory(device)
    if needed > 0.9 * free:
        raise InputError(
            f"{location}, {array}", f"{needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free on {device}",
            "a store that fits", "use --memory disk",
        )  # fmt: skip
    kind = metadata.get("attributes", {}).get("bits", metadata["data_type"])
    return MemoryRows(rows, used, kind, device, array)


def used_rows(location: Path | str, array: str) -> np.ndarray:
    """Rows of an array that a fire uses, ascending."""
    table = "frame_of" if array.startswith("frame") else "terrain_index"
    return np.unique(np.asarray(zarr.open_array(str(location), path=table, mode="r")[:]))


def is_plain(metadata: dict[str, Any]) -> bool:
    """Whether an array is written as `emberformer.features.block` writes it, so that its blocks can be mapped."""
    codecs = metadata["codecs"]
    if [codec["name"] for codec in codecs] != ["sharding_indexed"]:
        return False
    inner = codecs[0]["configuration"]
    return (
        [codec["name"] for codec in inner["codecs"]] == ["bytes", "crc32c"]
        and [codec["name"] for codec in inner["index_codecs"]] == ["bytes", "crc32c"]
        and inner.get("index_location", "end") == "end"
        and inner["chunk_shape"] == [1, *metadata["shape"][1:]]
        and bool(metadata.get("attributes", {}).get("records_in_order"))
    )


def free_memory(device: torch.device) -> int:
    """Bytes that can be allocated now, within the limit of the job or container that this process runs in."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    told = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return min([*(told or [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2]), *group_memory()])


def group_memory(process: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """Bytes that each control group (version 2) of a process leaves it; file pages it can drop count as free."""
    own = [line[3:] for line in process.read_text().splitlines() if line.startswith("0::")] if process.exists() else []
    left = []
    for name in own:
        folder = groups / name.strip("/")
        for group in (folder, *folder.parents):
            limit = group / "memory.max"
            if group.is_relative_to(groups) and limit.exists() and (most := limit.read_text().strip()) != "max":
                told = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                used = int((group / "memory.current").read_text()) - int(told.get("inactive_file", 0))
                left.append(int(most) - used)
    return left
