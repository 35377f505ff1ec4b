"""Spatial decoders: from a grid of tokens to a coarse forecast on the patch grid."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

GROUPS = 8


def convolution(inside: int, outside: int, dilation: int = 1) -> nn.Sequential:
    """3 x 3 convolution, GroupNorm, GELU. GroupNorm, because a batch holds few frames and they differ in size."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=dilation, dilation=dilation, bias=False),
        nn.GroupNorm(min(GROUPS, outside), outside),
        nn.GELU(),
    )


class MinimalDecoder(nn.Module):
    """Two 3 x 3 convolutions on the patch grid, then a logit a patch.

    Args:
        d_model: length of a token.
        channels: channels after the first convolution, a multiple of 16; half as many after the second.
    """

    def __init__(self, d_model: int, channels: int):
        super().__init__()
        self.channels = channels // 2
        self.body = nn.Sequential(convolution(d_model, channels), convolution(channels, self.channels))
        self.head = nn.Conv2d(self.channels, 1, 1)

    def forward(
        self, tokens: Float[Tensor, "B Gy Gx D"]
    ) -> tuple[Float[Tensor, "B C Gy Gx"], Float[Tensor, "B 1 Gy Gx"]]:
        """Decoded features and coarse logits."""
        features = self.body(tokens.permute(0, 3, 1, 2))
        return features, self.head(features)
