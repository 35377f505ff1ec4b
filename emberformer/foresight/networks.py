"""Predictors that are trained: from a history of components to the change of the newest frame's.

The output layer begins at zero, so that every network begins as persistence, which has the identity within its reach
(X60). Components come in and their change goes out in units of their own deviation, or the first few would be all that
a network learns in a short training.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from emberformer.foresight.conditioning import Conditions, build_head
from emberformer.foresight_settings import ForesightSettings, Head, Trained
from emberformer.model.attention import FeedForward
from emberformer.model.cross_patch import CrossPatch
from emberformer.model.temporal import TemporalTransformer


class Linear(nn.Module):
    """An affine map of the newest patch, its terrain, and the mean wind to come, another for each gap.

    Args:
        scale: deviation of the components, K.
        static: terrain channels, S.
        outputs: deviation of the numbers that are predicted of a patch, Q.
        gaps: frames ahead.
        wind: false: no wind is told.
    """

    scale: Tensor
    outputs: Tensor

    def __init__(
        self, scale: Float[Tensor, " K"], static: int, outputs: Float[Tensor, " Q"], gaps: tuple[int, ...], wind: bool
    ):
        super().__init__()
        self.gaps, self.wind = gaps, wind
        self.register_buffer("scale", scale)
        self.register_buffer("outputs", outputs)
        self.out = nn.ModuleList(_zero(nn.Linear(len(scale) + static + 2, len(outputs))) for _ in gaps)

    def forward(
        self,
        patches: Float[Tensor, "B T Gy Gx K"],
        valid_t: Bool[Tensor, "B T"],
        wind: Float[Tensor, "B M 2"],
        static: Float[Tensor, "B Gy Gx S"],
        gap: int,
    ) -> Float[Tensor, "B Gy Gx Q"]:
        """As of `Network`."""
        moments = patches.shape[1]
        told = wind[:, moments : moments + gap].mean(1) * self.wind
        told = told[:, None, None].expand(-1, *static.shape[1:3], -1)
        x = torch.cat([patches[:, -1] / self.scale, static, told], -1)
        return self.outputs * self.out[self.gaps.index(gap)](x)


class Network(nn.Module):
    """Trunk, conditions and a zero output.

    Args:
        trunk: mlp: the newest patch; mlp_3x3: it and the patches around it; transformer: each patch along its history;
            transformer_cross: likewise, and then attention between all patches.
        head: how the conditions enter.
        scale: deviation of the components, K.
        static: terrain channels, S.
        outputs: deviation of the numbers that are predicted of a patch, Q.
        gaps: frames ahead.
        d_model: length of a token.
        layers: blocks of the trunk.
        heads: attention heads.
        wind: false: no wind is told.
    """

    scale: Tensor
    outputs: Tensor

    def __init__(
        self,
        *,
        trunk: Trained,
        head: Head,
        scale: Float[Tensor, " K"],
        static: int,
        outputs: Float[Tensor, " Q"],
        gaps: tuple[int, ...],
        d_model: int,
        layers: int,
        heads: int,
        wind: bool,
    ):
        super().__init__()
        self.gaps, self.wind = gaps, wind
        self.register_buffer("scale", scale)
        self.register_buffer("outputs", outputs)
        side = 3 if trunk == "mlp_3x3" else 1
        self.tokens = nn.Conv2d(len(scale), d_model, side, padding=side // 2)
        self.static = nn.Linear(static, d_model)
        self.past_wind = nn.Linear(2, d_model, bias=False)
        along = trunk.startswith("transformer")
        self.temporal = TemporalTransformer(d_model, layers, heads, 2 * d_model, 0.0) if along else None
        self.conditions = Conditions(d_model, gaps[-1], wind, steps=not head.startswith("film"))
        self.head = build_head(head, d_model, heads)
        self.mlp = nn.Sequential(*(FeedForward(d_model, 2 * d_model, 0.0) for _ in range(layers)))
        self.cross = CrossPatch(d_model, 1, heads, 2 * d_model, 0.0) if trunk == "transformer_cross" else None
        self.norm = nn.LayerNorm(d_model)
        self.out = nn.ModuleList(_zero(nn.Linear(d_model, len(outputs))) for _ in gaps)

    def forward(
        self,
        patches: Float[Tensor, "B T Gy Gx K"],
        valid_t: Bool[Tensor, "B T"],
        wind: Float[Tensor, "B M 2"],
        static: Float[Tensor, "B Gy Gx S"],
        gap: int,
    ) -> Float[Tensor, "B Gy Gx Q"]:
        """Change from the newest frame to the one `gap` frames later.

        Args:
            patches: components of the history, oldest first.
            valid_t: false on padding; the newest frame is real.
            wind: in units of 10 m/s, of the steps to each frame of the history, then of those to come.
            static: terrain.
            gap: frames ahead.
        """
        moments, grid = patches.shape[1], patches.shape[2:4]
        seen = moments if self.temporal is not None else 1
        x = self.tokens((patches[:, -seen:] / self.scale).flatten(0, 1).movedim(-1, 1))
        x = x.unflatten(0, (-1, seen)).flatten(3).permute(0, 3, 1, 2) + self.static(static).flatten(1, 2)[:, :, None]
        if self.temporal is not None:
            led = self.past_wind(wind[:, :moments] * self.wind)
            x = self.temporal(x + led[:, None], valid_t)
        else:
            x = x[:, :, 0]
        x = self.head(x, *self.conditions(wind[:, moments : moments + gap], wind[:, moments - 1]))
        x = self.mlp(x)
        if self.cross is not None:
            x = x + self.cross(x.unflatten(1, grid)).flatten(1, 2)
        return (self.outputs * self.out[self.gaps.index(gap)](self.norm(x))).unflatten(1, grid)


Predicting = Linear | Network


def build_network(
    of: ForesightSettings,
    trunk: Trained,
    head: Head,
    static: int,
    scale: Float[Tensor, " K"],
    outputs: Float[Tensor, " Q"],
    wind: bool,
    gaps: tuple[int, ...] | None = None,
) -> Predicting:
    """The untrained network of a predictor.

    Args:
        of: settings of the study.
        trunk: which predictor.
        head: how the conditions enter; the linear one has no head.
        static: terrain channels.
        scale: deviation of the components.
        outputs: deviation of the numbers that are predicted of a patch.
        wind: whether the wind is told.
        gaps: frames ahead; None: those of the study.
    """
    gaps = gaps or of.gaps
    if trunk == "linear":
        return Linear(scale, static, outputs, gaps, wind)
    return Network(
        trunk=trunk, head=head, scale=scale, static=static, outputs=outputs, gaps=gaps,
        d_model=of.d_model, layers=of.layers, heads=of.heads, wind=wind,
    )  # fmt: skip


def _zero(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
