"""Sampling: many futures of one state, by integrating the velocity from noise to data.

With nested guidance and both scales at 1, the default, samples are drawn from the distribution that was learned, and
how many of them burn a pixel is a probability. Other scales, and additive guidance at any scale, sharpen or weaken what
a condition does (Ho and Salimans 2022, arXiv:2207.12598); their samples answer "what if", and are no probabilities.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from emberformer.ensemble.arrival_field import clamped
from emberformer.ensemble.conditioning import BOTH, CONTEXT_ONLY, DINO_ONLY, NOTHING, Conditioning
from emberformer.ensemble.flow import shifted_time
from emberformer.ensemble.nano_dit import NanoDiT
from emberformer.ensemble.noise import with_shared
from emberformer.ensemble.prepared import Prepared

Solver = Literal["euler", "heun"]
GuidanceForm = Literal["nested", "additive"]


@dataclass(frozen=True)
class Guidance:
    """How much more than learned the conditions count.

    With velocities v_u without conditions, v_c with the context alone, v_d with the features alone and v with both:

        nested    v_u + dino (v_d - v_u) + context (v - v_d)       at 1 and 1 it is v
        additive  v_u + context (v_c - v_u) + dino (v_d - v_u)     takes the two to be independent

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


class Drawn(NamedTuple):
    """Futures of a batch.

    Args:
        fields: of arrival time, see `emberformer.ensemble.arrival_field`.
        burned_by: probability that a pixel is burned by each lead; None: the network tells none, or is guided.
    """

    fields: Float[Tensor, "B M H W"]
    burned_by: Float[Tensor, "B K H W"] | None


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
    shared: float = 0.0,
    solver: Solver = "euler",
    guidance: Guidance = Guidance(),
    at_once: int | None = None,
) -> Drawn:
    """Fields of arrival time, and the probability behind them; the same whatever else is in the batch.

    A network of levels tells at every time how likely each value is, given how far the future is drawn. The mean of
    that over the members is the burn probability (law of total probability), with far less noise than the share of the
    members that burn in the end. It is taken halfway, when the area is decided and the single pixel is not.

    Args:
        network: in evaluation mode.
        conditioning: of every sample.
        burned: pixels that burn already, held after every step.
        unknown: pixels that nothing is known of, likewise.
        members: of every sample.
        steps: of the integration; with `heun` each evaluates the network twice, but for the last.
        seeds: of every sample; member m of a seed is the same for any number of members.
        shift: of the times, as in training.
        shared: part of the noise that pixels share, as in training (`emberformer.ensemble.noise`).
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
    drawn = zip(*(_noise(seed, members, (burned.shape[2], burned.shape[3])) for seed in seeds), strict=True)
    white, common = (torch.stack(part).to(burned.device) for part in drawn)
    noise = with_shared(white, common, conditioning, shared)
    times = shifted_time(torch.linspace(0, 1, steps + 1, device=burned.device), shift).tolist()
    found, likely = [], []
    tells = network.predicts == "levels" and list(guidance.weights) == [BOTH]
    for chunk in noise.split(at_once or members, 1):
        number = chunk.shape[1]
        prepared = {code: of.repeated(number) for code, of in codes.items()}
        holds = tuple(part.repeat_interleave(number, 0) for part in (burned, unknown))
        x = clamped(chunk.flatten(0, 1)[:, None], *holds)
        for number_of_step, (start, end) in enumerate(itertools.pairwise(times)):
            if tells and number_of_step == steps // 2:
                likely.append(_burned_by(network, x, start, prepared[BOTH]).unflatten(0, (-1, number)).sum(1))
            x = clamped(_advanced(network, x, start, end, prepared, guidance, solver), *holds)
        found.append(x[:, 0].unflatten(0, (-1, number)))
    return Drawn(torch.cat(found, 1), torch.stack(likely).sum(0) / members if tells else None)


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


def _burned_by(
    network: NanoDiT, x: Float[Tensor, "S 1 H W"], time: float, prepared: Prepared
) -> Float[Tensor, "S K H W"]:
    """Probability by each lead: values of the field rise with the lead, and the last one is not reached."""
    scores = network.denoised(x, x.new_full((len(x),), time), prepared).scores
    assert scores is not None
    return scores.softmax(1).cumsum(1)[:, :-1]


def _velocity(
    network: NanoDiT, x: Float[Tensor, "S 1 H W"], time: float, prepared: dict[int, Prepared], guidance: Guidance
) -> Float[Tensor, "S 1 H W"]:
    t = x.new_full((len(x),), time)
    return torch.stack(
        [weight * network.velocity(x, t, prepared[code])[0].float() for code, weight in guidance.weights.items()]
    ).sum(0)


def _noise(seed: int, members: int, size: tuple[int, int]) -> tuple[Float[Tensor, "M H W"], Float[Tensor, " M"]]:
    """White noise of every member, and what its pixels share; drawn on the CPU so that devices agree."""
    of_pixels, of_all = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 2**32)
    white = [torch.randn(size, generator=of_pixels) for _ in range(members)]
    return torch.stack(white), torch.cat([torch.randn(1, generator=of_all) for _ in range(members)])
