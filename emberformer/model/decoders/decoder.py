"""What every spatial decoder is: a grid of tokens in, a coarse forecast out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn


class SpatialDecoder(nn.Module, ABC):
    """Tokens of the patch grid to features and logits of a grid that is `finer` times as fine, with the same extent.

    Attributes:
        channels: channels of the features.
        finer: cells of the decoder's maps on a side of a patch.
        takes_layers: whether `layers` must be given.
    """

    channels: int
    finer: int = 1
    takes_layers: bool = False

    @abstractmethod
    def forward(
        self, tokens: Float[Tensor, "B Gy Gx D"], layers: Float[Tensor, "B L Gy Gx F"] | None = None
    ) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B 1 h w"]]:
        """Decoded features and coarse logits.

        Args:
            tokens: of the newest moment, after fusion and looking back.
            layers: the backbone's tokens of the newest frame after some of its blocks, of any floating type.
        """
