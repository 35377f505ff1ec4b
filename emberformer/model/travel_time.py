"""Travel time: fire takes the quickest way from pixel to pixel, and how quick each step is, is learned.

Minimum travel time (Finney 2002, doi:10.1139/x02-068) is how the field's simulators spread a fire over a raster. Here
the time that fire needs from a pixel to each of its eight neighbours comes from the network, and the arrival time of
every pixel follows by the shortest path from what burns. Its gradient goes back along that path.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

# The eight neighbours as (row, column) offsets; rows run south.
NEIGHBOURS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
NEVER = 1e4  # arrival time where no path leads, in steps
SWEEPS = 48  # most passes over all neighbours; fire crosses at least one pixel in each


def neighbour_views(x: Tensor, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Views of [.., H, W]: the pixels that have a neighbour there, and these neighbours."""
    (dy, dx), (height, width) = offset, x.shape[-2:]
    here = x[..., max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
    there = x[..., max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
    return here, there


class _ShortestPaths(torch.autograd.Function):
    """Arrival times by relaxation until nothing changes; the gradient runs back along the paths."""

    @staticmethod
    def forward(ctx, crossing, burned):
        arrival = torch.where(burned, 0.0, NEVER).to(crossing.dtype)
        for _ in range(SWEEPS):
            before = arrival.clone()
            for number, offset in enumerate(NEIGHBOURS):
                source, target = neighbour_views(arrival, offset)
                time, _ = neighbour_views(crossing[:, number], offset)
                torch.minimum(target, source + time, out=target)
            if torch.equal(before, arrival):
                break
        best = torch.full_like(arrival, torch.inf)
        chosen = torch.full_like(arrival, -1, dtype=torch.int8)
        for number, offset in enumerate(NEIGHBOURS):
            source, _ = neighbour_views(arrival, offset)
            time, _ = neighbour_views(crossing[:, number], offset)
            _, known = neighbour_views(best, offset)
            _, choice = neighbour_views(chosen, offset)
            through = source + time
            choice.masked_fill_(through < known, number)
            torch.minimum(known, through, out=known)
        chosen.masked_fill_(burned | (arrival >= NEVER), -1)
        ctx.save_for_backward(chosen)
        return arrival

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (chosen,) = ctx.saved_tensors
        passed = along_paths(gradient, chosen)
        of_crossing = gradient.new_zeros((len(chosen), len(NEIGHBOURS), *chosen.shape[1:]))
        for number, offset in enumerate(NEIGHBOURS):
            source, _ = neighbour_views(of_crossing[:, number], offset)
            _, flow = neighbour_views(passed, offset)
            _, choice = neighbour_views(chosen, offset)
            source.copy_(torch.where(choice == number, flow, 0))
        return of_crossing, None


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
    parent = torch.cat([parent, parent.new_tensor([count])])  # the last entry is where paths begin
    total = torch.cat([values.flatten(), values.new_zeros(1)])
    for _ in range(max(1, math.ceil(math.log2(SWEEPS * len(NEIGHBOURS))))):
        total = total.index_add(0, parent, total)
        total[count] = 0
        if bool((parent == count).all()):
            break
        parent = parent[parent]
    return total[:count].view_as(values)


def arrival_times(crossing: Float[Tensor, "B 8 H W"], burned: Bool[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """When fire arrives at every pixel: 0 where it burns, `NEVER` where no path leads.

    Args:
        crossing: time from a pixel to each neighbour (`NEIGHBOURS`), above 0.
        burned: where fire starts from.

    >>> crossing = torch.full((1, 8, 1, 3), 2.0)
    >>> arrival_times(crossing, torch.tensor([[[True, False, False]]])).tolist()
    [[[0.0, 2.0, 4.0]]]
    """
    return _ShortestPaths.apply(crossing, burned)  # type: ignore[return-value]


class TravelTime(nn.Module):
    """Arrival times from features of every pixel and the wind.

    The pace towards a neighbour is exp(MLP(features here, change of potentials towards it, wind along and across)): the
    same function in all directions, so that a turned world gives the turned forecast.

    Args:
        features: features of a pixel.
        channels: hidden width.
        potentials: learned scalar fields, such as elevation, whose change along the way counts.
    """

    def __init__(self, features: int, channels: int, potentials: int = 2):
        super().__init__()
        self.here = nn.Conv2d(features, channels, 1)
        self.potential = nn.Conv2d(features, potentials, 1, bias=False)
        self.along = nn.Linear(potentials + 2, channels, bias=False)
        self.out = nn.Conv2d(channels, 1, 1)
        nn.init.constant_(self.out.bias, -1.5)  # about 4.5 pixels a step

    def forward(
        self, features: Float[Tensor, "B C H W"], wind: Float[Tensor, "B 2"], burned: Bool[Tensor, "B H W"]
    ) -> Float[Tensor, "B H W"]:
        """Arrival times in steps."""
        here, potential = self.here(features), self.potential(features)
        crossings = []
        for dy, dx in NEIGHBOURS:
            length = math.hypot(dy, dx)
            change = torch.zeros_like(potential)
            source, _ = neighbour_views(change, (dy, dx))
            own, there = neighbour_views(potential, (dy, dx))
            source.copy_((there - own) / length)
            along = (wind[:, 0] * dx - wind[:, 1] * dy) / length
            across = (wind[:, 0] * dy + wind[:, 1] * dx).abs() / length
            of_wind = torch.stack([along, across], 1) @ self.along.weight[:, -2:].T
            of_way = functional.conv2d(change, self.along.weight[:, :-2, None, None])
            hidden = functional.relu(here + of_way + of_wind[:, :, None, None])
            crossings.append(length * torch.exp(self.out(hidden)[:, 0].clamp(-6, 6)))
        return arrival_times(torch.stack(crossings, 1).float(), burned)
