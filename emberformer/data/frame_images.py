"""Frames as images: which pixels of a PNG are burned."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from emberformer.data.fires import Window
from emberformer.data_settings import EncodingSettings
from emberformer.errors import InputError


def open_image(path: Path, content: bytes | None = None) -> Image.Image:
    """The image in a file, decoded whole.

    Args:
        path: the file.
        content: what was read of it already.

    Raises:
        InputError: it is damaged, or none.
    """
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all of Pillow's kinds of damage
        raise InputError(
            path, f"no readable image: {error}", "a complete PNG or JPEG", "supply the file again"
        ) from error
    return image


def decode_burned(
    content: bytes, path: Path, window: Window | None, encoding: EncodingSettings
) -> UInt8[np.ndarray, "y x"]:
    """Burned pixels of an image file: those with the configured value in the configured channel.

    Args:
        content: the image file; a palette counts as the colours it stands for.
        path: its name, for messages.
        window: the fire's window, whose size the image must have; None: any size.
        encoding: channel (from 0) and value.

    Returns:
        uint8 [y, x], 1 burned, 0 not.

    Raises:
        InputError: a damaged file, another size than the window's, or a channel that the image lacks.
    """
    image = open_image(path, content)
    if window and image.size != (window.width, window.height):
        raise InputError(
            path,
            f"{image.height} x {image.width} pixels",
            f"{window.height} x {window.width}, the size of the fire's window in indices.json",
            "supply frames of one size, and correct the window if it is wrong",
        )
    if image.mode in ("P", "1"):
        image = image.convert("RGBA" if image.mode == "P" else "L")
    channels = image.getbands()
    if image.mode not in ("L", "LA", "RGB", "RGBA") or encoding.channel >= len(channels):
        raise InputError(
            path,
            f"an image of mode {image.mode!r} with channels {', '.join(channels)}",
            f"8 bits a channel and a channel {encoding.channel}",
            "correct `encoding` of the data set; a grey image has channel 0",
        )
    return (np.asarray(image.getchannel(encoding.channel)) == encoding.value).astype(np.uint8)
