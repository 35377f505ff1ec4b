"""Context tokens: the wind of the past and of the coming steps, and a summary of the fire so far."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from emberformer.data.normalise import WIND_SCALE
from emberformer.model.pixel_input import FIRE_CHANNELS
from emberformer.model.position import sinusoids

LAG_FEATURES = 8  # of how many steps ago, or ahead, a wind blows
SUMMARY = 5  # numbers of the summary
CONTEXT_FEATURES = 3 + 2 + LAG_FEATURES + SUMMARY  # kind of token, wind, lag, summary


def context_tokens(
    wind: Float[Tensor, "B T 2"],
    coming_wind: Float[Tensor, "B K 2"],
    valid_t: Bool[Tensor, "B T"],
    fire_pixels: Float[Tensor, "B 2 H W"],
    resolution: Float[Tensor, "B 2"],
) -> tuple[Float[Tensor, "B S C"], Bool[Tensor, "B S"]]:
    """One token for the wind of each past step, one for that of each coming step, and one of the fire; which are real.

    A token of a wind holds it and its lag, below 0 for what has been; that of the fire the logarithms of its burned
    pixels, of those burned since the history began, of its frames, of the metres of a pixel and the seconds of a step.
    Pixels are those of the window that is served: in training at most a crop of the fire (`training.crop`), in drawing
    all of it, so that of a fire larger than a crop more is told than any training sample had.

    Args:
        wind: of each frame of the history until the next, in units of 10 m/s; the newest is of what is to come.
        coming_wind: of the coming steps, m s-1; NaN where unknown.
        valid_t: frames of the history that are real.
        fire_pixels: newest burned area, and the share of the history in which a pixel burned.
        resolution: metres of a pixel, seconds of a step.
    """
    batch, past, leads = len(wind), wind.shape[1] - 1, coming_wind.shape[1]
    known = torch.isfinite(coming_wind).all(-1)
    winds = torch.cat([wind[:, :-1], torch.nan_to_num(coming_wind / WIND_SCALE)], 1)
    lag = torch.arange(-past, leads, device=wind.device, dtype=torch.float32)
    kind = functional.one_hot((lag >= 0).long(), 3)[None].expand(batch, -1, -1)
    codes = sinusoids(lag, LAG_FEATURES)[None].expand(batch, -1, -1)
    of_winds = torch.cat([kind, winds, codes, winds.new_zeros(batch, past + leads, SUMMARY)], -1)
    summary = winds.new_zeros(batch, 1, CONTEXT_FEATURES)
    summary[:, 0, 2] = 1
    summary[:, 0, -SUMMARY:] = fire_summary(valid_t, fire_pixels, resolution)
    real = torch.cat([valid_t[:, :-1], known, torch.ones_like(known[:, :1])], 1)
    return torch.cat([of_winds, summary], 1), real


def fire_summary(
    valid_t: Bool[Tensor, "B T"], fire_pixels: Float[Tensor, "B 2 H W"], resolution: Float[Tensor, "B 2"]
) -> Float[Tensor, "B S"]:
    """What `context_tokens` says of the fire."""
    assert fire_pixels.shape[1] == FIRE_CHANNELS, "newest burned area and share of the history"
    burned, share = fire_pixels[:, 0], fire_pixels[:, 1]
    since = ((burned > 0.5) & (share < 1)).flatten(1).sum(1)
    numbers = torch.stack([burned.flatten(1).sum(1), since.float(), valid_t.sum(1).float()], 1)
    return torch.cat([numbers.log1p() / 4, (resolution / resolution.new_tensor([30.0, 1800.0])).log()], 1)
