"""The smallest decoder: two convolutions on the patch grid."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from emberformer.model.convolution import Convolution, Norm
from emberformer.model.decoders.decoder import SpatialDecoder


class MinimalDecoder(SpatialDecoder):
    """Two 3 x 3 convolutions on the patch grid, then a logit a patch.

    Args:
        d_model: length of a token.
        channels: channels after the first convolution; half as many after the second.
        norm: 'group' or 'batch'.
    """

    def __init__(self, d_model: int, channels: int, norm: Norm = "group"):
        super().__init__()
        self.channels = channels // 2
        self.body = nn.Sequential(
            Convolution(d_model, channels, norm=norm), Convolution(channels, self.channels, norm=norm)
        )
        self.head = nn.Conv2d(self.channels, 1, 1)

    def forward(
        self, tokens: Float[Tensor, "B Gy Gx D"], layers: Float[Tensor, "B L Gy Gx F"] | None = None
    ) -> tuple[Float[Tensor, "B C Gy Gx"], Float[Tensor, "B 1 Gy Gx"]]:
        """Decoded features and coarse logits."""
        features = self.body(tokens.permute(0, 3, 1, 2))
        return features, self.head(features)
