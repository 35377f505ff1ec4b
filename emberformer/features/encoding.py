"""How patch tokens are stored: plain floats, 8-bit integers about a reference, or principal components.

Tokens are stored about those of a blank image, because most of a token says where its patch lies and the same in every
image. int8: q = round((x - blank) / s) in [-127, 127] with one float16 scale s = max |x - blank| / 127 a token.
Components: z = (x - blank) V with the first k principal directions V of x - blank (Pearson 1901,
doi:10.1080/14786440109462720) over generated images: they follow from the settings alone, so that all data
sets share them and no fire, of training or of test, has a part in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int8
from scipy.ndimage import gaussian_filter
from torch import Tensor

from emberformer.data.valley import fractal_noise
from emberformer.errors import InputError
from emberformer.features.backbone import Backbone
from emberformer.features.rendering import dino_input
from emberformer.features.shape import AXES, Axis

LEVELS = 127
REFERENCE_IMAGES, REFERENCE_PIXELS, REFERENCE_SEED = 48, 224, 20231


@dataclass(frozen=True)
class Encoding:
    """Maps tokens to what is stored.

    Args:
        dtype: `FeatureSettings.dtype`.
        blank: tokens of a blank image [Gy Gx D]; None where plain floats of all features are stored.
        basis: for each axis the principal directions [D k]; empty where all features are stored.
    """

    dtype: str
    blank: Tensor | None
    basis: dict[Axis, Tensor]

    def encode(self, patches: Float[Tensor, "*n Gy Gx D"], axis: Axis) -> dict[str, Tensor]:
        """What is stored, by the second word of the array's name: 'patches' and, for int8, 'scale'.

        A token that is no number or too large for the type stays visible as a value that is not finite.
        """
        stored = self.project(patches, axis)
        if self.dtype != "int8":
            return {"patches": stored.to(getattr(torch, self.dtype))}
        codes, scale = quantise(stored if self.basis else stored - self._about(stored))
        return {"patches": codes, "scale": scale.half()}

    def refuse_unless(self, finite: bool) -> None:
        """Keep values that are no numbers out of the store.

        Raises:
            InputError: not all values are finite.
        """
        if not finite:
            raise InputError(
                "features of the backbone", f"NaN, infinity, or a value too large for {self.dtype}",
                "finite tokens that fit into the store's type",
                "set `features.dtype: float32`; if that fails too, `features.precision: float32` or other weights",
            )  # fmt: skip

    def project(self, patches: Float[Tensor, "*n Gy Gx D"], axis: Axis) -> Float[Tensor, "*n Gy Gx k"]:
        """Principal components where they are stored, else the tokens themselves."""
        if not self.basis:
            return patches
        return (patches - self._about(patches)) @ self.basis[axis].to(patches.device)

    def _about(self, patches: Tensor) -> Tensor:
        assert self.blank is not None, "int8 and components are stored about a blank image"
        return self.blank.to(patches.device)

    def rounded(self, patches: Float[Tensor, "*n Gy Gx D"], axis: Axis) -> Float[Tensor, "*n Gy Gx k"]:
        """Tokens as a reader of the store gets them; what the pixel path feeds to the network."""
        stored = self.project(patches, axis)
        if self.dtype != "int8":
            return stored.to(getattr(torch, self.dtype)).float()
        about = 0.0 if self.basis else self._about(stored)
        codes, scale = quantise(stored - about)
        return codes.float() * scale.half().float()[..., None] + about


def quantise(residual: Float[Tensor, "*n D"]) -> tuple[Int8[Tensor, "*n D"], Float[Tensor, "*n"]]:
    """Codes in [-127, 127] and the scale of each token; a token of zeros has scale 0."""
    scale = (residual.abs().amax(-1) / LEVELS).half().float()
    step = torch.where(scale > 0, scale, 1.0)
    codes = (residual / step[..., None]).round().clamp(-LEVELS, LEVELS).to(torch.int8)
    return codes, scale


def fit_encoding(
    backbone: Backbone, grid: tuple[int, int], scale: float, dtype: str, components: int | None
) -> Encoding:
    """The encoding that settings ask for; a few seconds of the backbone where components are stored.

    Raises:
        InputError: more components than features.
    """
    if components is not None and components >= backbone.features:
        raise InputError(
            "features.components", str(components), f"fewer than the backbone's {backbone.features} features",
            "leave the key out to store all of them",
        )  # fmt: skip
    blank = blank_tokens(backbone, grid) if dtype == "int8" or components else None
    basis: dict[Axis, Tensor] = {}
    if components:
        basis = {axis: principal_directions(backbone, axis, scale, components) for axis in AXES}
    return Encoding(dtype, blank, basis)


def blank_tokens(backbone: Backbone, grid: tuple[int, int]) -> Float[Tensor, "Gy Gx D"]:
    """Tokens of an image without fire and without terrain."""
    size = (1, 1, grid[0] * backbone.patch_size, grid[1] * backbone.patch_size)
    with torch.inference_mode():
        return backbone.encode(torch.zeros(size, device=backbone.device)).patches[0].float().cpu().clone()


def principal_directions(backbone: Backbone, axis: Axis, scale: float, components: int) -> Float[Tensor, "D k"]:
    """First principal directions of tokens about the blank image's, over generated images; the largest entry is > 0."""
    side = -(-REFERENCE_PIXELS // backbone.patch_size)
    blank = blank_tokens(backbone, (side, side)).double()
    second = torch.zeros(backbone.features, backbone.features, dtype=torch.float64)
    images = reference_images(axis, round(side * backbone.patch_size / scale))
    with torch.inference_mode():
        for image in torch.from_numpy(images).to(backbone.device):
            tokens = backbone.encode(dino_input(image[None], backbone.patch_size, scale)).patches[0].cpu().double()
            residual = (tokens - blank).flatten(0, 1)
            second += residual.T @ residual
    directions = torch.linalg.eigh(second)[1].flip(1)[:, :components]
    largest = directions.gather(0, directions.abs().argmax(0)[None])
    return (directions * largest.sign()).float()


def reference_images(axis: Axis, pixels: int) -> Float[np.ndarray, "n p p"]:
    """Generated images in [0, 1]: burned areas of all sizes, or fields like elevation, fuel codes and flags."""
    rng = np.random.default_rng(REFERENCE_SEED)
    rows, columns = np.mgrid[:pixels, :pixels]
    images = []
    for number in range(REFERENCE_IMAGES):
        field = fractal_noise(pixels, rng.uniform(1.5, 3), rng)
        if axis == "frame":
            centre, radius = rng.uniform(0.2, 0.8, 2) * pixels, np.exp(rng.uniform(np.log(2), np.log(pixels / 3)))
            distance = np.hypot(rows - centre[0], columns - centre[1]) / radius
            images.append(distance + 0.3 * gaussian_filter(field, 1) < 1)
        elif number % 3 == 0:
            images.append((field - field.min()) / np.ptp(field))
        elif number % 3 == 1:
            codes = np.digitize(field, np.quantile(field, [0.2, 0.4, 0.6, 0.8]))
            images.append(rng.uniform(0.1, 1, 5)[codes])
        else:
            images.append(field > np.quantile(field, rng.uniform(0.05, 0.95)))
    return np.stack(images).astype(np.float32)


def save_encoding(encoding: Encoding, path: Path) -> None:
    """Write blank tokens and directions."""
    arrays = {f"basis_{axis}": directions.numpy() for axis, directions in encoding.basis.items()}
    if encoding.blank is not None:
        arrays["blank"] = encoding.blank.numpy()
    with open(path, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_encoding(path: Path, dtype: str) -> Encoding:
    """Read what `save_encoding` wrote."""
    with np.load(path) as arrays:
        basis: dict[Axis, Tensor] = {
            axis: torch.from_numpy(arrays[f"basis_{axis}"]) for axis in AXES if f"basis_{axis}" in arrays
        }
        return Encoding(dtype, torch.from_numpy(arrays["blank"]) if "blank" in arrays else None, basis)
