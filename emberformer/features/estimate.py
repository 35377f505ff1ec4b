"""What a feature store will hold, before anything runs: images, tokens, bytes, files and arithmetic.

All is counted by the rules that the store is built by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import xarray as xr

from emberformer.data.fires import bands_of
from emberformer.features.block import CHECKSUM_BYTES
from emberformer.features.channel_map import image_count
from emberformer.features.plan import block_records, window_origins
from emberformer.features.rendering import patch_grid, pixels_per_patch, terrain_channels
from emberformer.features.shape import AXES, ArrayShape, Axis, StoreShape

INDEX_BYTES = 16  # of a record in the index of its block


@dataclass(frozen=True)
class Contents:
    """What of a data set decides the size of its feature store.

    Args:
        fires: number of fires.
        frames: frames of all fires together.
        unique_frames: different ones among them; equal frames are encoded and stored once.
        terrain_windows: different terrain windows.
        terrain_channels: images that a terrain window is rendered to, before `channel_map`.
        height: of a frame in pixels, after `features.window`.
        width: of a frame in pixels, after `features.window`.
        channel_map: `FeatureSettings.channel_map`.
    """

    fires: int
    frames: int
    unique_frames: int
    terrain_windows: int
    terrain_channels: int
    height: int
    width: int
    channel_map: str = "bands"

    @property
    def terrain_images(self) -> int:
        """Images of a terrain window that pass the backbone."""
        return image_count(self.channel_map, self.terrain_channels)

    @property
    def images(self) -> int:
        """Images that pass the backbone."""
        return self.unique_frames + self.terrain_windows * self.terrain_images

    def rows(self, axis: Axis) -> int:
        """Records along an axis of the store."""
        return self.unique_frames if axis == "frame" else self.terrain_windows


@dataclass(frozen=True)
class Transformer:
    """Sizes of a vision transformer: token length D, blocks, side of a patch in pixels, tokens before the patches."""

    features: int
    blocks: int
    patch_size: int
    prefix: int


@dataclass(frozen=True)
class Estimate:
    """Sizes of a feature store and of the work to make it.

    Args:
        images: images that pass the backbone.
        tokens: patch tokens of an image and its CLS token.
        token_bytes: bytes of a stored patch token, its scale included.
        store_bytes: bytes of all blocks, checksums and indexes included.
        files: blocks; a few dozen small files of metadata come to them.
        image_flop: floating point operations of one forward pass.
    """

    images: int
    tokens: int
    token_bytes: int
    store_bytes: int
    files: int
    image_flop: float

    @property
    def flop(self) -> float:
        """Floating point operations of the whole extraction."""
        return self.images * self.image_flop


def estimate(
    contents: Contents,
    transformer: Transformer,
    grid: tuple[int, int],
    dtype: str = "float16",
    components: int | None = None,
    layers: int = 0,
) -> Estimate:
    """Sizes of the store of a data set.

    Args:
        contents: what the data set holds.
        transformer: the backbone's sizes.
        grid: patches along y and x.
        dtype: `FeatureSettings.dtype`.
        components: `FeatureSettings.components`.
        layers: number of further hidden layers that are stored.
    """
    channels = (contents.terrain_channels + 1, contents.terrain_images)
    shape = StoreShape(grid, *channels, transformer.features, transformer.prefix, layers, dtype, components)
    total, files = 0, 0
    for axis in AXES:
        rows, block = contents.rows(axis), block_records(axis, contents.rows(axis))
        blocks = -(-rows // block)
        for array in shape.arrays(axis):
            total += rows * (_record_bytes(array) + CHECKSUM_BYTES) + blocks * (block * INDEX_BYTES + CHECKSUM_BYTES)
            files += blocks
    of_token = [array for array in shape.arrays("frame") if array.name in ("frame_patches", "frame_scale")]
    patches = math.prod(grid)
    token_bytes = sum(map(_record_bytes, of_token)) // patches
    return Estimate(contents.images, patches + 1, token_bytes, total, files, image_flop(transformer, grid))


def _record_bytes(array: ArrayShape) -> int:
    return math.prod(array.record) * {"int8": 1, "float32": 4}.get(array.dtype, 2)


def image_flop(transformer: Transformer, grid: tuple[int, int]) -> float:
    """Floating point operations of a forward pass over one one-channel image.

    2 (L (12 D² m + 2 m² D) + n p² D) for n patches of side p and m tokens in L blocks, with an MLP four times as wide
    as a token; normalisations, softmax and GELU are left out.

    >>> image_flop(Transformer(384, 12, 14, 1), (16, 16)) / 1e9  # dinov2-small at 224 pixels
    12.170053632
    """
    patches, size = math.prod(grid), transformer.features
    tokens = patches + transformer.prefix
    block = 12 * size**2 * tokens + 2 * tokens**2 * size
    return 2.0 * (transformer.blocks * block + patches * transformer.patch_size**2 * size)


def break_even_epochs(contents: Contents, history: int) -> float:
    """Epochs of training after which encoding once was less work than encoding in every step.

    I / (N (F - T) (T + S)) for I images of N fires with F frames and S terrain images each, and steps that see T
    frames; both sides run the same backbone. Where a fire is shorter than that, its steps see the frames there are.
    Steps of a longer fire that see fewer than T frames are not counted: with them it is sooner.
    """
    frames = contents.frames / contents.fires
    seen = min(history, max(frames - 1, 1))
    steps = contents.fires * max(frames - seen, 1)
    return contents.images / (steps * (seen + contents.terrain_images))


def count_contents(fires: xr.Dataset, window: int | None) -> Contents:
    """What a fires store holds; with a window the frames are counted as if whole frames were told apart.

    Raises:
        InputError: the window is larger than the raster.
    """
    where = zip(fires.terrain_index.values.tolist(), window_origins(fires, window), strict=True)
    digests = fires.terrain_digest.values
    channels = terrain_channels(*bands_of(fires))
    return Contents(
        fires.sizes["fire"], fires.sizes["frame"], len(set(fires.frame_digest.values.tolist())),
        len({(str(digests[index]), origin) for index, origin in where}), len(channels),
        window or fires.sizes["y"], window or fires.sizes["x"],
    )  # fmt: skip


def given_contents(fires: int, frames: int, size: tuple[int, int], channels: int, window: int | None) -> Contents:
    """A data set of which only numbers are known: all frames differ, and every fire has a terrain window of its own.

    Args:
        fires: number of fires.
        frames: frames of each.
        size: height and width of a frame in pixels.
        channels: images that a terrain window is rendered to.
        window: `FeatureSettings.window`.
    """
    height, width = (window or side for side in size)
    total = fires * frames
    return Contents(fires, total, total, fires if channels else 0, channels, height, width)


def grid_of(contents: Contents, transformer: Transformer, scale: float) -> tuple[int, int]:
    """Patches along y and x of a frame, padded to whole patches.

    Raises:
        InputError: a scale that patches and pixels cannot be aligned at.
    """
    return patch_grid(contents.height, contents.width, pixels_per_patch(transformer.patch_size, scale))
