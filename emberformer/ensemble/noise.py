"""Noise from which a future is drawn: white, and in part the same for all pixels of which it is open whether they burn.

Flow matching carries any distribution to that of the data (Lipman et al. 2023, arXiv:2210.02747). From white noise, how
much burns in all is decided by what thousands of pixels have in common, when each of them still says next to nothing.
With a part that they share, an untrained generator of levels draws the members of a Gaussian copula, and learns from
there; of images the like is known as offset noise.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from emberformer.ensemble.conditioning import Conditioning

CERTAIN = 0.01  # pixels that burn with a lower probability, or a higher one than 1 less it, share nothing


def with_shared(
    white: Float[Tensor, "B M H W"], common: Float[Tensor, "B M"], conditioning: Conditioning, shared: float
) -> Float[Tensor, "B M H W"]:
    """Noise of variance 1 of which pixels share a part.

    Args:
        white: of every pixel.
        common: one number for all pixels.
        conditioning: whose prior says which pixels are open; without one all are.
        shared: part of the variance of an open pixel's noise that is the common number's.
    """
    if shared == 0:
        return white
    part = torch.full_like(white[:, :1], shared)
    if conditioning.mean is not None:
        part = part * (conditioning.mean.abs() < 1 - 2 * CERTAIN)
    return (1 - part).sqrt() * white + part.sqrt() * common[:, :, None, None]
