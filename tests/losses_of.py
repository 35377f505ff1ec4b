"""The loss of a training by the weights of its terms."""

from torch import Tensor

from emberformer.losses import SpreadLoss
from emberformer.training_settings import LossSettings


def spread_loss(
    predicted: Tensor, target: Tensor, counted: Tensor, pos_weight: float | None = 1.0, dice: float = 0.1
) -> Tensor:
    """Cross-entropy and Dice of a batch, as `SpreadTraining` lowers them."""
    loss = SpreadLoss(LossSettings(pos_weight=pos_weight, dice=dice))
    return loss.value(loss.sums(predicted, {"target": target}, counted))
