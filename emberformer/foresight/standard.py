"""Standard features: each dimension with mean 0 and deviation 1 over the training fires, and their leading components.

A few dimensions of DINOv2's tokens are a hundred times as large as the others and would rule an error in raw units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from emberformer.foresight.clips import Clips

AT_ONCE = 64  # frames


@dataclass(frozen=True)
class Standard:
    """The map to standard features z = (x - mean) / deviation, and to the components c = z V.

    Args:
        mean: of each dimension.
        deviation: of each dimension; 1 where it does not vary.
        directions: V, orthonormal columns, by falling variance.
        scale: deviation of each component, by which networks are told them and tell their change.
    """

    mean: Float[Tensor, " D"]
    deviation: Float[Tensor, " D"]
    directions: Float[Tensor, "D K"]
    scale: Float[Tensor, " K"]

    def of(self, features: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """Standard features."""
        return (features.float() - self.mean) / self.deviation

    def raw(self, standard: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape D"]:
        """Features in the units of the store."""
        return standard * self.deviation + self.mean

    def components(self, features: Float[Tensor, "*shape D"]) -> Float[Tensor, "*shape K"]:
        """Leading components of the standard features."""
        return self.of(features) @ self.directions

    def moved(
        self, features: Float[Tensor, "*shape D"], change: Float[Tensor, "*shape K"]
    ) -> Float[Tensor, "*shape D"]:
        """Standard features after a change of their components; what the components leave out stays as it is."""
        return self.of(features) + change @ self.directions.T


def fit_standard(clips: Sequence[Clips], components: int) -> Standard:
    """Fit on all frames of the training fires, real patches alone.

    Args:
        clips: of all data sets.
        components: K; at most as many as there are dimensions.
    """
    length = clips[0].features.shape[-1]
    count, total, square = 0, np.zeros(length), np.zeros((length, length))
    for part in _training_patches(clips):
        count += len(part)
        total += part.sum(0).double().numpy()
        square += (part.T @ part).double().numpy()
    mean = total / count
    covariance = square / count - np.outer(mean, mean)
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0))
    deviation = np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, 1.0)
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    order = np.argsort(values)[::-1][: min(components, length)]
    scale = np.sqrt(np.maximum(values[order], 1e-6 * values[order[0]]))
    return Standard(*(torch.from_numpy(a.astype(np.float32)) for a in (mean, deviation, vectors[:, order], scale)))


def fit_cls(clips: Sequence[Clips]) -> Standard:
    """The same of the CLS tokens of the training fires, without components."""
    tokens = torch.cat([part.cls[_of_training(part)] for part in clips]).float()
    deviation = tokens.std(0, correction=0)
    return Standard(
        tokens.mean(0), torch.where(deviation > 1e-6, deviation, 1.0), torch.zeros(tokens.shape[1], 0), torch.zeros(0)
    )  # fmt: skip


def _training_patches(clips: Sequence[Clips]):
    for part in clips:
        for rows in _of_training(part).split(AT_ONCE):  # all of them at once would be in memory twice
            yield part.features[rows][:, part.valid].flatten(0, 1).float()


def _of_training(clips: Clips) -> Tensor:
    return torch.from_numpy(np.flatnonzero(np.array(clips.split)[clips.fire_of] == "train"))
