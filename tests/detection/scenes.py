"""Windows whose features show the objects: made up, so that a detector can learn them in seconds."""

import numpy as np
import torch
from torch import Tensor

from emberformer.detection.samples import DetectionBatch


def scene(rng: np.random.Generator, channels: int, grid: tuple[int, int], objects: int, categories: int = 2):
    """Features [C Gy Gx], boxes [n 4] and labels [n] of one window; boxes do not overlap by much."""
    boxes: list[np.ndarray] = []
    while len(boxes) < objects:
        side = rng.uniform(0.15, 0.45, 2)
        centre = rng.uniform(side / 2, 1 - side / 2)
        if all(np.any(np.abs(centre - other[:2]) > (side + other[2:]) / 2) for other in boxes):
            boxes.append(np.concatenate([centre, side]))
    found = torch.tensor(np.array(boxes).reshape(-1, 4), dtype=torch.float32)
    labels = torch.as_tensor(rng.integers(0, categories, objects))
    return shown(found, labels, channels, grid, rng), found, labels


def shown(boxes: Tensor, labels: Tensor, channels: int, grid: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """Share of each patch that each category covers, beside noise."""
    cover = torch.zeros(channels, *grid)
    for box, label in zip(boxes, labels, strict=True):
        inside = []
        for axis, number in ((1, grid[0]), (0, grid[1])):
            edges = torch.arange(number + 1) / number
            low, high = box[axis] - box[axis + 2] / 2, box[axis] + box[axis + 2] / 2
            inside.append((edges[1:].clamp(max=high) - edges[:-1].clamp(min=low)).clamp(min=0) * number)
        cover[label] += inside[0][:, None] * inside[1]
    return cover + 0.05 * torch.as_tensor(rng.standard_normal(cover.shape), dtype=torch.float32)


class Scenes:
    """Samples of made-up windows, all held in memory."""

    def __init__(self, number: int, seed: int = 0, channels: int = 8, grid: tuple[int, int] = (8, 8), objects: int = 2):
        self.channels, self.grid, self.categories, self.epoch = channels, grid, ("front", "spot"), 0
        rng = np.random.default_rng(seed)
        counts = [objects] * number
        self.windows = [scene(rng, channels, grid, count) for count in counts]

    def __len__(self) -> int:
        return len(self.windows)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitems__(self, indices: list[int]) -> DetectionBatch:
        features, boxes, labels = zip(*(self.windows[n] for n in indices), strict=True)
        return DetectionBatch(
            torch.stack(features),
            torch.ones(len(indices), *self.grid, dtype=torch.bool),
            list(boxes),
            list(labels),
            [torch.ones(len(one)) for one in labels],
            torch.tensor(indices),
        )
