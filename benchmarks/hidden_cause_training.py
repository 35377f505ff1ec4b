"""Networks of the world with a hidden cause: a generator of futures, and the same network as a map of probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from benchmarks.hidden_cause_states import ToldStates, patch_pixels
from emberformer.ensemble.arrival_field import field_of, leads_of
from emberformer.ensemble.conditioning import drop_codes
from emberformer.ensemble.flow import FlowDraw, draw_times, flow_terms
from emberformer.ensemble.generator import Generator, build_generator
from emberformer.ensemble.sampling import Guidance, sample_fields
from emberformer.ensemble_settings import EnsembleSettings
from emberformer.optimisation import warm_cosine

AS_LEARNED = Guidance()
AT_ONCE = 16  # states that pass the network together


def new_generator(settings: EnsembleSettings, told: ToldStates, seed: int) -> Generator:
    """The untrained generator of a seed, where the states are."""
    torch.manual_seed(seed)
    generator = build_generator(
        settings,
        features=told.arrays["frame_cls"].shape[1],
        terrain_channels=told.terrain_patches.shape[1],
        patch_pixels=patch_pixels(),
        raster_channels=told.arrays["terrain_pixels"].shape[1],
        category_sizes=(),
    )
    return generator.to(told.fire.device)


def train_generator(told: ToldStates, settings: EnsembleSettings, steps: int, seed: int) -> Generator:
    """Train by flow matching; what comes back has the exponential average of the weights.

    Args:
        told: training states.
        settings: of the network and its training, but for epochs.
        steps: of the optimiser.
        seed: of weights, order, times, noise and classes.
    """
    generator, chance = new_generator(settings, told, seed), torch.Generator().manual_seed(seed)
    average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(settings.average))
    number = settings.batch_size

    def loss(index: Tensor) -> Tensor:
        lead = told.arrival_lead[index][:, None]
        drawn = (  # on the CPU, so that devices draw the same
            draw_times(number, settings.time_shift, chance),
            torch.randn(lead.shape, generator=chance),
            drop_codes(number, settings.unconditional, settings.context_only, settings.dino_only, chance),
        )
        draw = FlowDraw(*(part.to(lead.device) for part in drawn))
        burned = (lead == 0) & settings.mask_channel
        conditioning = generator.conditioning(told.batch(index))
        field, known = field_of(lead, settings.leads), torch.zeros_like(burned)
        terms = flow_terms(generator.network, conditioning, field, burned, known, draw)
        return terms.levels if settings.predicts == "levels" else terms.flow

    for _ in optimise(generator, loss, len(told), settings, steps, chance):
        average.update_parameters(generator)
    assert isinstance(average.module, Generator)
    return average.module.eval()


class ProbabilityMap(nn.Module):
    """The generator's network as a map: logit of being burned by lead k = cut k - field.

    Cuts rise with the lead, so that probabilities never fall (proportional odds, McCullagh 1980,
    doi:10.1111/j.2517-6161.1980.tb01109.x).

    Args:
        generator: whose network is asked once, at time 0 and without noise.
        leads: coming steps, K.
    """

    def __init__(self, generator: Generator, leads: int):
        super().__init__()
        self.generator = generator
        self.first = nn.Parameter(torch.zeros(1))
        self.gaps = nn.Parameter(torch.zeros(leads - 1))

    def forward(self, batch: dict[str, Tensor]) -> Float[Tensor, "B K H W"]:
        """Logits."""
        still = torch.zeros_like(batch["fire_pixels"][:, :1])
        field = self.generator.network(still, still.new_zeros(len(still)), self.generator.conditioning(batch))
        cuts = torch.cat([self.first, self.first + functional.softplus(self.gaps).cumsum(0)])
        return cuts[:, None, None] - field


def train_map(told: ToldStates, settings: EnsembleSettings, steps: int, seed: int) -> ProbabilityMap:
    """Train by the log loss of each lead on pixels that do not burn already; arguments as of `train_generator`."""
    network = ProbabilityMap(new_generator(settings, told, seed), settings.leads).to(told.fire.device)

    def loss(index: Tensor) -> Tensor:
        lead = told.arrival_lead[index]
        burns = torch.stack([lead <= k for k in range(1, settings.leads + 1)], 1)
        counted = (lead > 0)[:, None].expand_as(burns)
        logits = network(told.batch(index))
        return functional.binary_cross_entropy_with_logits(logits[counted], burns[counted].float())

    chance = torch.Generator().manual_seed(seed)
    for _ in optimise(network, loss, len(told), settings, steps, chance):
        pass
    return network.eval()


def optimise(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    number: int,
    settings: EnsembleSettings,
    steps: int,
    chance: torch.Generator,
) -> Iterator[float]:
    """Losses of batches of drawn states, each after its step."""
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    course = warm_cosine(optimizer, settings.warmup, steps)
    for _ in tqdm(range(steps), desc=type(network).__name__, mininterval=5):
        found = loss(torch.randint(number, (settings.batch_size,), generator=chance))
        optimizer.zero_grad()
        found.backward()
        nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
        optimizer.step()
        course.step()
        yield found.item()


def probabilities(network: ProbabilityMap, told: ToldStates) -> Float[np.ndarray, "n lead y x"]:
    """Probability of being burned by each lead, 1 where it burns already."""
    found = []
    with torch.inference_mode():
        for index in torch.arange(len(told)).split(AT_ONCE):
            batch = told.batch(index)
            found.append(torch.where(batch["fire_pixels"][:, :1] > 0.5, 1.0, network(batch).sigmoid()))
    return torch.cat(found).cpu().numpy()


def draw_members(
    generator: Generator,
    told: ToldStates,
    settings: EnsembleSettings,
    members: int,
    guidance: Guidance = AS_LEARNED,
    seed: int = 0,
) -> UInt8[np.ndarray, "n member y x"]:
    """Futures of all states; where the newest burned area is told, it is held.

    Args:
        generator: trained.
        told: the states.
        settings: of the generator.
        members: of each state.
        guidance: scales.
        seed: of the members.
    """
    found = []
    with torch.inference_mode():
        for index in torch.arange(len(told)).split(AT_ONCE):
            batch = told.batch(index)
            burned = (batch["fire_pixels"][:, :1] > 0.5) & settings.mask_channel
            drawn = sample_fields(
                generator.network,
                generator.conditioning(batch),
                burned,
                torch.zeros_like(burned),
                members=members,
                steps=settings.steps,
                seeds=[seed * len(told) + int(n) for n in index],
                shift=settings.time_shift,
                guidance=guidance,
            )
            found.append(torch.where(burned, 0, leads_of(drawn.fields, settings.leads)))
    return torch.cat(found).to(torch.uint8).cpu().numpy()
