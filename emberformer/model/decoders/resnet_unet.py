"""UNet whose way down is a ResNet."""

from __future__ import annotations

import json

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import ResNetConfig
from transformers.models.resnet.modeling_resnet import ResNetEncoder, ResNetPreTrainedModel

from emberformer.model.convolution import Convolution, Norm, doubled, norm_of
from emberformer.model.decoders.pretrained import PretrainedDecoder, with_group_norm


class ResNetStages(ResNetPreTrainedModel):
    """The four stages of a ResNet, without the stem before them and the classes after them."""

    _keys_to_ignore_on_load_unexpected = [r"embedder\.", r"classifier\."]  # noqa: RUF012

    def __init__(self, config: ResNetConfig):
        super().__init__(config)
        self.encoder = ResNetEncoder(config)
        self.post_init()


class ResNetUNetDecoder(PretrainedDecoder):
    """A ResNet (He et al. 2016, arXiv:1512.03385) down from two cells a patch to a quarter of one, and up with skips.

    A ResNet's stem turns an image into a map of features of every fourth pixel. Tokens, unfolded to 2 x 2 cells, are
    features of every seventh or eighth pixel already, so they go to the first stage and the stem is left out. (Cells
    of four pixels would be closer to what published stages know, at four times the cost.)

    Args:
        d_model: length of a token.
        channels: channels after the first step up; half as many from the second on.
        norm: 'group' or 'batch'; published stages have the BatchNorm that they were trained with.
        config: `architecture` of the published weights; None: a ResNet-34, untrained.
    """

    finer = 2
    part: ResNetStages

    def __init__(self, d_model: int, channels: int, norm: Norm = "group", config: str | None = None):
        super().__init__()
        sizes = ResNetConfig(layer_type="basic", depths=[3, 4, 6, 3], hidden_sizes=[64, 128, 256, 512])
        sizes = ResNetConfig.from_dict(json.loads(config)) if config else sizes
        self.channels = channels // 2
        self.unfold = nn.ConvTranspose2d(d_model, sizes.embedding_size, 2, stride=2, bias=False)
        self.unfolded = nn.Sequential(norm_of(sizes.embedding_size, norm), nn.ReLU())
        self.part = ResNetStages(sizes)
        if config is None and norm == "group":
            with_group_norm(self.part)
        fine, half, quarter, eighth = sizes.hidden_sizes  # type: ignore[misc]
        self.up = nn.ModuleList(
            Convolution(inside, outside, norm=norm)
            for inside, outside in (
                (eighth + quarter, channels),
                (channels + half, self.channels),
                (self.channels + fine, self.channels),
            )
        )
        self.head = nn.Conv2d(self.channels, 1, 1)

    def forward(
        self, tokens: Float[Tensor, "B Gy Gx D"], layers: Float[Tensor, "B L Gy Gx F"] | None = None
    ) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B 1 h w"]]:
        """Decoded features and logits, two cells on a side of a patch."""
        x = self.unfolded(self.unfold(tokens.permute(0, 3, 1, 2)))
        skips = []
        for stage in self.part.encoder.stages:
            x = stage(x)
            skips.append(x)
        for up, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            x = up(torch.cat([doubled(x, (skip.shape[2], skip.shape[3])), skip], 1))
        return x, self.head(x)
