"""Settings of the study of foresight: how far ahead cached features can be predicted, and by what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from emberformer.stage import Heads, Stage, WeightDecay

Trained = Literal["linear", "mlp", "mlp_3x3", "transformer", "transformer_cross"]
Head = Literal["film_global", "film_spatial", "cross_attn", "token"]
Gap = Annotated[int, Field(ge=1)]


class ForesightSettings(Stage):
    """How predictable a fire is in the eyes of the backbone (docs/foresight.md)."""

    gaps: tuple[Gap, ...] = Field(default=(1, 2, 4, 6), min_length=1, description="frames ahead; rising")
    similarity_gaps: int = Field(default=8, ge=1, description="the longest gap of the table of similarity")
    fires: int | None = Field(
        default=200, ge=3, description="fires of each split, evenly spaced, that are held in memory; null: all"
    )
    windows_per_fire: int | None = Field(
        default=6, ge=1, description="first frames of each fire that are scored, the same for every gap; null: all"
    )
    target_layers: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(),
        description="blocks, among features.layers, whose tokens are predicted beside the last ones (DINO-Foresight)",
    )
    components: int = Field(
        default=128,
        ge=2,
        description="leading components of the standardised tokens that are predicted; the rest stays as it is",
    )
    neighbour_components: int = Field(default=32, ge=1, description="of the patches around a patch, for the ridge")
    history: int = Field(default=4, ge=1, description="newest frames that a transformer sees")
    trained: tuple[Trained, ...] = Field(
        default=("linear", "mlp", "mlp_3x3", "transformer", "transformer_cross"),
        description="predictors that learn by gradient descent, one network for all gaps",
    )
    without_wind: tuple[Trained, ...] = Field(
        default=("mlp_3x3", "transformer_cross"), description="of these, those trained a second time and told no wind"
    )
    head: Head = Field(
        default="film_global", description="how the coming wind and the gap enter: film_global, film_spatial ..."
    )
    grid_trunk: Trained = Field(default="mlp_3x3", description="predictor in which heads and targets are compared")
    loss: Literal["mse", "smooth_l1"] = Field(
        default="mse",
        description="mse is what is scored; smooth_l1 (beta 0.1) with 1 - cosine aims at the median of what may come",
    )
    d_model: int = Field(default=128, ge=8, description="width of a trunk, and length of a transformer's token")
    layers: int = Field(default=1, ge=1, description="blocks of a trunk")
    heads: Heads = 4
    crop: int = Field(default=7, ge=3, description="side in patches of the window about the fire that is trained on")
    batch_size: int = Field(default=16, ge=1, description="windows a batch")
    steps: int = Field(default=600, ge=1, description="of the optimiser")
    validations: int = Field(default=6, ge=1, description="times that validation looks for the best weights")
    learning_rate: float = Field(
        default=3e-3, gt=0, description="the highest; it rises over a twentieth of the steps and then falls"
    )
    weight_decay: WeightDecay = 1e-2
    penalties: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(1e-4, 1e-3, 1e-2, 1e-1),
        min_length=1,
        description="of the ridge, relative to the mean square of its inputs; chosen on validation",
    )
    cells: int = Field(default=4, ge=1, description="cells on a side of a patch that the mask decoder tells apart")
    pixel_rollout: bool = Field(
        default=False,
        description="compare with the forecasts in pixels of the network's first seed, from the frames that "
        "`forecast.every` leaves; `forecast.leads` must reach as far as `gaps`",
    )
    maps: int = Field(default=3, ge=1, description="test fires whose change is kept patch by patch")
    seed: int = Field(default=0, description="of the weights and of the windows drawn")

    @model_validator(mode="after")
    def _it_fits(self):
        if list(self.gaps) != sorted(set(self.gaps)):
            raise ValueError(f"gaps {self.gaps} must rise, each once")
        if self.d_model % self.heads:
            raise ValueError(f"d_model {self.d_model} must be divisible by heads {self.heads}")
        if self.neighbour_components > self.components:
            raise ValueError("neighbour_components: at most components")
        if unknown := set(self.without_wind) - set(self.trained):
            raise ValueError(f"without_wind: {', '.join(sorted(unknown))} is not among trained")
        return self
