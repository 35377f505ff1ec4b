"""EmberFormer's inside by its settings: which tokens of terrain, which fusion, how the past enters."""

from __future__ import annotations

from emberformer.model.cross_patch import CrossPatch
from emberformer.model.fusion import AddNormFusion, ConcatFusion, CrossAttentionFusion, Fusion
from emberformer.model.patch_tokens import BandMix, PatchLinear, PixelStem
from emberformer.model.temporal import NewestMoment, PooledPast, Temporal, TemporalTransformer
from emberformer.model_settings import ModelSettings


def build_terrain(
    settings: ModelSettings, features: int, channels: int, ground_channels: int, pixels: int
) -> BandMix | PixelStem | PatchLinear | None:
    """Tokens of the terrain; arguments as of `build_emberformer`, and `ground_channels`: of the ground's pixels."""
    if settings.terrain == "dino":
        return BandMix(channels, features)
    if settings.terrain == "conv":
        return PixelStem(ground_channels, features, pixels)
    return PatchLinear(ground_channels, features, pixels) if settings.terrain == "linear" else None


def build_fusion(settings: ModelSettings, features: int) -> Fusion:
    """Fusion of tokens of length D."""
    of_terrain = None if settings.terrain == "none" else features
    if settings.fusion == "cross_attention":
        return CrossAttentionFusion(features, of_terrain, settings.d_model, settings.heads)
    if settings.fusion == "add_norm":
        return AddNormFusion(features, of_terrain, settings.d_model)
    return ConcatFusion(features, of_terrain, settings.d_model, settings.d_wind)


def build_temporal(settings: ModelSettings) -> Temporal:
    """How the past enters."""
    width, dropout = settings.feedforward, settings.dropout
    if settings.temporal == "pooled":
        return PooledPast(settings.d_model, settings.layers, width, dropout)
    if settings.temporal == "last_frame":
        return NewestMoment(settings.d_model, settings.layers, width, dropout)
    window = settings.attention_window if settings.temporal == "local" else None
    return TemporalTransformer(
        settings.d_model, settings.layers, settings.heads, width, dropout, window, settings.checkpointing
    )


def build_cross_patch(settings: ModelSettings) -> CrossPatch | None:
    """Attention between the newest tokens, or None."""
    if not settings.cross_patch_layers:
        return None
    return CrossPatch(
        settings.d_model, settings.cross_patch_layers, settings.heads, settings.feedforward, settings.dropout,
        settings.checkpointing,
    )  # fmt: skip
