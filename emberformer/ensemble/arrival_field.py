"""Arrival time as one continuous field in [-1, 1], so that the burned areas of all leads are nested by construction.

Of K leads, a pixel that is burned by lead k and not before has the value 2 (k - 1) / K - 1, and one that is not reached
has 1. With one lead the field is the burned area itself: -1 burned, 1 not. What burns already, and what is unknown, is
no forecast: such pixels are held at -1 and at 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from emberformer.arrival_leads import NEVER


def field_of(arrival_lead: UInt8[Tensor, "*n H W"], leads: int) -> Float[Tensor, "*n H W"]:
    """The field of arrival leads (0 burned already, 1 ... K, NEVER, UNKNOWN).

    >>> field_of(torch.tensor([[0, 1, 2, 255, 254]], dtype=torch.uint8), 2).tolist()
    [[-1.0, -1.0, 0.0, 1.0, 1.0]]
    """
    value = 2 * (arrival_lead.float() - 1).clamp(min=0) / leads - 1
    return value.clamp(max=1)


def level_values(leads: int, like: Tensor) -> Float[Tensor, " V"]:
    """The values that a field can have: those of leads 1 ... K, and that of what is not reached.

    >>> level_values(2, torch.ones(1)).tolist()
    [-1.0, 0.0, 1.0]
    """
    return torch.linspace(-1, 1, leads + 1, device=like.device, dtype=like.dtype)


def level_shares(probability: Float[Tensor, "B K H W"]) -> Float[Tensor, "B V H W"]:
    """Probability of each value, from that of being burned by each lead, which never falls.

    >>> level_shares(torch.tensor([0.25, 0.75]).view(1, 2, 1, 1)).flatten().tolist()
    [0.25, 0.5, 0.25]
    """
    before = torch.cat([torch.zeros_like(probability[:, :1]), probability], 1)
    return torch.cat([probability, torch.ones_like(probability[:, :1])], 1) - before


def leads_of(field: Float[Tensor, "*n H W"], leads: int) -> UInt8[Tensor, "*n H W"]:
    """The nearest arrival lead of every pixel: 1 ... K, or NEVER; the inverse of `field_of`.

    >>> leads_of(torch.tensor([[-1.3, -0.6, -0.4, 0.6, 2.0]]), 2).tolist()
    [[1, 1, 2, 255, 255]]
    """
    lead = 1 + ((field + 1) * leads / 2).round().clamp(0, leads)
    return torch.where(lead > leads, NEVER, lead).to(torch.uint8)


def clamped(
    field: Float[Tensor, "*n H W"], burned: Bool[Tensor, "*#n H W"], unknown: Bool[Tensor, "*#n H W"]
) -> Float[Tensor, "*n H W"]:
    """The field with what burns already at -1 and what is unknown at 1."""
    return torch.where(burned, -1.0, torch.where(unknown, 1.0, field))
