"""The decoder: layers in which queries look at the map and at each other, and each of which moves their boxes.

A layer is one of transformers: LW-DETR's, which looks at a few points of each level (deformable attention,
arXiv:2010.04159) and keeps the groups of training apart, or DETR's, which looks at every cell. No weight is shared by
two layers. The map is projected to values once a layer, however many queries and groups ask.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.models.detr.configuration_detr import DetrConfig
from transformers.models.detr.modeling_detr import DetrDecoderLayer
from transformers.models.lw_detr.configuration_lw_detr import LwDetrConfig, LwDetrViTConfig
from transformers.models.lw_detr.modeling_lw_detr import (
    LwDetrDecoder,
    LwDetrMLPPredictionHead,
    encode_sinusoidal_position_embedding,
)

from emberformer.detection.pyramid import FeatureMap
from emberformer.detection.queries import NEVER, Heads, Predictions, Queries
from emberformer.detection_settings import DetectionSettings

WIDENED = 4  # width of a layer's MLP, times that of the queries


def lw_detr_config(of: DetectionSettings) -> LwDetrConfig:
    """What LW-DETR's parts are told."""
    one_map = LwDetrViTConfig(hidden_size=of.d_model, num_hidden_layers=1, out_indices=[1])  # type: ignore[call-arg]
    return LwDetrConfig(
        backbone_config=one_map,
        projector_scale_factors=list(of.scales),
        c2f_num_blocks=1,
        d_model=of.d_model,
        decoder_layers=of.layers,
        decoder_ffn_dim=WIDENED * of.d_model,
        decoder_self_attention_heads=of.heads,
        decoder_cross_attention_heads=of.heads,
        decoder_n_points=of.points,
        num_queries=of.queries,
        group_detr=of.groups,
        dropout=of.dropout,
        attn_implementation="sdpa",  # type: ignore[call-arg]
    )


class DeformableLayers(nn.Module):
    """LW-DETR's decoder layers."""

    def __init__(self, of: DetectionSettings, config: LwDetrConfig):
        super().__init__()
        self.layers = LwDetrDecoder(config).layers  # built as a whole, which initialises its weights

    def forward(self, number: int, cells: FeatureMap, queries: Queries, position: Tensor, values: Tensor) -> Tensor:
        """What the queries know after one layer: [B Q d]."""
        shapes = torch.tensor(cells.shapes, device=values.device)
        first = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
        return self.layers[number](
            queries.hidden,
            encoder_hidden_states=values,
            encoder_attention_mask=cells.real,
            position_embeddings=position,
            reference_points=queries.boxes[:, :, None].expand(-1, -1, len(shapes), -1),
            spatial_shapes=shapes,
            spatial_shapes_list=cells.shapes,
            level_start_index=first,
        )


class StandardLayers(nn.Module):
    """DETR's decoder layers; the groups of training are windows of their own."""

    def __init__(self, of: DetectionSettings, config: LwDetrConfig):
        super().__init__()
        self.groups, self.d_model = of.groups, of.d_model
        told = DetrConfig(
            d_model=of.d_model,
            decoder_layers=of.layers,
            decoder_attention_heads=of.heads,
            decoder_ffn_dim=WIDENED * of.d_model,
            dropout=of.dropout,
            attn_implementation="sdpa",  # type: ignore[call-arg]
        )
        self.layers = nn.ModuleList(DetrDecoderLayer(told) for _ in range(of.layers))

    def forward(self, number: int, cells: FeatureMap, queries: Queries, position: Tensor, values: Tensor) -> Tensor:
        """What the queries know after one layer: [B Q d]."""
        groups = self.groups if self.training else 1
        windows = len(values)

        def apart(of: Tensor) -> Tensor:
            return of.unflatten(1, (groups, -1)).flatten(0, 1)

        def each(of: Tensor) -> Tensor:
            return of.repeat_interleave(groups, 0)

        place = encode_sinusoidal_position_embedding(cells.anchors[:, :2], self.d_model // 2)
        seen = torch.zeros(cells.real.shape, device=values.device).masked_fill(~cells.real, -torch.inf)
        known = self.layers[number](
            apart(queries.hidden),
            object_queries_position_embeddings=apart(position),
            encoder_hidden_states=each(values),
            spatial_position_embeddings=place[None].to(values.dtype),
            encoder_attention_mask=each(seen[:, None, None]),
        )
        return known.unflatten(0, (windows, groups)).flatten(1, 2)


class Decoder(nn.Module):
    """All layers with their heads.

    Args:
        of: size and kind.
        config: of LW-DETR.
        categories: number of them.
    """

    def __init__(self, of: DetectionSettings, config: LwDetrConfig, categories: int):
        super().__init__()
        self.d_model = of.d_model
        self.layers = (DeformableLayers if of.decoder == "deformable" else StandardLayers)(of, config)
        self.position = LwDetrMLPPredictionHead(2 * of.d_model, of.d_model, of.d_model, 2)
        levels = len(of.scales) if of.level_heads else 1
        self.heads = nn.ModuleList(Heads(of.d_model, categories, levels) for _ in range(of.layers))

    def __len__(self) -> int:
        return len(self.heads)

    def forward(
        self, number: int, cells: FeatureMap, queries: Queries, values: Tensor | None = None
    ) -> tuple[Queries, Predictions]:
        """One layer: the queries after it, and what they tell.

        Args:
            number: of the layer, from 0.
            cells: the map.
            queries: before the layer.
            values: [B S d] that the layer looks at; None: the map's cells.
        """
        sines = encode_sinusoidal_position_embedding(queries.boxes, self.d_model // 2)
        looked_at = cells.cells if values is None else values
        hidden = self.layers(number, cells, queries, self.position(sines), looked_at)
        told: Predictions = self.heads[number](hidden, queries.boxes, queries.level)
        told = Predictions(told.logits.masked_fill(~queries.real[..., None], NEVER), told.boxes)
        return Queries(hidden, told.boxes.detach(), queries.level, queries.real), told
