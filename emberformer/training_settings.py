"""Settings of the training: phase 1 from cached features, phases 2 and 3 with the backbone, distillation."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from emberformer.model_settings import LoraSettings, ModelSettings
from emberformer.stage import GradientClip, Precision, Stage, Warmup, WeightDecay

Phase = Literal["phase1", "phase2", "phase3", "student", "ensemble", "detection"]


class LossSettings(Stage):
    """Sum of the terms whose weight is not 0, over pixels that are known and not burned yet."""

    cross_entropy: float = Field(default=1.0, ge=0, description="weight of the binary cross-entropy")
    pos_weight: float | None = Field(
        default=1.0, gt=0, description="weight of burned pixels in the cross-entropy; null: by their share"
    )
    dice: float = Field(default=0.1, ge=0, description="weight of 1 - Dice")
    focal: float = Field(default=0.0, ge=0, description="weight of the focal loss")
    focal_gamma: float = Field(
        default=2.0,
        ge=0,
        description="the larger, the less a pixel counts that is told well already; 0: as much as any other",
    )
    focal_alpha: float = Field(default=0.7, ge=0, le=1, description="weight of burned pixels in the focal loss")
    tversky: float = Field(default=0.0, ge=0, description="weight of 1 - Tversky")
    tversky_alpha: float = Field(default=0.3, ge=0, le=1, description="weight of false alarms; of misses 1 - alpha")
    boundary: float = Field(
        default=0.0, ge=0, description="weight of a further cross-entropy on the pixels about the next perimeter"
    )
    boundary_pixels: int = Field(default=2, ge=1, description="half the width of that band")
    wind_direction: float = Field(
        default=0.0,
        ge=0,
        description="weight of a penalty on forecast growth that wind and slope speak against",
    )
    future_features: float = Field(
        default=0.0,
        ge=0,
        description="phase 1: weight of telling the next frame's cached features from the newest tokens "
        "(network: emberformer, fire: dino); 0: they are not told",
    )

    @model_validator(mode="after")
    def _something_is_asked_for(self):
        if not any((self.cross_entropy, self.dice, self.focal, self.tversky)):
            raise ValueError("one of cross_entropy, dice, focal and tversky must have a weight above 0")
        return self


class TrainingSettings(Stage):
    """Phase 1: everything but the backbone, from cached features."""

    epochs: int = Field(default=30, ge=1, description="at most; see `patience`")
    batch_size: int = Field(default=8, ge=1, description="steps a batch, over all processes that train together")
    learning_rate: float = Field(default=1e-3, gt=0, description="the highest; see `warmup`")
    decoder_learning_rate: float | None = Field(
        default=None, gt=0, description="of decoder and refinement; null: the same"
    )
    weight_decay: WeightDecay = 1e-4
    warmup: Warmup = 0.05
    gradient_clip: GradientClip = 1.0
    patience: int = Field(default=8, ge=1, description="epochs without a better validation new-fire AP before stopping")
    crop: int | None = Field(default=12, ge=2, description="side of the training crop in patches; null: whole frames")
    steps_per_fire: int | None = Field(
        default=None, ge=1, description="steps drawn from each fire in an epoch; null: all"
    )
    validation_steps_per_fire: int | None = Field(
        default=4, ge=1, description="steps of each fire scored after an epoch; null: all"
    )
    loss: LossSettings = Field(default=LossSettings(), description="weights of the loss's terms")
    flip: bool = Field(default=True, description="mirror and turn pixels, terrain angles and wind together")
    category_dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of training steps whose fuel codes are served as unknown, for ground of another fuel model",
    )
    rate_noise: float = Field(
        default=0.5,
        ge=0,
        description="how wrongly training tells the time of a step (standard deviation of its logarithm), so that a "
        "network that can (`model.rate_adjustment`) takes the fire's rate of spread from its past",
    )
    precision: Precision = "32-true"
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, description="one model a seed")

    def identity(self) -> dict[str, Any]:
        """What decides a trained network. A term of the loss that came later and is not asked for is no part of it."""
        told: dict[str, Any] = self.model_dump(mode="json") | {"seeds": []}
        if not self.loss.future_features:
            told["loss"] = {name: value for name, value in told["loss"].items() if name != "future_features"}
        return told


class FinetuningSettings(Stage):
    """Phases 2 and 3: from the best checkpoint of the phase before, with the backbone in training."""

    path: Literal["tail", "pixels"] = Field(
        default="tail",
        description="tail: the last `blocks` blocks of the frames' encoder, from cached hidden states (needs "
        "`features.layers` to hold the block before them); pixels: the backbone as a whole, from the images",
    )
    encoders: tuple[Literal["fire", "terrain"], ...] = Field(
        default=("fire",), min_length=1, description="encoders that train; the other stays frozen"
    )
    method: Literal["lora", "full"] = Field(default="lora", description="adapters, or the weights themselves")
    lora: LoraSettings = Field(default=LoraSettings(), description="the adapters, with `method: lora`")
    blocks: int | None = Field(
        default=2, ge=1, description="last blocks of the backbone that train; null: all (with `path: pixels`)"
    )
    epochs: int = Field(default=20, ge=1, description="at most; see `patience`")
    batch_size: int = Field(default=4, ge=1, description="steps a batch")
    learning_rate: float = Field(default=1e-5, gt=0, description="of fusion and temporal part")
    decoder_learning_rate: float | None = Field(
        default=None, gt=0, description="of decoder and refinement; null: the same"
    )
    backbone_learning_rate: float | None = Field(default=None, gt=0, description="of the backbone; null: the same")
    weight_decay: WeightDecay = 1e-4
    warmup: Warmup = 0.05
    gradient_clip: GradientClip = 1.0
    patience: int = Field(default=8, ge=1, description="epochs without a better validation new-fire AP before stopping")
    steps_per_fire: int | None = Field(
        default=None, ge=1, description="steps drawn from each fire in an epoch; null: all"
    )
    precision: Precision = "32-true"
    checkpointing: bool = Field(default=False, description="recompute the backbone's activations in the backward pass")

    @model_validator(mode="after")
    def _a_tail_is_of_frames(self):
        if self.path == "tail" and (self.encoders != ("fire",) or self.blocks is None):
            raise ValueError("path: tail trains the last `blocks` blocks of the frames' encoder; use path: pixels")
        if len(set(self.encoders)) < len(self.encoders):
            raise ValueError("encoders: each once")
        if self.method == "lora" and self.lora.adaptive and (len(self.encoders) > 1 or self.lora.rank_pattern):
            raise ValueError("lora.adaptive gives out ranks itself, to one encoder: no rank_pattern, one encoder")
        return self


class Phase3Settings(FinetuningSettings):
    """Phase 3 goes on from a backbone that is tuned already: at half the rate, and held harder (more weight decay)."""

    learning_rate: float = Field(default=5e-6, gt=0, description="of fusion and temporal part")
    weight_decay: WeightDecay = 1e-3


class DistillationSettings(Stage):
    """A small network learns the forecasts of the last phase (Hinton et al. 2015, arXiv:1503.02531)."""

    model: ModelSettings = Field(
        default=ModelSettings(network="unet", channels=16),
        description="the small network; it may do without features, and has the history of its teacher, and its "
        "lead times if it is an emberformer",
    )
    temperature: float = Field(
        default=2.0,
        gt=0,
        description="by which both logits are divided; the higher, the more the teacher's small probabilities count",
    )
    weight: float = Field(
        default=0.7, ge=0, le=1, description="of the teacher's forecast; 1 - weight of what was observed"
    )
    epochs: int = Field(default=16, ge=1, description="at most; `training.patience` holds here too")
    learning_rate: float = Field(default=1e-3, gt=0, description="the highest; see `training.warmup`")

    @model_validator(mode="after")
    def _a_student_begins_untrained(self):
        if self.model.decoder_weights != "random":
            raise ValueError("the student begins untrained: leave decoder_weights out of distillation.model")
        return self


class LoggingSettings(Stage):
    """What is written about a training beside its results; nothing here changes a number."""

    wandb: Literal["offline", "online", "disabled"] = Field(
        default="offline", description="Weights & Biases: a local folder, the service, or nothing"
    )
    project: str = Field(default="emberformer", description="of Weights & Biases")
    entity: str | None = Field(default=None, description="account or team of Weights & Biases; null: your own")
    tags: tuple[str, ...] = Field(
        default=(), description="of the runs in Weights & Biases; network, phase and data sets are added"
    )
    watch: bool = Field(default=False, description="histograms of gradients and weights (W&B)")
    previews: int = Field(
        default=4, ge=0, description="forecasts of validation fires drawn after an epoch of a deterministic network"
    )
    artifact: bool = Field(default=False, description="upload the finished model (W&B)")
