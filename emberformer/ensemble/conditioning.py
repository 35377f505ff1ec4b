"""What a future is conditioned on, and which of it is left out in training so that a network can be asked without it.

Classes of a training sample: 10 % are told neither, 30 % the context (weather, fire summary, text) alone, 5 % the
cached features alone, 55 % both. They exclude each other. Leaving the features out leaves out their CLS token in both
of its places and all patches. What is known of every pixel is left out of none: terrain, the newest burned area and,
where the ensemble starts from one, the deterministic forecast, which was made from wind and features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BOTH, CONTEXT_ONLY, DINO_ONLY, NOTHING = range(4)


@dataclass(frozen=True)
class Conditioning:
    """Conditions of a batch.

    Args:
        context: tokens of weather and fire summary.
        context_mask: which of them are real.
        cls: CLS token of the newest frame.
        patches: features of patches of the newest frame and the terrain, row by row of a grid of `grid`.
        patch_mask: which patches hold a real pixel.
        grid: rows and columns of the patches.
        pixels: what is known of every pixel of the raster, and does not change from step to step of the sampler.
        mean: a deterministic forecast of the field, from which the network starts; None: there is none.
        shares: probability of each value of the field by this forecast, see `emberformer.ensemble.arrival_field`.
        text: embeddings of a text, such as an incident report; None: the network knows of none.
        text_mask: which of them are real.
        origin: row and column of the raster's upper left corner on the whole frame, in patches.
    """

    context: Float[Tensor, "B S C"]
    context_mask: Bool[Tensor, "B S"]
    cls: Float[Tensor, "B D"]
    patches: Float[Tensor, "B N P"] | None
    patch_mask: Bool[Tensor, "B N"] | None
    grid: tuple[int, int]
    pixels: Float[Tensor, "B K H W"]
    mean: Float[Tensor, "B 1 H W"] | None = None
    shares: Float[Tensor, "B V H W"] | None = None
    text: Float[Tensor, "B L E"] | None = None
    text_mask: Bool[Tensor, "B L"] | None = None
    origin: Float[Tensor, "B 2"] | None = None

    def __len__(self) -> int:
        return len(self.cls)

    def with_features_of(self, other: Conditioning) -> Conditioning:
        """The same with the cached features of another batch: what a swap of features changes."""
        return replace(self, cls=other.cls, patches=other.patches, patch_mask=other.patch_mask)

    def with_context_of(self, other: Conditioning) -> Conditioning:
        """The same with the context of another batch: what a swap of the wind changes."""
        return replace(self, context=other.context, context_mask=other.context_mask)


def drop_codes(
    number: int, unconditional: float, context_only: float, dino_only: float, generator: torch.Generator | None = None
) -> Int[Tensor, " B"]:
    """A class for each of so many samples; what is left of 1 is the share of `BOTH`.

    >>> drop_codes(3, 0.0, 1.0, 0.0).tolist()
    [1, 1, 1]
    """
    shares = torch.tensor([1 - unconditional - context_only - dino_only, context_only, dino_only, unconditional])
    return torch.multinomial(shares.clamp(min=0), number, replacement=True, generator=generator)


def without_context(codes: Int[Tensor, " B"]) -> Bool[Tensor, " B"]:
    """Whose context is left out."""
    return (codes == DINO_ONLY) | (codes == NOTHING)


def without_dino(codes: Int[Tensor, " B"]) -> Bool[Tensor, " B"]:
    """Whose cached features are left out."""
    return (codes == CONTEXT_ONLY) | (codes == NOTHING)
