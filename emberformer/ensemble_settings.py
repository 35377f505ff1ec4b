"""Settings of the ensemble: the generator, its training, and how futures are drawn from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from emberformer.errors import InputError
from emberformer.stage import GradientClip, Heads, Stage, Warmup, WeightDecay

Rival = Literal["threshold", "bernoulli", "correlated", "dropout", "deep"]


class EnsembleSettings(Stage):
    """A flow-matching diffusion transformer over arrival times (docs/ensemble.md)."""

    # Keys that say how members are drawn, and nothing of what is trained
    DRAWING: ClassVar[tuple[str, ...]] = (
        "members", "steps", "solver", "context_scale", "dino_scale", "guidance", "seed", "rivals",
    )  # fmt: skip

    leads: int = Field(default=1, ge=1, description="coming frames whose burned areas a member tells together")
    # The network
    side: int = Field(default=14, ge=2, description="pixels on a side of a token; it divides a patch of the features")
    d_model: int = Field(default=128, ge=8, description="length of a token")
    depth: int = Field(default=4, ge=1, description="blocks")
    heads: Heads = 4
    adaln: Literal[6, 9] = Field(default=9, description="vectors that modulate a block: 6, or 9 with gates")
    inject: Literal["cross", "add", "both"] = Field(
        default="both", description="how patches reach the field: by cross-attention, added at their place, or both"
    )
    patches: bool = Field(default=True, description="false: of the cached features the CLS token alone")
    patch_bias: float | None = Field(
        default=None,
        description="added to the scores of the patches, and learned from there; -10 lets a warm start without patches "
        "begin as it was",
    )
    mask_channel: bool = Field(
        default=True, description="false: the newest burned area is told by the cached features alone"
    )
    prior: bool = Field(
        default=True,
        description="start from the forecast of the last phase's network, which is told to every pixel and not trained "
        "further; its `lead_times` must reach as far as `leads`",
    )
    predicts: Literal["levels", "field", "velocity"] = Field(
        default="levels",
        description="levels: how likely each value of the field is, beginning with what the prior and the noise say",
    )
    refinement_channels: int = Field(
        default=16, ge=4, multiple_of=4, description="width of the convolutions at full resolution"
    )
    text: dict[str, Path] = Field(
        default={}, description="data set -> Zarr store of text embeddings a fire (docs/ensemble.md); empty: no text"
    )
    # Conditions that training leaves out
    unconditional: float = Field(default=0.10, ge=0, le=1, description="share of samples told neither")
    context_only: float = Field(default=0.30, ge=0, le=1, description="share that is told weather and text alone")
    dino_only: float = Field(default=0.05, ge=0, le=1, description="share that is told the cached features alone")
    # Training
    time_shift: float = Field(default=6.0, gt=0, description="above 1 times near the noise are learned and drawn more")
    shared_noise: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="part of the noise that all pixels share of which the prior does not know whether they burn: their "
        "members are correlated from the start, as the rival's `correlated` are",
    )
    alignment: float = Field(
        default=0.0, ge=0, description="weight of aligning the middle block to the cached features of the frame to come"
    )
    warm_start: Path | None = Field(
        default=None, description="checkpoint of an ensemble to begin from, as far as it fits; null: begin untrained"
    )
    epochs: int = Field(default=40, ge=1, description="all of them; the best by validation is kept")
    batch_size: int = Field(default=8, ge=1, description="steps a batch")
    learning_rate: float = Field(default=1e-3, gt=0, description="the highest; see `warmup`")
    weight_decay: WeightDecay = 1e-2
    warmup: Warmup = 0.05
    gradient_clip: GradientClip = 1.0
    average: float = Field(
        default=0.99, ge=0, lt=1, description="of the weights' exponential average, by which futures are drawn"
    )
    steps_per_fire: int | None = Field(default=6, ge=1, description="of each fire in an epoch; null: all")
    validation_steps_per_fire: int | None = Field(default=4, ge=1, description="of each fire after an epoch; null: all")
    # Drawing
    members: int = Field(default=16, ge=2, description="futures drawn from a frame")
    steps: int = Field(default=12, ge=1, description="of the integration from noise to a future")
    solver: Literal["euler", "heun"] = Field(
        default="euler", description="of the integration: one look at the network a step, or two (heun)"
    )
    context_scale: float = Field(default=1.0, description="guidance by weather and text; 1: as learned")
    dino_scale: float = Field(default=1.0, description="guidance by the cached features; 1: as learned")
    guidance: Literal["nested", "additive"] = Field(
        default="nested",
        description="how both scales work together: nested: that of weather and text on top of the features; "
        "additive: each by itself, as if the two were independent, which at no scale is as learned",
    )
    seed: int = Field(default=0, description="of the members")
    rivals: tuple[Rival, ...] = Field(
        default=("threshold", "bernoulli", "correlated"),
        description="ensembles of the network's own forecasts that this one is compared with: one mask, independent "
        "pixels, noise that is correlated as fits the validation fires; passes with dropout; all seeds (deep)",
    )

    @model_validator(mode="after")
    def _it_fits(self):
        if self.d_model % self.heads:
            raise ValueError(f"d_model {self.d_model} must be divisible by heads {self.heads}")
        if (told := self.unconditional + self.context_only + self.dino_only) > 1:
            raise ValueError(f"unconditional, context_only and dino_only are {told} together; at most 1")
        if not self.patches and (self.patch_bias is not None or self.alignment):
            raise ValueError("patch_bias and alignment need patches: true")
        if self.prior and not self.mask_channel:
            raise ValueError("prior: true tells the newest burned area; with mask_channel: false set prior: false")
        return self

    @property
    def draws_as_learned(self) -> bool:
        """Whether what is drawn has the learned distribution, so that a share of members is a probability.

        Additive guidance never has: at scales of 1 it adds what the two conditions do each by itself.
        """
        return self.guidance == "nested" and self.context_scale == self.dino_scale == 1

    @property
    def drawn_as_learned(self) -> EnsembleSettings:
        """The same without guidance."""
        return self.model_copy(update={"guidance": "nested", "context_scale": 1.0, "dino_scale": 1.0})

    @property
    def drawing(self) -> dict[str, Any]:
        """What decides the members of one trained ensemble."""
        return self.model_dump(mode="json", include=set(self.DRAWING) - {"rivals"})


def require_one_drawing(ensembles: Iterable[tuple[str, str, EnsembleSettings]], where: object) -> None:
    """Refuse ensembles that are one network drawn in several ways: their members would lie in one store.

    Args:
        ensembles: of each its method, the name of its folder, and its settings.
        where: that says so.

    Raises:
        InputError: two of one folder are drawn differently.
    """
    first: dict[str, tuple[str, EnsembleSettings]] = {}
    for method, folder, of in ensembles:
        known, drawn = first.setdefault(folder, (method, of))
        if differing := [key for key, value in of.drawing.items() if drawn.drawing[key] != value]:
            raise InputError(
                where, f"{known} and {method}, one ensemble that is drawn with other {', '.join(differing)}",
                "one way to draw an ensemble in a configuration, for its members lie in one store",
                "draw the second by a configuration of its own, with another `results`, or the same "
                f"{', '.join(differing)} in both",
            )  # fmt: skip
