"""Animations: the maps of all leads one after another, as GIF or MP4."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from emberformer.errors import InputError
from emberformer.outputs.arrival import THRESHOLD
from emberformer.outputs.map_picture import draw_map

DPI = 100  # of 10 x 8 inches: 1000 x 800
MILLISECONDS, LAST_MILLISECONDS = 900, 2500  # that a frame is shown
FRAMES_PER_SECOND = 10
COLOURFUL = 10  # least difference of red, green and blue, 0 to 255, in what is not grey


def map_pictures(
    forecast: xr.Dataset, *, elevation: np.ndarray | None = None, threshold: float = THRESHOLD
) -> list[UInt8[np.ndarray, "height width 3"]]:
    """The maps at `init_time` and at each lead, 1000 x 800 pixels.

    Args:
        forecast: see `emberformer.outputs.fire_forecast`.
        elevation: m, on the forecast's grid [y, x]; None = plain ground.
        threshold: probability of the isochrones.
    """
    pictures = []
    for lead in range(forecast.sizes["lead"] + 1):
        figure = draw_map(forecast, lead, elevation=elevation, threshold=threshold)
        figure.set_dpi(DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pictures.append(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    return pictures


def write_gif(pictures: Sequence[UInt8[np.ndarray, "height width 3"]], path: Path) -> None:
    """Write pictures of one size as an animated GIF that repeats, the last shown longest."""
    frames = [Image.fromarray(picture) for picture in pictures]
    palette = _palette(pictures[-1])  # one for all frames, or the ground would flicker
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [MILLISECONDS] * (len(frames) - 1) + [LAST_MILLISECONDS]
    indexed[0].save(path, save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=False)


def write_mp4(pictures: Sequence[UInt8[np.ndarray, "height width 3"]], path: Path) -> None:
    """The same as a video (H.264), which slides and messengers take; height and width are even.

    Raises:
        InputError: imageio-ffmpeg is not installed, or ffmpeg did not write all frames.
    """
    try:
        ffmpeg = import_module("imageio_ffmpeg")
    except ModuleNotFoundError as error:
        remedy = "pip install 'emberformer[video]', or leave mp4 out of the formats"
        raise InputError(path, "imageio-ffmpeg is not installed", "it, to write videos", remedy) from error
    shown = [MILLISECONDS] * (len(pictures) - 1) + [LAST_MILLISECONDS]
    repeats = [round(FRAMES_PER_SECOND * time / 1000) for time in shown]
    height, width = pictures[0].shape[:2]
    remedy = "look for space on the disk, or leave mp4 out of the formats"
    writer = ffmpeg.write_frames(
        str(path), (width, height), fps=FRAMES_PER_SECOND, codec="libx264", macro_block_size=2, ffmpeg_log_level="error"
    )
    try:
        writer.send(None)
        for picture, repeat in zip(pictures, repeats, strict=True):
            for _ in range(repeat):
                writer.send(picture)
        writer.close()
        written = ffmpeg.count_frames_and_secs(str(path))[0]
    except (OSError, RuntimeError) as error:
        raise InputError(path, "ffmpeg stopped before the end", f"{sum(repeats)} frames", remedy) from error
    if written != sum(repeats):
        raise InputError(path, f"{written} frames", f"{sum(repeats)} frames", remedy)


def _palette(picture: UInt8[np.ndarray, "height width 3"]) -> Image.Image:
    """The 256 colours of a GIF: 64 greys for the ground, and the most frequent colours of the last picture.

    Taken over all pixels alike, the greys would leave few for the probability.
    """
    colourful = picture[np.ptp(picture, axis=-1) > COLOURFUL]
    palette = [level for grey in np.linspace(0, 255, 64).round().astype(int).tolist() for level in (grey,) * 3]
    if len(colourful):
        chosen = Image.fromarray(colourful[None]).quantize(colors=192, dither=Image.Dither.NONE)
        palette += (chosen.getpalette() or [])[: 3 * 192]
    image = Image.new("P", (1, 1))
    image.putpalette(palette)
    return image
