"""The mask decoder of Segment Anything on the token grid."""

from __future__ import annotations

import json

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import SamConfig, SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPositionalEmbedding, SamPreTrainedModel

from emberformer.model.decoders.pretrained import PretrainedDecoder

PROMPTS = 4  # learned tokens in place of points and boxes that a user would give
SIDE = 64  # cells on a side of the grid that published positions are measured in


class MaskDecoderPart(SamPreTrainedModel):
    """SAM's mask decoder and its code of positions, which does not train; without the forecast of its own quality."""

    _keys_to_ignore_on_load_unexpected = [r"^(vision_encoder|prompt_encoder)\.", r"iou_prediction_head"]  # noqa: RUF012

    def __init__(self, config: SamConfig):
        super().__init__(config)
        sizes = config.mask_decoder_config
        assert isinstance(sizes, SamMaskDecoderConfig), "a configuration of the whole model"
        sizes._attn_implementation = config._attn_implementation
        self.shared_image_embedding = SamPositionalEmbedding(config.vision_config).requires_grad_(False)
        self.mask_decoder = SamMaskDecoder(sizes)
        del self.mask_decoder.iou_prediction_head
        self.post_init()


class SamDecoder(PretrainedDecoder):
    """Mask tokens and learned prompts meet the tokens of the grid in both directions (Kirillov et al. 2023,
    arXiv:2304.02643).

    The first mask is the forecast; the further ones, which SAM keeps for ambiguous prompts, are features beside the
    enlarged map. Positions count cells and not shares of the map, so that a crop and a whole frame are coded alike.

    Args:
        d_model: length of a token.
        config: `architecture` of the published weights; None: SAM's own sizes, untrained.
    """

    finer = 4
    part: MaskDecoderPart

    def __init__(self, d_model: int, config: str | None = None):
        super().__init__()
        self.part = MaskDecoderPart(SamConfig.from_dict(json.loads(config)) if config else SamConfig())
        width = self.part.mask_decoder.hidden_size
        self.channels = width // 8 + self.part.mask_decoder.num_multimask_outputs
        self.project = nn.Sequential(nn.Linear(d_model, width), nn.LayerNorm(width))
        self.prompts = nn.Parameter(0.02 * torch.randn(PROMPTS, width))
        nn.init.normal_(self.part.shared_image_embedding.positional_embedding)  # as published: a wave or two a map

    def forward(
        self, tokens: Float[Tensor, "B Gy Gx D"], layers: Float[Tensor, "B L Gy Gx F"] | None = None
    ) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B 1 h w"]]:
        """Decoded features and logits, four cells on a side of a patch."""
        batch, rows, columns, _ = tokens.shape
        decoder = self.part.mask_decoder
        image = self.project(tokens).permute(0, 3, 1, 2)
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight, self.prompts])
        queries, cells = decoder.transformer(
            point_embeddings=own.expand(batch, 1, -1, -1),
            image_embeddings=image,
            image_positional_embeddings=self._positions(rows, columns).expand(batch, -1, -1, -1),
            attention_similarity=None,
        )
        image = cells[:, 0].transpose(1, 2).unflatten(2, (rows, columns))
        image = decoder.activation(decoder.upscale_layer_norm(decoder.upscale_conv1(image)))
        image = decoder.activation(decoder.upscale_conv2(image))
        of_masks = queries[:, 0, 1 : 1 + decoder.num_mask_tokens].unbind(1)
        weights = [mlp(token) for mlp, token in zip(decoder.output_hypernetworks_mlps, of_masks, strict=True)]
        masks = torch.einsum("bmc,bchw->bmhw", torch.stack(weights, 1), image)
        return torch.cat([image, masks[:, 1:]], 1), masks[:, :1]

    def _positions(self, rows: int, columns: int) -> Float[Tensor, "1 C Gy Gx"]:
        """Codes of the cells' centres."""
        device = self.prompts.device
        y, x = ((torch.arange(side, device=device) + 0.5) / SIDE for side in (rows, columns))
        centres = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)
        return self.part.shared_image_embedding(centres).permute(2, 0, 1)[None]
