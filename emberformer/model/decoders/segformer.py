"""SegFormer's head on a pyramid of the token grid."""

from __future__ import annotations

import json
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from transformers import SegformerConfig
from transformers.models.segformer.modeling_segformer import SegformerDecodeHead, SegformerPreTrainedModel

from emberformer.model.convolution import Norm
from emberformer.model.decoders.pretrained import PretrainedDecoder, with_group_norm


class SegformerHead(SegformerPreTrainedModel):
    """The head of a SegFormer without its classes."""

    _keys_to_ignore_on_load_unexpected = [r"^(?!decode_head\.)", r"classifier"]  # noqa: RUF012

    def __init__(self, config: SegformerConfig):
        super().__init__(config)
        self.decode_head = SegformerDecodeHead(config)
        self.decode_head.classifier = nn.Identity()  # type: ignore[assignment]
        self.post_init()


class TokenPyramid(nn.Module):
    """Maps of 4, 2, 1 and 1/2 cells on a side of a patch, from tokens (Li et al. 2022, arXiv:2203.16527).

    With patches of 14 or 16 pixels these are the resolutions of a convolutional encoder: every 4, 8, 16 and 32 pixels.
    Each level ends with a LayerNorm over its channels, as the levels that SegFormer's head was trained on do.

    Args:
        d_model: length of a token.
        channels: of the four levels, the finest first.
    """

    def __init__(self, d_model: int, channels: Sequence[int]):
        super().__init__()
        self.levels = nn.ModuleList(
            (
                nn.Sequential(
                    nn.ConvTranspose2d(d_model, d_model // 2, 2, stride=2),
                    nn.GELU(),
                    nn.ConvTranspose2d(d_model // 2, channels[0], 2, stride=2),
                ),
                nn.ConvTranspose2d(d_model, channels[1], 2, stride=2),
                nn.Conv2d(d_model, channels[2], 1),
                nn.Conv2d(d_model, channels[3], 3, stride=2, padding=1),
            )
        )
        self.norms = nn.ModuleList(nn.LayerNorm(length) for length in channels)

    def forward(self, tokens: Float[Tensor, "B Gy Gx D"]) -> tuple[Tensor, ...]:
        """The four maps [B C h w], the finest first."""
        x = tokens.permute(0, 3, 1, 2)
        levels = zip(self.levels, self.norms, strict=True)
        return tuple(norm(level(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for level, norm in levels)


class SegformerDecoder(PretrainedDecoder):
    """A pyramid of the tokens, and SegFormer's head on it (Xie et al. 2021, arXiv:2105.15203).

    Args:
        d_model: length of a token.
        norm: 'group' or 'batch' in an untrained head; a published one has the BatchNorm that it was trained with.
        config: `architecture` of the published weights; None: the head of SegFormer-b0, untrained.
    """

    finer = 4
    part: SegformerHead

    def __init__(self, d_model: int, norm: Norm = "group", config: str | None = None):
        super().__init__()
        sizes = SegformerConfig.from_dict(json.loads(config)) if config else SegformerConfig()
        self.channels = sizes.decoder_hidden_size
        self.pyramid = TokenPyramid(d_model, sizes.hidden_sizes)
        self.part = SegformerHead(sizes)
        if config is None and norm == "group":
            with_group_norm(self.part)
        if hasattr(self.part.decode_head, "linear_projections"):  # published as linear_c
            self.renamed = {"decode_head.linear_c": "decode_head.linear_projections"}
        self.head = nn.Conv2d(self.channels, 1, 1)

    def forward(
        self, tokens: Float[Tensor, "B Gy Gx D"], layers: Float[Tensor, "B L Gy Gx F"] | None = None
    ) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B 1 h w"]]:
        """Decoded features and logits, four cells on a side of a patch."""
        features = self.part.decode_head(self.pyramid(tokens))
        return features, self.head(features)
