"""Spatial decoders: from a grid of tokens to a coarse forecast on the patch grid."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from emberformer.model.normalisation import norm_relu

GROUPS = 8


class Convolution(nn.Sequential):
    """3 x 3 convolution, GroupNorm, ReLU. GroupNorm, because a batch holds few frames and they differ in size.

    Args:
        inside: channels of the input.
        outside: channels of the output.
        dilation: pixels from one tap of the kernel to the next.
    """

    def __init__(self, inside: int, outside: int, dilation: int = 1):
        super().__init__(
            nn.Conv2d(inside, outside, 3, padding=dilation, dilation=dilation, bias=False),
            nn.GroupNorm(min(GROUPS, outside), outside),
            nn.ReLU(),
        )

    def forward(
        self,
        input: Float[Tensor, "B K h w"],
        scale: Float[Tensor, "B C"] | None = None,
        shift: Float[Tensor, "B C"] | None = None,
    ) -> Float[Tensor, "B C h w"]:
        """The layer's output; before ReLU, times `scale` plus `shift` where a gate gives them."""
        return norm_relu(self[1], self[0](input), scale, shift)  # type: ignore[arg-type]


class MinimalDecoder(nn.Module):
    """Two 3 x 3 convolutions on the patch grid, then a logit a patch.

    Args:
        d_model: length of a token.
        channels: channels after the first convolution, a multiple of 16; half as many after the second.
    """

    def __init__(self, d_model: int, channels: int):
        super().__init__()
        self.channels = channels // 2
        self.body = nn.Sequential(Convolution(d_model, channels), Convolution(channels, self.channels))
        self.head = nn.Conv2d(self.channels, 1, 1)

    def forward(
        self, tokens: Float[Tensor, "B Gy Gx D"]
    ) -> tuple[Float[Tensor, "B C Gy Gx"], Float[Tensor, "B 1 Gy Gx"]]:
        """Decoded features and coarse logits."""
        features = self.body(tokens.permute(0, 3, 1, 2))
        return features, self.head(features)
