"""An auxiliary loss: the newest tokens, from which the fire is forecast, also tell the features of the next frame.

Ye et al. 2024 (DINO-WM, arXiv:2411.04983) and Karypidis et al. 2024 (DINO-Foresight, arXiv:2412.11673) predict cached
features instead of pixels; here this stands beside the forecast of the fire, and the saved network has no part of it.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from emberformer.data.fires import UNKNOWN
from emberformer.losses import over_processes
from emberformer.model.emberformer import EmberFormer

BETA = 0.1  # where the error turns from squared to absolute


class NextFeatures(nn.Module):
    """Weighted error of the next frame's features, as a penalty of `SpreadTraining`.

    The prediction is the newest frame's features and a linear map of the newest tokens, which begins at zero: as
    persistence.

    Args:
        model: the network whose tokens are read, as its decoder is given them.
        d_model: length of a token.
        features: length of the features.
        weight: of the error.
    """

    def __init__(self, model: EmberFormer, d_model: int, features: int, weight: float):
        super().__init__()
        self.change, self.weight = nn.Linear(d_model, features), weight
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)
        self._tokens: Tensor | None = None
        model.decoder.register_forward_pre_hook(self._keep)

    def _keep(self, decoder: nn.Module, given: tuple[Tensor | None, ...]) -> None:
        self._tokens = given[0]

    def forward(
        self, batch: dict[str, Tensor], logits: Float[Tensor, "B H W"], counted: Bool[Tensor, "B H W"]
    ) -> Float[Tensor, ""]:
        """Mean of smooth L1 and 1 - cosine over patches, times the weight; over all processes that train together.

        An item whose target is unknown everywhere is left out: a process without an item of its own serves it
        (`emberformer.loading.StepBatches`).

        Args:
            batch: with `frame_patches`, `patches_to_come` and `target`; the forecast of it was the network's last.
            logits: of that forecast.
            counted: pixels that enter the other losses.
        """
        assert self._tokens is not None, "the network has forecast the batch"
        predicted = batch["frame_patches"][:, -1].float() + self.change(self._tokens.float())
        target = batch["patches_to_come"][:, 0].float()
        apart = 1 - functional.cosine_similarity(predicted, target, dim=-1)
        error = functional.smooth_l1_loss(predicted, target, beta=BETA, reduction="none").mean(-1) + apart
        real = (batch["target"] != UNKNOWN).flatten(1).any(1)
        error_sum, items = over_processes(torch.stack([(error.mean((1, 2)) * real).sum(), real.sum()]))
        return self.weight * error_sum / items.clamp(min=1)


def feature_inputs(weight: float) -> tuple[str, ...]:
    """Arrays of a batch that the loss takes."""
    return ("patches_to_come",) if weight else ()
