"""What every network that forecasts spread has in common: EmberFormer, its twins and its rivals."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn


class SpreadNetwork(nn.Module, ABC):
    """`forward` takes the arrays of `inputs`, by keyword, and gives logits of the next burned area [B H W].

    Where `inputs` name `lead`, it is the area that is burned so many frames later.

    `inputs` are names of arrays that `emberformer.dataset.FireSteps` serves; what is not named is not even read.
    `block` is the block of the backbone after which the network takes the frames' tokens (`frame_hidden`), if it does.
    """

    inputs: tuple[str, ...]
    block: int | None = None

    @abstractmethod
    def parts(self) -> dict[str, list[nn.Module]]:
        """Modules by the group of the optimiser that they belong to: 'temporal', 'decoder' or 'backbone'; each once."""
