"""Sampling: many futures of one state, by integrating the velocity from noise to data.

With both guidance scales at 1, the default, samples are drawn from the distribution that was learned, and how many of
them burn a pixel is a probability. Other scales sharpen or weaken what a condition does (Ho and Salimans 2022,
arXiv:2207.12598); their samples answer "what if", and are no probabilities.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from emberformer.ensemble.arrival_field import held
from emberformer.ensemble.conditioning import BOTH, CONTEXT_ONLY, DINO_ONLY, NOTHING, Conditioning
from emberformer.ensemble.flow import shifted_time
from emberformer.ensemble.nano_dit import NanoDiT
from emberformer.ensemble.prepared import Prepared

Solver = Literal["euler", "heun"]
GuidanceForm = Literal["nested", "additive"]


@dataclass(frozen=True)
class Guidance:
    """How much more than learned the conditions count.

    With velocities v_u without conditions, v_c with the context alone, v_d with the features alone and v with both:

        nested    v_u + dino (v_d - v_u) + context (v - v_d)       at 1 and 1 it is v
        additive  v_u + context (v_c - v_u) + dino (v_d - v_u)     document 002; it takes the two to be independent

    Args:
        context: scale of weather, fire summary and text.
        dino: scale of the cached features.
        form: of the two.
    """

    context: float = 1.0
    dino: float = 1.0
    form: GuidanceForm = "nested"

    @property
    def weights(self) -> dict[int, float]:
        """Weight of the velocity of each class (`emberformer.ensemble.conditioning`), without those of weight 0.

        >>> Guidance().weights == {BOTH: 1.0}
        True
        >>> Guidance(2.0, 1.0, "additive").weights == {NOTHING: -2.0, CONTEXT_ONLY: 2.0, DINO_ONLY: 1.0}
        True
        """
        if self.form == "nested":
            found = {BOTH: self.context, DINO_ONLY: self.dino - self.context, NOTHING: 1 - self.dino}
        else:
            found = {CONTEXT_ONLY: self.context, DINO_ONLY: self.dino, NOTHING: 1 - self.context - self.dino}
        return {code: weight for code, weight in found.items() if weight != 0}


def sample_fields(
    network: NanoDiT,
    conditioning: Conditioning,
    burned: Bool[Tensor, "B 1 H W"],
    unknown: Bool[Tensor, "B 1 H W"],
    *,
    members: int,
    steps: int,
    seeds: list[int],
    shift: float,
    solver: Solver = "euler",
    guidance: Guidance = Guidance(),
    at_once: int | None = None,
) -> Float[Tensor, "B M H W"]:
    """Fields of arrival time, see `emberformer.ensemble.arrival_field`; the same whatever else is in the batch.

    Args:
        network: in evaluation mode.
        conditioning: of every sample.
        burned: pixels that burn already, held after every step.
        unknown: pixels that nothing is known of, likewise.
        members: of every sample.
        steps: of the integration; with `heun` each evaluates the network twice, but for the last.
        seeds: of every sample; member m of a seed is the same for any number of members.
        shift: of the times, as in training.
        solver: of the integration.
        guidance: scales.
        at_once: members that pass the network together; None: all.

    Raises:
        ValueError: not one seed a sample.
    """
    if len(seeds) != len(conditioning):
        raise ValueError(f"{len(seeds)} seeds for {len(conditioning)} samples")
    codes = {
        code: network.prepare(conditioning, torch.full((len(conditioning),), code, device=burned.device))
        for code in guidance.weights
    }
    noise = torch.stack([_noise(seed, members, (burned.shape[2], burned.shape[3])) for seed in seeds]).to(burned.device)
    times = shifted_time(torch.linspace(0, 1, steps + 1, device=burned.device), shift).tolist()
    found = []
    for chunk in noise.split(at_once or members, 1):
        number = chunk.shape[1]
        prepared = {code: of.repeated(number) for code, of in codes.items()}
        holds = tuple(part.repeat_interleave(number, 0) for part in (burned, unknown))
        x = held(chunk.flatten(0, 1)[:, None], *holds)
        for start, end in itertools.pairwise(times):
            x = held(_advanced(network, x, start, end, prepared, guidance, solver), *holds)
        found.append(x[:, 0].unflatten(0, (-1, number)))
    return torch.cat(found, 1)


def _advanced(
    network: NanoDiT,
    x: Float[Tensor, "S 1 H W"],
    start: float,
    end: float,
    prepared: dict[int, Prepared],
    guidance: Guidance,
    solver: Solver,
) -> Float[Tensor, "S 1 H W"]:
    """The field one step later; the last step of `heun` is one of `euler`, as there is no velocity at time 1."""
    velocity = _velocity(network, x, start, prepared, guidance)
    ahead = x + (end - start) * velocity
    if solver == "euler" or end == 1:
        return ahead
    return x + (end - start) * (velocity + _velocity(network, ahead, end, prepared, guidance)) / 2


def _velocity(
    network: NanoDiT, x: Float[Tensor, "S 1 H W"], time: float, prepared: dict[int, Prepared], guidance: Guidance
) -> Float[Tensor, "S 1 H W"]:
    t = x.new_full((len(x),), time)
    return torch.stack(
        [weight * network.velocity(x, t, prepared[code])[0].float() for code, weight in guidance.weights.items()]
    ).sum(0)


def _noise(seed: int, members: int, size: tuple[int, int]) -> Float[Tensor, "M H W"]:
    """White noise of every member, drawn on the CPU so that devices agree."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(size, generator=generator) for _ in range(members)])
