"""Predictors that are trained: from a history of components to the change of the newest frame's.

The output layer begins at zero, so that every network begins as persistence, which has the identity within its reach
(X60). Components come in and their change goes out in units of their own deviation, or the first few would be all that
a network learns in a short training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from emberformer.foresight.conditioning import Conditions, build_head
from emberformer.foresight.windows import Batch
from emberformer.foresight_settings import ForesightSettings, Head, Trained
from emberformer.model.attention import FeedForward
from emberformer.model.cross_patch import CrossPatch
from emberformer.model.temporal import TemporalTransformer


@dataclass(frozen=True)
class Task:
    """What a network is told of a patch, and what it predicts.

    Args:
        scale: deviation of the components, K.
        static: terrain channels, S.
        outputs: deviation of the numbers that are predicted of a patch, Q.
        gaps: frames ahead.
        wind: false: no wind is told.
    """

    scale: Float[Tensor, " K"]
    static: int
    outputs: Float[Tensor, " Q"]
    gaps: tuple[int, ...]
    wind: bool


class Linear(nn.Module):
    """An affine map of the newest patch, its terrain, and the mean wind to come, another for each gap."""

    scale: Tensor
    outputs: Tensor

    def __init__(self, task: Task):
        super().__init__()
        self.gaps, self.wind = task.gaps, task.wind
        self.register_buffer("scale", task.scale)
        self.register_buffer("outputs", task.outputs)
        self.out = nn.ModuleList(
            _zero(nn.Linear(len(task.scale) + task.static + 2, len(task.outputs))) for _ in self.gaps
        )

    def forward(self, batch: Batch, gap: int) -> Float[Tensor, "B Gy Gx Q"]:
        """Change from the newest frame to the one `gap` frames later."""
        moments, grid = batch.patches.shape[1], batch.static.shape[1:3]
        told = batch.wind[:, moments : moments + gap].mean(1) * self.wind
        told = told[:, None, None].expand(-1, *grid, -1)
        x = torch.cat([batch.patches[:, -1] / self.scale, batch.static, told], -1)
        return self.outputs * self.out[self.gaps.index(gap)](x)


class Network(nn.Module):
    """Trunk, conditions and a zero output.

    Args:
        task: what is told and predicted.
        trunk: mlp: the newest patch; mlp_3x3: it and the patches around it; transformer: each patch along its history;
            transformer_cross: likewise, and then attention between all patches.
        head: how the conditions enter.
        of: sizes.
    """

    scale: Tensor
    outputs: Tensor

    def __init__(self, task: Task, trunk: Trained, head: Head, of: ForesightSettings):
        super().__init__()
        d_model, gaps = of.d_model, task.gaps
        self.gaps, self.wind = gaps, task.wind
        self.register_buffer("scale", task.scale)
        self.register_buffer("outputs", task.outputs)
        side = 3 if trunk == "mlp_3x3" else 1
        self.tokens = nn.Conv2d(len(task.scale), d_model, side, padding=side // 2)
        self.static = nn.Linear(task.static, d_model)
        self.past_wind = nn.Linear(2, d_model, bias=False)
        along = trunk.startswith("transformer")
        self.temporal = TemporalTransformer(d_model, of.layers, of.heads, 2 * d_model, 0.0) if along else None
        self.conditions = Conditions(d_model, gaps[-1], task.wind, steps=not head.startswith("film"))
        self.head = build_head(head, d_model, of.heads)
        self.mlp = nn.Sequential(*(FeedForward(d_model, 2 * d_model, 0.0) for _ in range(of.layers)))
        self.cross = CrossPatch(d_model, 1, of.heads, 2 * d_model, 0.0) if trunk == "transformer_cross" else None
        self.norm = nn.LayerNorm(d_model)
        self.out = nn.ModuleList(_zero(nn.Linear(d_model, len(task.outputs))) for _ in gaps)

    def forward(self, batch: Batch, gap: int) -> Float[Tensor, "B Gy Gx Q"]:
        """Change from the newest frame to the one `gap` frames later."""
        patches, wind = batch.patches, batch.wind
        moments, grid = patches.shape[1], patches.shape[2:4]
        seen = moments if self.temporal is not None else 1
        x = self.tokens((patches[:, -seen:] / self.scale).flatten(0, 1).movedim(-1, 1))
        x = x.unflatten(0, (-1, seen)).flatten(3).permute(0, 3, 1, 2)
        x = x + self.static(batch.static).flatten(1, 2)[:, :, None]
        if self.temporal is not None:
            led = self.past_wind(wind[:, :moments] * self.wind)
            x = self.temporal(x + led[:, None], batch.valid_t)
        else:
            x = x[:, :, 0]
        x = self.head(x, *self.conditions(wind[:, moments : moments + gap], wind[:, moments - 1]))
        x = self.mlp(x)
        if self.cross is not None:
            x = x + self.cross(x.unflatten(1, grid)).flatten(1, 2)
        return (self.outputs * self.out[self.gaps.index(gap)](self.norm(x))).unflatten(1, grid)


Predicting = Linear | Network


def build_network(task: Task, trunk: Trained, head: Head, of: ForesightSettings) -> Predicting:
    """The untrained network of a predictor; the linear one has no head."""
    return Linear(task) if trunk == "linear" else Network(task, trunk, head, of)


def _zero(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
