"""Perimeters as images: a PNG a frame, which says nothing of its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from emberformer.data.fire_history import Observations
from emberformer.data.frame_images import decode_burned, open_image
from emberformer.data.perimeter_rasters import order_frames
from emberformer.data.perimeter_times import sort_files, told_time
from emberformer.data_settings import EncodingSettings
from emberformer.errors import InputError


def read_image_perimeters(
    paths: Sequence[Path], encoding: EncodingSettings | None, start: np.datetime64 | None, minutes: float
) -> Observations:
    """Perimeters of images, in the order of the times or the numbers in their names.

    Args:
        paths: the images, all of one size.
        encoding: channel and value of burned pixels; None: grey images, in which all but black is burned.
        start: time of the first frame, or None.
        minutes: time between frames whose names tell none.

    Raises:
        InputError: naming the first image that does not fit.
    """
    paths = sort_files(paths)
    images = [_read_image(path, encoding) for path in paths]
    for path, burned in zip(paths, images, strict=True):
        if burned.shape != images[0].shape:
            found, expected = ("{} x {} pixels".format(*image.shape) for image in (burned, images[0]))
            raise InputError(path, found, f"{expected}, as {paths[0].name}", "supply frames of one size")
    times = [told_time([path.stem], path, start) for path in paths]
    names = [path.name for path in paths]
    return order_frames(str(paths[0].parent), names, np.stack(images), times, None, start, minutes, paths)


def parse_encoding(word: str) -> EncodingSettings:
    """What stands for burned in images, from CHANNEL=VALUE.

    >>> parse_encoding("1=231")
    EncodingSettings(channel=1, value=231)

    Raises:
        InputError: something else, or numbers that are none of a channel and a value.
    """
    try:
        channel, value = word.split("=")
        return EncodingSettings(channel=int(channel), value=int(value))
    except ValueError as error:  # pydantic's too
        expected = "CHANNEL=VALUE, of 0 to 3 and of 0 to 255"
        raise InputError("--encoding", repr(word), expected, "say, for example, 1=231") from error


def _read_image(path: Path, encoding: EncodingSettings | None) -> UInt8[np.ndarray, "y x"]:
    if encoding:
        return decode_burned(path.read_bytes(), path, None, encoding)
    image = open_image(path)
    if image.mode in ("P", "PA", "RGB", "RGBA", "LA"):
        colours = np.asarray(image.convert("RGB"))
        if (colours != colours[:, :, :1]).any():
            raise InputError(
                path,
                f"an image in colours (mode {image.mode})",
                "a grey image, in which all but black is burned",
                "say which channel has which value where it burned: --encoding channel=value, such as 1=231",
            )
        return (colours[:, :, 0] > 0).astype(np.uint8)
    return (np.asarray(image) > 0).astype(np.uint8)
