"""Lead time: how many steps ahead is forecast, told to a network by a learned code."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional


class LeadTime(nn.Module):
    """A learned code for each lead time from 1 to the longest.

    All are zero at first, and no chance is drawn: a network of several lead times begins as the network of one.

    Args:
        longest: lead time, in steps.
        features: length of a code.
    """

    def __init__(self, longest: int, features: int):
        super().__init__()
        self.code = nn.Parameter(torch.zeros(longest, features))

    def forward(self, lead: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
        """Code of every sample's lead time, in steps from 1 on.

        >>> LeadTime(3, 2)(torch.tensor([1, 3])).shape
        torch.Size([2, 2])
        """
        return functional.embedding(lead - 1, self.code)
