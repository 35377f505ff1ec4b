"""The deterministic forecast from which an ensemble starts: the last phase's network, which is not trained further."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from emberformer.calibration import Calibration
from emberformer.network import SpreadNetwork
from emberformer.rollout import probability_of, told_ahead


@dataclass(frozen=True)
class Prior:
    """A deterministic network's calibrated forecasts.

    Args:
        model: in evaluation mode.
        calibration: of its logits.
        leads: coming frames, K; as far as the network forecasts directly.
    """

    model: SpreadNetwork
    calibration: Calibration
    leads: int

    def __call__(self, batch: dict[str, Tensor]) -> Float[Tensor, "B K H W"]:
        """Probability that a pixel is burned after each coming step, which never falls.

        Args:
            batch: `model.inputs`, `wind`, `valid_t` and `coming_wind`.
        """
        with torch.no_grad():
            leads = range(1, self.leads + 1)
            found = [
                probability_of(self.model, told_ahead(batch, batch["coming_wind"], k), self.calibration) for k in leads
            ]
            return torch.stack(found, 1).cummax(1).values
