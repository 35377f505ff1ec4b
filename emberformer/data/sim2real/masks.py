"""Masks of Sim2Real-Fire: which pixels of a JPEG or PNG are burned, and which hour or day each of them shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from scipy.ndimage import minimum_filter

from emberformer.data.frame_images import open_image
from emberformer.data.numbered import numbered
from emberformer.errors import InputError

IMAGE = r"\.(?i:jpg|jpeg|png)$"
THRESHOLD = 127  # grey; burned is above
MID_GREYS = (32, 223)  # compression leaves greys near black and white; these may be either
JPEG_BLOCK = 8  # pixels; JPEG compresses squares of this side, each for itself


@dataclass(frozen=True)
class MaskFiles:
    """Masks of one fire, in the order of time.

    Args:
        paths: the files.
        first: number of the first, n of out<n>; 0 where the names tell days.
        days: datetime64[s] [frame], None where the names tell numbers.
    """

    paths: tuple[Path, ...]
    first: int
    days: np.ndarray | None


def find_masks(folder: Path) -> MaskFiles:
    """Masks of a fire, out<n>.jpg by number or <name>_<YYYYMMDD>... by day; other files do not count.

    Raises:
        InputError: there are fewer than two, two for one time, a gap in the numbers, or both kinds of names.
    """
    by_number = numbered(folder, rf"^out(\d+){IMAGE}", "masks such as out1.jpg")
    by_day: dict[datetime, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not re.search(IMAGE, path.name) or (day := _day(path.stem)) is None:
            continue
        if day in by_day:
            found = f"{by_day[day].name} and {path.name}, both of {day:%Y-%m-%d}"
            raise InputError(folder, found, "one mask a day", "remove one of the two")
        by_day[day] = path
    if bool(by_number) == bool(by_day) or len(by_number) + len(by_day) < 2:
        found = f"{len(by_number)} masks with a number, {len(by_day)} with a day"
        remedy = "supply the masks; a forecast needs two"
        raise InputError(folder, found, "two or more of one kind, out1.jpg or <name>_20230724.jpg", remedy)
    if by_number:
        return _by_number(folder, by_number)
    days = sorted(by_day)
    return MaskFiles(tuple(by_day[day] for day in days), 0, np.array(days, "datetime64[s]"))


def _day(stem: str) -> datetime | None:
    parts = stem.split("_")
    try:
        return datetime.strptime(parts[1], "%Y%m%d")
    except (IndexError, ValueError):
        return None


def _by_number(folder: Path, paths: dict[int, Path]) -> MaskFiles:
    first, last = min(paths), max(paths)
    if missing := sorted(set(range(first, last)) - set(paths)):
        found = f"no mask {', '.join(f'out{number}' for number in missing[:5])} among out{first} to out{last}"
        raise InputError(folder, found, "masks without a gap", "supply them: time and weather go by the number")
    return MaskFiles(tuple(paths.values()), first, None)


def read_mask(path: Path, shape: tuple[int, int]) -> tuple[UInt8[np.ndarray, "y x"], int]:
    """Burned pixels of a mask: those whose grey is above 127.

    Args:
        path: JPEG or PNG; colours count by their luminance.
        shape: rows and columns that the scene's rasters have.

    Returns:
        uint8 [y, x], 1 burned, 0 not; and how many pixels are neither near black nor near white.

    Raises:
        InputError: a damaged file, another size, or an image with areas of grey, which is no mask.
    """
    grey = np.asarray(open_image(path).convert("L"))
    if grey.shape != shape:
        expected = f"{shape[0]} x {shape[1]}, as the rasters of the scene"
        raise InputError(path, f"{grey.shape[0]} x {grey.shape[1]} pixels", expected, "supply the mask on their grid")
    between = (grey >= MID_GREYS[0]) & (grey <= MID_GREYS[1])
    _check_black_and_white(between, path)
    return (grey > THRESHOLD).astype("uint8"), int(between.sum())


def _check_black_and_white(between: Bool[np.ndarray, "y x"], path: Path) -> None:
    """Compression leaves mid-greys only along edges, in the blocks that they cross.

    So a square of mid-grey that is wider than a block is no edge, and neither are greys that prevail.

    Raises:
        InputError: there is such a square, or more than half of the image is mid-grey.
    """
    side = JPEG_BLOCK + 1
    if between.mean() > 0.5:
        what = "more than half"
    elif between.sum() >= side**2 and (squares := minimum_filter(between, side, mode="constant")).any():
        row, column = np.argwhere(squares)[0] - side // 2
        what = f"a whole square of {side} x {side} from row {row}, column {column} on"
    else:
        return
    found = f"{between.sum()} of {between.size} pixels mid-grey ({MID_GREYS[0]} to {MID_GREYS[1]}): {what}"
    expected = "a mask, white where burned and black elsewhere, grey at most along edges, as compression leaves it"
    remedy = "supply the mask in place of this image; of a map of probabilities, make one by a threshold"
    raise InputError(path, found, expected, remedy)
