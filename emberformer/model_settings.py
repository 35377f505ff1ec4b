"""Settings of the network: which one, and what it is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from emberformer.stage import Heads, Stage

Network = Literal[
    "emberformer", "token", "conv_head", "tiny_3d", "unet_grid", "unet", "res18_unet", "conv_lstm", "utae",
]  # fmt: skip


class ModelSettings(Stage):
    """EmberFormer (fusion, temporal part, decoder, refinement), or a rival that is trained in the same way."""

    network: Network = Field(
        default="emberformer",
        description="token: the temporal part on patch occupancy, terrain means and wind alone; the others are "
        "rivals on pixels (conv_head, tiny_3d, unet, res18_unet, conv_lstm, utae) or on patches (unet_grid)",
    )
    fire: Literal["dino", "stem"] = Field(
        default="dino", description="tokens of the frames: cached, or of a convolutional stem on pixels (no-DINO twin)"
    )
    terrain: Literal["dino", "conv", "linear", "none"] = Field(
        default="dino",
        description="tokens of the terrain: cached; of a convolutional stem on its pixels; a linear map of its pixels, "
        "patch by patch; or none at all, at full resolution neither",
    )
    wind: bool = Field(default=True, description="false: the network is not told the wind")
    fusion: Literal["concat", "cross_attention", "add_norm"] = Field(
        default="concat",
        description="how terrain and wind reach a frame's tokens: joined (concat), by attention to the terrain's "
        "patches and the wind (cross_attention), or as a sum without a nonlinearity (add_norm)",
    )
    temporal: Literal["transformer", "local", "pooled", "last_frame"] = Field(
        default="transformer",
        description="how the past enters: attention over all frames, over the newest `attention_window`, their "
        "mean, or not at all",
    )
    attention_window: int = Field(default=3, ge=1, description="frames that a frame looks back on, with `local`")
    cross_patch_layers: int = Field(
        default=0, ge=0, le=4, description="attention between patches after the temporal part"
    )
    decoder: Literal["minimal", "unet", "fpn", "segformer", "resnet_unet", "sam"] = Field(
        default="minimal", description="fpn needs `features.layers`: it takes the newest frame's tokens of these blocks"
    )
    decoder_weights: str = Field(
        default="random",
        description="of segformer, resnet_unet and sam: 'random', a name on the Hub, or a folder of `save_pretrained`",
    )
    decoder_freeze_epochs: int = Field(
        default=0, ge=0, description="first epochs in which what `decoder_weights` brought does not train"
    )
    upsampling: Literal["refinement", "nearest"] = Field(
        default="refinement",
        description="from patches to pixels; nearest: all pixels of a patch get its logit (network: token alone)",
    )
    norm: Literal["group", "batch"] = Field(
        default="group", description="in decoder and refinement; batch: for batches of 8 or more"
    )
    travel_time: bool = Field(
        default=True, description="the refinement also computes when fire arrives, by learned spread rates"
    )
    rate_adjustment: bool = Field(
        default=True, description="these rates are adjusted by how fast the fire has spread in the history"
    )
    token_size: int | None = Field(
        default=None, ge=2, description="pixels on a side of a stem's patch; null: the backbone's"
    )
    d_model: int = Field(default=256, ge=8, description="length of a token")
    d_wind: int = Field(default=32, ge=2, description="length of the wind's code")
    history: int = Field(default=6, ge=1, description="newest frames the model sees, T")
    lead_times: int = Field(
        default=1,
        ge=1,
        description="longest lead time, in frames, that the network forecasts directly; above 1, training draws one "
        "for each step (network: emberformer alone; any other forecasts several by rollout)",
    )
    layers: int = Field(default=4, ge=1, description="blocks of the temporal part")
    heads: Heads = 4
    feedforward: int = Field(default=1024, ge=8, description="width of the hidden layer of a block")
    dropout: float = Field(
        default=0.1, ge=0, lt=1, description="share of activations that a block drops while training"
    )
    decoder_channels: int = Field(
        default=128, ge=8, description="width of the decoder; segformer and sam have their own"
    )
    refinement_channels: int = Field(default=32, ge=4, description="width of the convolutions at full resolution")
    channels: int = Field(default=32, ge=8, multiple_of=8, description="width of a rival")
    reach: int | None = Field(
        default=2,
        ge=0,
        description="patches from the newest burned area within which a patch looks back along its history; null: all",
    )
    checkpointing: bool = Field(
        default=False,
        description="keep only the inputs of attention blocks for the backward pass: a tenth of their memory, "
        "a fifth more time",
    )

    @property
    def adjusts_rates(self) -> bool:
        """Whether there are rates to adjust, and a past to adjust them by."""
        rates = self.network in ("emberformer", "token") and self.travel_time
        return rates and self.rate_adjustment and self.history > 1 and self.temporal != "last_frame"

    @model_validator(mode="after")
    def _heads_divide(self):
        if self.d_model % self.heads:
            raise ValueError(f"d_model {self.d_model} must be a multiple of heads {self.heads}")
        return self

    @model_validator(mode="after")
    def _cached_tokens_have_their_size(self):
        cached = "dino" in (self.fire, self.terrain) or self.decoder == "fpn"
        if self.network == "emberformer" and self.token_size and cached:
            raise ValueError(
                "cached tokens have the backbone's patches: token_size needs fire: stem, and neither terrain: dino "
                "nor decoder: fpn"
            )
        if self.network == "token" and self.token_size:
            raise ValueError("network: token takes the patches of the feature store; features.scale changes their size")
        return self

    @model_validator(mode="after")
    def _lead_times_are_of_emberformer(self):
        if self.lead_times > 1 and self.network != "emberformer":
            raise ValueError(
                f"lead_times: {self.lead_times} needs network: emberformer; {self.network} forecasts one frame ahead, "
                "and several by rollout"
            )
        return self

    @model_validator(mode="after")
    def _upsampling_is_of_the_token_network(self):
        if self.upsampling == "nearest" and self.network != "token":
            raise ValueError("upsampling: nearest is of network: token")
        return self

    @model_validator(mode="after")
    def _the_decoder_takes_what_it_is_given(self):
        if self.decoder_weights != "random" and self.decoder not in ("segformer", "resnet_unet", "sam"):
            raise ValueError(f"decoder_weights: {self.decoder} has none; they are of segformer, resnet_unet and sam")
        if self.decoder_freeze_epochs and self.decoder_weights == "random":
            raise ValueError("decoder_freeze_epochs keeps what decoder_weights brings: name weights too")
        if self.decoder == "fpn" and self.fire != "dino":
            raise ValueError("decoder fpn takes the backbone's tokens of the newest frame: it needs fire: dino")
        return self


class LoraSettings(Stage):
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685), by the library peft."""

    rank: int = Field(default=8, ge=1, description="of the matrices beside a layer; of AdaLoRA the mean in the end")
    alpha: float = Field(default=16.0, gt=0, description="adapters count alpha / rank times")
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of an adapter's inputs that are dropped while training"
    )
    target_modules: tuple[str, ...] = Field(
        default=("query", "value"),
        min_length=1,
        description="linear layers by their name's end; fc1, fc2: the MLP",
    )
    rank_pattern: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default={}, description="another rank for some layers: regular expression of the name -> rank"
    )
    adaptive: bool = Field(
        default=False, description="AdaLoRA (Zhang et al. 2023, arXiv:2303.10512): ranks are given out while training"
    )
