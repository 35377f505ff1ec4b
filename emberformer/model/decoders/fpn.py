"""Feature pyramid from the backbone's own layers: early blocks see fine shapes, late ones the whole."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from emberformer.model.convolution import Convolution, Norm, doubled
from emberformer.model.decoders.decoder import SpatialDecoder

LEVELS = 3  # twice the patch grid's resolution, the patch grid, half of it


class FeaturePyramidDecoder(SpatialDecoder):
    """Lateral maps of cached layers on the way from coarse to fine (Lin et al. 2017, arXiv:1612.03144).

    A vision transformer has one resolution, so the pyramid is made: maps of early blocks are enlarged, those of late
    ones shrunk (as in Ranftl et al. 2021, arXiv:2103.13413), each by a convolution that learns how. The tokens that
    have looked back enter at the grid's own resolution and, for the wider view, at half of it. Few layers leave the
    coarse levels to these tokens.

    Args:
        d_model: length of a token.
        features: length of a cached token.
        layers: cached layers, L >= 1, from early to late.
        channels: channels of the pyramid; half as many at its fine end.
        norm: 'group' or 'batch'.
    """

    finer = 2
    takes_layers = True

    def __init__(self, d_model: int, features: int, layers: int, channels: int, norm: Norm = "group"):
        super().__init__()
        self.channels = channels // 2
        self.level_of = [number * LEVELS // layers for number in range(layers)]
        self.norms = nn.ModuleList(nn.LayerNorm(features) for _ in range(layers))
        self.laterals = nn.ModuleList(nn.Linear(features, channels) for _ in range(layers))
        self.shrink = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1) for level in self.level_of if level == LEVELS - 1
        )
        self.enlarge = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.tokens = nn.Linear(d_model, channels)
        self.tokens_shrunk = nn.Conv2d(d_model, channels, 3, stride=2, padding=1)
        self.at_half = Convolution(channels, channels, norm=norm)
        self.at_grid = Convolution(channels, channels, norm=norm)
        self.at_double = Convolution(channels, self.channels, norm=norm)
        self.head = nn.Conv2d(self.channels, 1, 1)

    def forward(
        self, tokens: Float[Tensor, "B Gy Gx D"], layers: Float[Tensor, "B L Gy Gx F"] | None = None
    ) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B 1 h w"]]:
        """Decoded features and logits, two cells on a side of a patch."""
        assert layers is not None, "inputs name frame_layers"
        fine, grid, coarse = self._laterals(layers)
        of_tokens = self.tokens(tokens).permute(0, 3, 1, 2)
        x = self.at_half(self.tokens_shrunk(tokens.permute(0, 3, 1, 2)) + coarse)
        size = (tokens.shape[1], tokens.shape[2])
        x = self.at_grid(doubled(x, size) + of_tokens + grid)
        features = self.at_double(doubled(x, (2 * size[0], 2 * size[1])) + self.enlarge(fine))
        return features, self.head(features)

    def _laterals(self, layers: Float[Tensor, "B L Gy Gx F"]) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """Sum of the layers' maps of each level; the finest still on the patch grid, where it is cheapest to add."""
        sums: list[Tensor | float] = [0.0] * LEVELS
        shrink = iter(self.shrink)
        steps = zip(self.level_of, self.norms, self.laterals, strict=True)
        for number, (level, norm, linear) in enumerate(steps):
            lateral = linear(norm(layers[:, number].to(self.head.weight.dtype))).permute(0, 3, 1, 2)
            sums[level] = sums[level] + (next(shrink)(lateral) if level == LEVELS - 1 else lateral)
        fine, grid, coarse = sums
        assert isinstance(fine, Tensor), "the first layer is of the finest level"
        return fine, grid, coarse
