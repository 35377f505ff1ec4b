"""Small models of the kinds whose decoders are published, as if they had been trained."""

import torch
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    SamConfig,
    SamModel,
    SegformerConfig,
    SegformerForSemanticSegmentation,
)

SEGFORMER = {
    "depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2],
    "decoder_hidden_size": 16, "num_labels": 5,
}  # fmt: skip
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"}
SAM = {
    "vision_config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "output_channels": 32,
                      "image_size": 64, "num_pos_feats": 16, "global_attn_indexes": [0]},
    "prompt_encoder_config": {"hidden_size": 32, "image_size": 64},
    "mask_decoder_config": {"hidden_size": 32, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
}  # fmt: skip


def published(kind: str) -> torch.nn.Module:
    torch.manual_seed(7)
    model = {
        "segformer": lambda: SegformerForSemanticSegmentation(SegformerConfig(**SEGFORMER)),
        "resnet_unet": lambda: ResNetForImageClassification(ResNetConfig(**RESNET)),
        "sam": lambda: SamModel(SamConfig(**SAM)),
    }[kind]()
    for name, buffer in model.named_buffers():  # as if it had been trained
        if name.endswith("running_mean"):
            buffer.normal_()
    return model
