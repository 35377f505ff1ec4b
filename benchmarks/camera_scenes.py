"""Made-up camera images with flames and smoke, as features of an untrained backbone: a world to detect in.

Images of 140 x 140 pixels, 10 x 10 patches; up to four objects with sides of 14 to 70 pixels before a noisy landscape
with things that are neither: grey clouds above the horizon and ochre rocks below it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from emberformer.detection.samples import DetectionBatch
from emberformer.feature_settings import FeatureSettings
from emberformer.features.backbone import load_backbone

SIDE, PATCH = 140, 14
SMALLEST, LARGEST, MOST = 14, 70, 4
CATEGORIES = ("flame", "smoke")
FEATURES = FeatureSettings(
    weights="random", architecture="dinov2-small", precision="float32", channel_map="triplets", layers=(2,)
)
AT_ONCE = 16


class CameraScenes:
    """Samples of made-up images, all features in memory.

    Args:
        number: of images.
        seed: of all chance.
        features: backbone.
    """

    def __init__(self, number: int, seed: int, features: FeatureSettings = FEATURES):
        rng = np.random.default_rng(seed)
        drawn = [draw_image(rng) for _ in range(number)]
        self.boxes, self.labels = [one.boxes for one in drawn], [one.labels for one in drawn]
        self.grid: tuple[int, int] = (SIDE // PATCH, SIDE // PATCH)
        self.categories: tuple[str, ...] = CATEGORIES
        backbone = load_backbone(features)
        parts = []
        with torch.inference_mode():
            for first in range(0, number, AT_ONCE):
                images = np.stack([one.image for one in drawn[first : first + AT_ONCE]])
                tokens = backbone.encode(torch.from_numpy(images))
                layers = tokens.layers.flatten(0, 1).movedim(-1, 1).unflatten(0, tokens.layers.shape[:2]).flatten(1, 2)
                parts.append(torch.cat([layers, tokens.patches.movedim(-1, 1)], 1))
        self.features = torch.cat(parts).clone()
        self.channels = self.features.shape[1]

    def __len__(self) -> int:
        return len(self.boxes)

    def set_epoch(self, epoch: int) -> None:
        """All epochs show the same."""

    def __getitems__(self, indices: list[int]) -> DetectionBatch:
        """Read these windows together."""
        shares = [torch.from_numpy(shares_of(self.boxes[n])) for n in indices]
        labels = [torch.from_numpy(self.labels[n]) for n in indices]
        valid = torch.ones(len(indices), *self.grid, dtype=torch.bool)
        weights = [torch.ones(len(of)) for of in labels]
        return DetectionBatch(self.features[indices], valid, shares, labels, weights, torch.tensor(indices))


@dataclass(frozen=True)
class Drawn:
    """An image [3 h w] in 0 to 1 and its objects: x0 y0 x1 y1 in pixels."""

    image: Float[np.ndarray, "3 h w"]
    boxes: Float[np.ndarray, "n 4"]
    labels: np.ndarray


def shares_of(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """Centre and sides as shares of the image's, float32."""
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1).astype("f4") / SIDE


def draw_image(rng: np.random.Generator) -> Drawn:
    """One image; its objects do not overlap."""
    image = landscape(rng)
    taken: list[tuple[int, int, int, int]] = []
    labels = []
    for kind in (*rng.integers(0, 2, rng.integers(1, MOST + 1)), *(2, 3) * int(rng.integers(0, 3))):
        place = free_place(rng, taken)
        if place is None:
            continue
        paint(image, place, int(kind), rng)
        taken.append(place)
        labels.append(int(kind))
    kept = np.array(labels) < 2
    boxes = np.array(taken, float).reshape(-1, 4)[kept]
    image += 0.04 * rng.standard_normal(image.shape)
    return Drawn(image.clip(0, 1).astype("f4"), boxes, np.array(labels)[kept])


def landscape(rng: np.random.Generator) -> np.ndarray:
    """Sky above a wavy horizon, and ground of changing brightness."""
    x, y = np.arange(SIDE), np.arange(SIDE)[:, None]
    horizon = SIDE * rng.uniform(0.3, 0.6) + 6 * np.sin(x / rng.uniform(8, 30) + rng.uniform(0, 6))
    sky = np.array([0.5, 0.65, 0.8])[:, None, None] + 0.1 * (y / SIDE)
    coarse = rng.uniform(0.6, 1.3, (10, 10)).repeat(14, 0).repeat(14, 1)
    ground = np.array([0.25, 0.35, 0.2])[:, None, None] * coarse
    return np.where(y < horizon, np.broadcast_to(sky, ground.shape), ground)


def free_place(rng: np.random.Generator, taken: list[tuple[int, int, int, int]]) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom where nothing is yet; None: none was found."""
    for _ in range(30):
        width, height = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), 2)).astype(int)
        left, top = int(rng.integers(0, SIDE - width + 1)), int(rng.integers(0, SIDE - height + 1))
        right, bottom = left + int(width), top + int(height)
        if all(right <= a or left >= c or bottom <= b or top >= d for a, b, c, d in taken):
            return left, top, right, bottom
    return None


def paint(image: np.ndarray, place: tuple[int, int, int, int], kind: int, rng: np.random.Generator) -> None:
    """Put a flame (0), smoke (1), a rock (2) or a cloud (3) into a box, all of which it touches."""
    left, top, right, bottom = place
    v, u = np.mgrid[0 : bottom - top, 0 : right - left]
    v, u = (v + 0.5) / (bottom - top), (u + 0.5) / (right - left)
    part = image[:, top:bottom, left:right]
    flicker = 0.08 * rng.standard_normal(u.shape)
    if kind == 0:  # a tongue: wide below, a point above, yellow inside
        shape = np.abs(u - 0.5) * 2 <= v + flicker
        heat = (1 - np.abs(u - 0.5) * 2) * v
        colour = np.stack([np.full_like(u, 0.95), 0.35 + 0.55 * heat, 0.1 + 0.2 * heat])
        strength = shape.astype(float)
    elif kind == 1:  # a plume: wide above, soft
        strength = np.clip(1.5 - 1.5 * np.abs(u - 0.5) * 2 / (0.4 + 0.6 * (1 - v)), 0, 0.9)
        colour = np.stack([0.75 + flicker, 0.75 + flicker, 0.77 + flicker])
    elif kind == 2:
        strength = ((u - 0.5) ** 2 + (v - 0.5) ** 2 <= 0.25).astype(float)
        colour = np.array([0.6, 0.45, 0.25])[:, None, None] * (1 - 0.3 * v)
    else:
        strength = np.clip(1.6 - 1.6 * np.sqrt((u - 0.5) ** 2 + (v - 0.5) ** 2) * 2, 0, 0.9)
        colour = np.stack([0.85 + flicker] * 3)
    part[:] = (1 - strength) * part + strength * colour


def in_pixels(shares: Tensor) -> Tensor:
    """x0 y0 x1 y1 in pixels of boxes as shares."""
    return torch.cat([shares[:, :2] - shares[:, 2:] / 2, shares[:, :2] + shares[:, 2:] / 2], 1) * SIDE
