"""Travel time: fire takes the quickest way from pixel to pixel, and how quick each step is, is learned.

Minimum travel time (Finney 2002, doi:10.1139/x02-068) is how the field's simulators spread a fire over a raster. Here
the time that fire needs from a pixel to each of its eight neighbours comes from the network, and the arrival time of
every pixel follows by the shortest path from what burns. Its gradient goes back along that path.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from emberformer.model.adjustment import Past, SpreadAdjustment

# The eight neighbours as (row, column) offsets; rows run south.
NEIGHBOURS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
NEVER = 1e4  # arrival time where no path leads, in steps
REFERENCE = (30.0, 1800.0)  # metres of a pixel and seconds of a step, in whose units paces are learned
HORIZON = 3.0  # times as long as is forecast; how much later than this fire arrives is of no interest
SWEEPS = 64  # most passes over all neighbours for a forecast of one step


def shifted(x: Float[Tensor, "*n H W"], offset: tuple[int, int], fill: float) -> Float[Tensor, "*n H W"]:
    """Every pixel's value at the place of its neighbour; `fill` where no pixel has that neighbour.

    >>> shifted(torch.tensor([[1.0, 2.0]]), (0, 1), 0.0).tolist()
    [[0.0, 1.0]]
    """
    dy, dx = offset
    padded = functional.pad(x, (max(dx, 0), max(-dx, 0), max(dy, 0), max(-dy, 0)), value=fill)
    height, width = x.shape[-2:]
    return padded[..., max(-dy, 0) : max(-dy, 0) + height, max(-dx, 0) : max(-dx, 0) + width]


class _ShortestPaths(torch.autograd.Function):
    """Arrival times by relaxation until nothing before the horizon changes; the gradient runs back along the paths."""

    @staticmethod
    def forward(ctx, crossing, burned, passes):
        into = [shifted(crossing[:, n], offset, NEVER).contiguous() for n, offset in enumerate(NEIGHBOURS)]
        batch, height, width = burned.shape
        padded = crossing.new_full((batch, height + 2, width + 2), NEVER)
        arrival = padded[:, 1:-1, 1:-1]
        arrival.masked_fill_(burned, 0)
        from_there = [padded[:, 1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width] for dy, dx in NEIGHBOURS]
        through = torch.empty_like(into[0])
        before = arrival.clamp(max=HORIZON)
        for _ in range(passes):
            for source, time in zip(from_there, into, strict=True):
                torch.minimum(arrival, torch.add(source, time, out=through), out=arrival)
            now = arrival.clamp(max=HORIZON)
            if torch.equal(before, now):
                break
            before = now
        best = torch.full_like(through, torch.inf)
        chosen = torch.full_like(through, -1, dtype=torch.int8)
        for number, (source, time) in enumerate(zip(from_there, into, strict=True)):
            torch.add(source, time, out=through)
            chosen.masked_fill_(through < best, number)
            torch.minimum(best, through, out=best)
        chosen.masked_fill_(burned | (arrival > HORIZON), -1)
        ctx.save_for_backward(chosen)
        return arrival.clamp(max=HORIZON)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (chosen,) = ctx.saved_tensors
        passed = along_paths(torch.where(chosen >= 0, gradient, 0), chosen)
        flows = (torch.where(chosen == number, passed, 0) for number in range(len(NEIGHBOURS)))
        back = [shifted(flow, (-dy, -dx), 0.0) for flow, (dy, dx) in zip(flows, NEIGHBOURS, strict=True)]
        return torch.stack(back, 1), None, None


def along_paths(values: Float[Tensor, "B H W"], chosen: Int[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """Each pixel's value and those of all pixels whose path leads through it, summed by pointer doubling.

    Args:
        values: of every pixel.
        chosen: number of the neighbour's offset by which fire came; -1 where it did not come from a neighbour.
    """
    batch, height, width = chosen.shape
    count = batch * height * width
    steps = torch.tensor([dy * width + dx for dy, dx in NEIGHBOURS], device=chosen.device)
    place = torch.arange(count, device=chosen.device)
    flat = chosen.flatten().long()
    parent = torch.where(flat >= 0, place - steps[flat.clamp(min=0)], count)
    total = torch.cat([values.flatten(), values.new_zeros(1)])  # the last entry is where paths begin
    moving = (parent < count).nonzero()[:, 0]
    parent = torch.cat([parent, parent.new_tensor([count])])
    while len(moving):
        total.index_add_(0, parent[moving], total[moving].clone())
        parent[moving] = parent[parent[moving]]
        moving = moving[parent[moving] < count]
    return total[:count].view_as(values)


def arrival_times(
    crossing: Float[Tensor, "B 8 H W"], burned: Bool[Tensor, "B H W"], passes: int = SWEEPS
) -> Float[Tensor, "B H W"]:
    """When fire arrives at every pixel: 0 where it burns, `HORIZON` where that is later or never.

    Args:
        crossing: time from a pixel to each neighbour (`NEIGHBOURS`), above 0.
        burned: where fire starts from.
        passes: most passes over all neighbours; fire crosses at least one pixel in each.

    >>> arrival_times(torch.ones(1, 8, 1, 3), torch.tensor([[[True, False, False]]])).tolist()
    [[[0.0, 1.0, 2.0]]]
    """
    return _ShortestPaths.apply(crossing, burned, passes)  # type: ignore[return-value]


class SpreadRates(NamedTuple):
    """Logarithms of the time to each neighbour without wind, what wind makes of it, and the unit of the times.

    Args:
        calm: for each of `NEIGHBOURS`.
        of_wind: factors of the wind along the way, across it, and along it either way.
        scale: metres of a pixel over seconds of a step, in units of `REFERENCE`.
    """

    calm: list[Float[Tensor, "B H W"]]
    of_wind: Float[Tensor, "B 3 H W"]
    scale: Float[Tensor, "B 1 1"]

    def over(self, lead: Int[Tensor, " B"]) -> SpreadRates:
        """The same rates with times in units of so many steps."""
        return self._replace(scale=self.scale / lead[:, None, None])

    def crossing_times(self, wind: Float[Tensor, "B 2"]) -> Float[Tensor, "B 8 H W"]:
        """Time from every pixel to each of its neighbours, in steps."""
        crossings = []
        for calm, (dy, dx) in zip(self.calm, NEIGHBOURS, strict=True):
            length = math.hypot(dy, dx)
            along = ((wind[:, 0] * dx - wind[:, 1] * dy) / length)[:, None, None]
            across = ((wind[:, 0] * dy + wind[:, 1] * dx).abs() / length)[:, None, None]
            log = calm + self.of_wind[:, 0] * along + self.of_wind[:, 1] * across + self.of_wind[:, 2] * along.abs()
            crossings.append(length * log.clamp(-6, 6).exp() * self.scale)
        return torch.stack(crossings, 1)


class TravelTime(nn.Module):
    """What the arrival time of fire says of burning at the next step; pixels that burn already come first.

    The time from a pixel to its neighbour in direction d, a unit vector, over the length l in pixels is, in steps,

        l exp(a + b (w d) + c |w x d| + e |w d| + sum_k f_k (p_k' - p_k) / (l m)) m / s

    with the wind w, the potentials p_k (learned fields such as elevation or fuel, p_k' at the neighbour), factors a, b,
    c, e, f_k of the pixel, metres m of a pixel and seconds s of a step in units of `REFERENCE`. It is one function in
    all directions and at any resolution: a turned world gives the turned forecast, and what was learned on pixels of
    30 m says something on pixels of 100 m. A forecast of several steps is one of a step that takes so much longer.

    Args:
        features: features of a pixel.
        potentials: learned fields whose change along the way counts.
        adjusted: spread rates are adjusted by those of the fire's past (`SpreadAdjustment`).
        lead_times: most steps that a forecast spans.
    """

    def __init__(self, features: int, potentials: int = 3, adjusted: bool = False, lead_times: int = 1):
        super().__init__()
        self.passes = SWEEPS * lead_times
        self.factors = nn.Conv2d(features, 4 + potentials, 1)
        self.potential = nn.Conv2d(features, potentials, 1, bias=False)
        self.weight = nn.Parameter(torch.tensor([3.0, 1.0]))  # of the arrival time and of its logarithm
        self.adjustment = SpreadAdjustment() if adjusted else None
        with torch.no_grad():  # at first about 4 pixels a step, faster with the wind
            self.factors.weight.mul_(0.1)
            at_first = torch.tensor([-1.5, -0.5, 0.0, 0.0] + [0.1] * potentials)
            assert self.factors.bias is not None, "a convolution has one by default"
            self.factors.bias.copy_(at_first)

    def forward(
        self,
        features: Float[Tensor, "B C H W"],
        wind: Float[Tensor, "B 2"],
        burned: Bool[Tensor, "B H W"],
        resolution: Float[Tensor, "B 2"] | None = None,
        past: Past | None = None,
        lead: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B H W"]:
        """Logits, above 0 where fire arrives before the steps of the forecast have passed.

        Args:
            features: of every pixel.
            wind: (u, v) of these steps in units of 10 m/s.
            burned: where fire starts from.
            resolution: metres of a pixel and seconds of a step; None: `REFERENCE`.
            past: earlier steps of the fire, for the adjustment; None: there are none.
            lead: steps that are forecast; None: one.
        """
        rates = self.rates(features, resolution)
        coming = rates if lead is None else rates.over(lead)
        arrival = arrival_times(coming.crossing_times(wind), burned, self.passes)
        if self.adjustment is not None and past is not None:
            factor = self.adjustment(lambda *since: arrival_times(rates.crossing_times(since[0]), since[1]), past)
            # Beyond the horizon too: that costs where fire is expected too slowly for its past to be compared with, and
            # nothing else would, as the factor makes up for rates that are too low.
            arrival = arrival * factor[:, None, None]
        return self.weight[0] * (1 - arrival) - self.weight[1] * (arrival + 0.02).log()

    def rates(self, features: Float[Tensor, "B C H W"], resolution: Float[Tensor, "B 2"] | None) -> SpreadRates:
        """What holds for every wind; arguments as above."""
        metres, seconds = self._in_units(resolution, features)
        factors, potential = self.factors(features), self.potential(features)
        calm = []
        for dy, dx in NEIGHBOURS:
            change = (shifted(potential, (-dy, -dx), 0.0) - potential) / (math.hypot(dy, dx) * metres[:, None])
            calm.append(factors[:, 0] + (factors[:, 4:] * change).sum(1))
        return SpreadRates(calm, factors[:, 1:4], metres / seconds)

    @staticmethod
    def _in_units(
        resolution: Float[Tensor, "B 2"] | None, like: Tensor
    ) -> tuple[Float[Tensor, "B 1 1"], Float[Tensor, "B 1 1"]]:
        known = like.new_tensor(REFERENCE).expand(len(like), 2) if resolution is None else resolution
        metres, seconds = (known / known.new_tensor(REFERENCE)).unbind(1)
        return metres[:, None, None], seconds[:, None, None]
