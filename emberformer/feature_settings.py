"""Settings of the features: which backbone sees what, and how its tokens are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from emberformer.stage import Stage


class FeatureSettings(Stage):
    """Everything that decides the numbers in a feature store, and nothing else."""

    weights: str = Field(
        default="facebook/dinov2-small",
        description="name on the Hub, a folder of `save_pretrained`, or 'random' (the real architecture, untrained)",
    )
    revision: str = Field(default="main", description="revision on the Hub")
    architecture: Literal[
        "dinov2-tiny", "dinov2-small", "dinov2-base", "dinov2-large",
        "dinov2-small-registers", "dinov2-base-registers", "dinov2-large-registers",
        "dinov3-small", "dinov3-base", "mae-base", "clip-base",
    ] = Field(
        default="dinov2-small", description="with `weights: random` only; dinov2-tiny is for tests and demos"
    )  # fmt: skip
    seed: int = Field(default=0, description="with `weights: random` only")
    scale: float = Field(
        default=1.0,
        gt=0,
        description="enlarges (>1) or shrinks (<1) the raster before DINOv2; patch / scale must be whole",
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="bfloat16",
        description="arithmetic of the backbone's matrix products (autocast); bfloat16: float32 on processors that can "
        "only emulate it (before AVX-512); float16 needs a CUDA device",
    )
    runtime: Literal["torch", "openvino"] = Field(
        default="torch", description="what runs the backbone; openvino is for CPUs: pip install 'emberformer[openvino]'"
    )
    layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(),
        description="blocks, counted from 1, whose tokens are stored too, before the final LayerNorm; rising",
    )
    dtype: Literal["float16", "float32", "bfloat16", "int8"] = Field(
        default="float16",
        description="how patch tokens are stored; int8: about a blank image's tokens, with one scale a token",
    )
    components: int | None = Field(
        default=None, ge=4, description="store this many principal components of the tokens instead of all features"
    )
    channel_map: Literal["bands", "triplets", "pca3", "learned"] = Field(
        default="bands", description="terrain's images: one a band; three bands an image; one by `channel_file`"
    )
    channel_file: Path | None = Field(
        default=None,
        description="linear map of pca3 (made by `emberformer features fit-channels`) or learned (written "
        "from your own training, docs/data-contract.md)",
    )
    window: int | None = Field(
        default=None,
        ge=14,
        description="side in pixels of a crop around where the fire began, not resized; null: the whole raster",
    )

    @model_validator(mode="after")
    def _a_map_has_its_file(self):
        if (self.channel_map in ("pca3", "learned")) != (self.channel_file is not None):
            raise ValueError("channel_file belongs to channel_map pca3 or learned: give both, or neither")
        return self

    @model_validator(mode="after")
    def _layers_rise(self):
        if list(self.layers) != sorted(set(self.layers)):
            raise ValueError(f"layers {self.layers} must rise, each block once")
        return self
