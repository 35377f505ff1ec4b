# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false
"""The network on cached features as one would first write it: what EmberFormer must equal, and be faster than."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from emberformer.model.attention import AttentionBlock
from emberformer.model.decoders import Convolution
from emberformer.model.emberformer import EmberFormer
from emberformer.model.fusion import ConcatFusion
from emberformer.model.patch_tokens import BandMix
from emberformer.model.position import lag_encoding
from emberformer.model.refinement import Refinement


def plain_layer(block: AttentionBlock, dropout: float) -> nn.TransformerEncoderLayer:
    """PyTorch's own layer with the weights of one temporal block."""
    first, last = block.feedforward[1], block.feedforward[4]
    layer = nn.TransformerEncoderLayer(
        block.query.in_features, block.heads, first.out_features, dropout, "gelu", batch_first=True, norm_first=True
    )
    layer.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat([block.query.weight, block.key_value.weight]),
            "self_attn.in_proj_bias": torch.cat([block.query.bias, block.key_value.bias]),
            **{f"self_attn.out_proj.{name}": value for name, value in block.out.state_dict().items()},
            **{f"linear1.{name}": value for name, value in first.state_dict().items()},
            **{f"linear2.{name}": value for name, value in last.state_dict().items()},
            **{f"norm1.{name}": value for name, value in block.attention_norm.state_dict().items()},
            **{f"norm2.{name}": value for name, value in block.feedforward[0].state_dict().items()},
        }
    )
    return layer


class PlainStage2(nn.Module):
    """A copy of a network's weights, run plainly.

    Terrain and wind are repeated for every frame and concatenated before one `nn.Linear`; an `nn.TransformerEncoder`
    runs over every frame of every patch with a key padding mask, and its last token is taken; decoder and refinement
    keep every intermediate picture for the backward pass.

    Args:
        model: the network whose weights are copied; its settings must let the history act everywhere.
        dropout: of the encoder layers. PyTorch's layer drops in four places and EmberFormer's in two, so that only
            without dropout both compute the same.
    """

    def __init__(self, model: EmberFormer, dropout: float = 0.0):
        super().__init__()
        model = copy.deepcopy(model)
        fusion, bands = model.fusion, model.terrain
        assert isinstance(fusion, ConcatFusion), "a plain network concatenates"
        assert isinstance(bands, BandMix), "a plain network takes cached terrain"
        assert fusion.from_terrain is not None, "and fuses it"
        parts = [fusion.from_fire.weight, fusion.from_terrain.weight, fusion.from_wind.weight]
        whole = torch.cat(parts, 1).detach()
        self.bands, self.wind, self.fusion_norm = bands, fusion.wind, fusion.norm
        self.fuse = nn.Linear(whole.shape[1], whole.shape[0])
        self.fuse.load_state_dict({"weight": whole, "bias": fusion.from_fire.bias})
        layers = [plain_layer(block, dropout) for block in model.temporal.blocks]
        self.encoder = nn.TransformerEncoder(layers[0], len(layers), model.temporal.norm, enable_nested_tensor=False)
        self.encoder.layers = nn.ModuleList(layers)
        self.decoder_body, self.decoder_head = model.decoder.body, model.decoder.head
        self.refinement, self.tables = model.refinement, model.pixel_input.tables

    def forward(
        self,
        *,
        frame_patches: Float[Tensor, "B T Gy Gx D"],
        terrain_patches: Float[Tensor, "B C Gy Gx D"],
        wind: Float[Tensor, "B T 2"],
        valid_t: Bool[Tensor, "B T"],
        fire_pixels: Float[Tensor, "B 2 H W"],
        terrain_pixels: Float[Tensor, "B K H W"],
        categories: Int[Tensor, "B Q H W"],
    ) -> Float[Tensor, "B H W"]:
        """Logits; arguments as in `EmberFormer.forward`."""
        batch, history, rows, columns, _ = frame_patches.shape
        frame_patches, terrain_patches = frame_patches.float(), terrain_patches.float()
        terrain = torch.einsum("bcyxd,cd->byxd", terrain_patches, self.bands.gain)[:, None].expand_as(frame_patches)
        code = self.wind(wind)[:, :, None, None].expand(-1, -1, rows, columns, -1)
        tokens = functional.gelu(self.fusion_norm(self.fuse(torch.cat([frame_patches, terrain, code], -1))))
        tokens = tokens.permute(0, 2, 3, 1, 4).reshape(batch * rows * columns, history, -1)
        tokens = tokens + lag_encoding(history, tokens.shape[-1], tokens.device)
        padding = (~valid_t).repeat_interleave(rows * columns, 0)
        newest = self.encoder(tokens, src_key_padding_mask=padding)[:, -1].unflatten(0, (batch, rows, columns))
        features = newest.permute(0, 3, 1, 2)
        for layer in self.decoder_body:
            features = plain_convolution(layer, features)
        embedded = [table(categories[:, n]).permute(0, 3, 1, 2) for n, table in enumerate(self.tables)]
        everywhere = wind[:, -1, :, None, None].expand(-1, -1, *fire_pixels.shape[2:])
        pixels = torch.cat([fire_pixels, everywhere, terrain_pixels, *embedded], 1)
        return plain_refinement(self.refinement, features, self.decoder_head(features), pixels, wind[:, -1])


def plain_refinement(
    refinement: Refinement,
    features: Float[Tensor, "B C Gy Gx"],
    logits: Float[Tensor, "B 1 Gy Gx"],
    pixels: Float[Tensor, "B K H W"],
    wind: Float[Tensor, "B 2"],
) -> Float[Tensor, "B H W"]:
    """The refinement's layers one after another; the raster is whole patches."""
    cells, factor = functional.pixel_unshuffle(pixels, refinement.fine_factor), refinement.fine_factor
    # `pixel_unshuffle` puts the places of a cell within each channel, the network the channels within each place.
    cells = cells.unflatten(1, (-1, factor * factor)).transpose(1, 2).flatten(1, 2)
    fine = plain_convolution(refinement.stem, cells)
    coarse = functional.interpolate(features, scale_factor=refinement.coarse_factor, mode="bilinear")
    x = fine + refinement.join(coarse)
    code = refinement.wind(wind)
    for layer, gate in zip(refinement.body, refinement.gates, strict=True):
        scale, shift = gate.film(code)[:, :, None, None].chunk(2, 1)
        convolution, norm, _ = layer
        x = x + functional.relu(norm(convolution(x)) * (1 + scale) + shift)
    sharp = functional.pixel_shuffle(refinement.head(plain_convolution(refinement.last, x + fine)), factor)
    return (sharp + functional.interpolate(logits, size=pixels.shape[2:], mode="bilinear"))[:, 0]


def plain_convolution(layer: Convolution, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B K h w"]:
    """Convolution, GroupNorm and ReLU by PyTorch."""
    return functional.relu(layer[1](layer[0](x)))
