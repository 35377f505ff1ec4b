"""Files that are not in memory, so that what is read comes from the disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def drop_pages(paths: Iterable[Path]) -> None:
    """Have the system forget the pages of files; pages that a process still maps stay."""
    for path in paths:
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
