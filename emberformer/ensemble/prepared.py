"""What of the conditions no step of a sampler changes: computed once a sample, for all steps and members."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from emberformer.ensemble.block import KeyValues


@dataclass(frozen=True)
class Prepared:
    """Conditions as the blocks take them.

    Args:
        signal: of the CLS token, to which the time's embedding is added.
        tokens: what the known pixels, the place and, by injection, the features say at every token of the field.
        conditions: keys and values of each block's cross-attention.
        ground: what the refinement makes of the known pixels.
        mean: of `Conditioning`.
        shares: of `Conditioning`.
        lengths: number of tokens of context, text, CLS and patches, in their order in the cross-attention.
    """

    signal: Float[Tensor, "B D"]
    tokens: Float[Tensor, "B N D"]
    conditions: tuple[KeyValues, ...]
    ground: Float[Tensor, "B H W R"]
    mean: Float[Tensor, "B 1 H W"] | None
    shares: Float[Tensor, "B V H W"] | None
    lengths: dict[str, int]

    def repeated(self, members: int) -> Prepared:
        """The same for so many members of every sample, next to each other."""
        signal, tokens, ground = (of.repeat_interleave(members, 0) for of in (self.signal, self.tokens, self.ground))
        mean, shares = (None if of is None else of.repeat_interleave(members, 0) for of in (self.mean, self.shares))
        conditions = tuple(of.repeated(members) for of in self.conditions)
        return Prepared(signal, tokens, conditions, ground, mean, shares, self.lengths)
