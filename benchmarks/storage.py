"""`python -m benchmarks --only storage`: bytes and files of a feature store, counted by the rules that it is built by.

Which option is the smallest that changes no score is measured on forecasts, see docs/performance.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.small_store import contents, is_block, make_small_store
from emberformer.features.estimate import Transformer, estimate, given_contents

FIRES, FRAMES, PIXELS, BANDS, GRID = 10_000, 16, 224, 6, (16, 16)
SMALL = Transformer(features=384, blocks=12, patch_size=14, prefix=1)
SMALLEST = ("int8", 128)  # type and principal components


def measure() -> dict[str, float]:
    """All figures; every store has the same few files of metadata and coordinates."""
    videos = given_contents(FIRES, FRAMES, (PIXELS, PIXELS), BANDS, None)
    ways = (("float16", None), ("int8", None), SMALLEST)
    plain, int8, smallest = (estimate(videos, SMALL, GRID, dtype, components) for dtype, components in ways)
    with tempfile.TemporaryDirectory() as folder:
        beside = sum(not is_block(name) for name in contents(make_small_store(Path(folder)).store))
    return {
        f"files, {FIRES} fires": plain.files + beside,
        "bytes a token, int8 / float16": round(int8.token_bytes / plain.token_bytes, 3),
        "bytes a token, smallest option / float16": round(smallest.token_bytes / plain.token_bytes, 3),
    }
