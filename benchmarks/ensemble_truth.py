"""`python -m benchmarks.ensemble_truth`: futures on a truth with a hidden cause, beside their rivals and the oracle.

A generator of futures and, of the same network, a map of probabilities are trained on some 700 states of simulated
fires (`benchmarks.hidden_cause`) and scored on 40 states of other fires, each with several truths. The rivals draw
members from the map's probabilities: one threshold, independent pixels, and noise with one correlation; threshold and
correlation are chosen on fires for validation. The oracle simulates with the hidden cause drawn anew: nothing can do
better but by chance.

The wind is then told wrongly, guidance is turned up, the features are left out, and without the newest burned area
among the known pixels it is seen what the cached features bring by themselves. Everything is printed as JSON, seed by
seed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from benchmarks.hidden_cause import futures
from benchmarks.hidden_cause_scores import FutureScores, brier, growth_cosine, new_areas, overlap, score_futures
from benchmarks.hidden_cause_states import (
    ANYWHERE,
    NEAR,
    States,
    ToldStates,
    draw_states,
    draw_test_states,
    told_states,
)
from benchmarks.hidden_cause_training import draw_members, probabilities, train_generator, train_map
from emberformer.ensemble.generator import Generator
from emberformer.ensemble.sampling import Guidance
from emberformer.ensemble_settings import EnsembleSettings
from emberformer.evaluate.ensemble_scores import variance
from emberformer.evaluate.rival_ensembles import (
    Levels,
    bernoulli_levels,
    correlated_levels,
    members_of,
    threshold_levels,
)
from emberformer.features.backbone import CPU
from emberformer.features.extraction import choose_device

MEMBERS = 19  # the outermost of them bound an interval that holds 90 %
FIRES = (234, 20, 40)  # for training, validation and test
OF_CHANGES = 8  # members where only a mean is looked at
SETTINGS = EnsembleSettings(
    side=7, d_model=64, depth=4, heads=4, prior=False, predicts="field", time_shift=4.0, batch_size=16, shared_noise=0.0
)
SCALES = (2.0, 4.0)  # of guidance; 1 is as learned
CONTEXT_ALONE = Guidance(context=1.0, dino=0.0, form="additive")  # the cached features are left out
THRESHOLDS = tuple(np.arange(0.1, 0.91, 0.05).tolist())
CORRELATIONS = tuple(np.arange(0, 1.01, 0.1).tolist())
WITHOUT_MASK = {
    "CLS token alone": {"patches": False},
    "cross-attention": {"inject": "cross"},
    "cross-attention and injection": {"inject": "both"},
}


@dataclass(frozen=True)
class Part:
    """States of one part of the world, and what a network is told of them."""

    states: States
    told: ToldStates


@dataclass(frozen=True)
class World:
    """Fires to learn from, to choose by and to be tested on."""

    train: Part
    validation: Part
    test: Part


@dataclass(frozen=True)
class Effort:
    """How many steps of the optimiser each network is trained for."""

    generator: int = 2400
    map: int = 800
    without_mask: int = 500


def make_world(
    leads: int, seed: int = 1, fires: tuple[int, int, int] = FIRES, reach: int = NEAR, device: torch.device = CPU
) -> World:
    """A world of so many fires for training, validation and test, the first two with three states each.

    Networks are trained and asked on the device; fires are simulated, and their features made, on the CPU.
    """
    train, validation = (draw_states(number, leads, seed + n, reach) for n, number in enumerate(fires[:2]))
    test = draw_test_states(fires[2], leads, seed + 2, reach)
    return World(*(Part(of, told_states(of).to(device)) for of in (train, validation, test)))


def oracle(states: States, leads: int) -> dict[str, float]:
    """Scores of simulations, and the true spread of areas."""
    members = futures(states.burned, states.ground_of_each, states.coming_wind, MEMBERS, np.random.default_rng(7))
    true_spread = float(np.sqrt(variance(new_areas(states.truth, leads))).mean())
    return {**score_futures(members, states.truth, leads)._asdict(), "true_area_spread": true_spread}


def members_by(
    probability: Float[np.ndarray, "n lead y x"], states: States, levels: Levels, members: int = MEMBERS
) -> UInt8[np.ndarray, "n member y x"]:
    """Members of a rival of every state."""
    found = []
    for number, (of, burned) in enumerate(zip(probability, states.burned, strict=True)):
        drawn = levels((members, *burned.shape), np.random.default_rng([11, number]))
        found.append(members_of(of, burned.astype(np.uint8), drawn))
    return np.stack(found)


def choose_rivals(probability: Float[np.ndarray, "n lead y x"], states: States, leads: int) -> dict[str, Levels]:
    """Rivals whose threshold (overlap of newly burned areas) and correlation (area CRPS) are chosen on these states."""
    truth = (states.truth[:, 0] <= leads) & ~states.burned

    def of_threshold(threshold: float) -> float:
        members = members_by(probability, states, threshold_levels(threshold), 1)
        return overlap((members > 0) & (members <= leads), truth)

    def of_correlation(rho: float) -> float:
        return score_futures(members_by(probability, states, correlated_levels(rho)), states.truth, leads).area_crps

    return {
        "threshold": threshold_levels(max(THRESHOLDS, key=of_threshold)),
        "bernoulli": bernoulli_levels(),
        "correlated": correlated_levels(min(CORRELATIONS, key=of_correlation)),
    }


def measure_rivals(world: World, effort: Effort, settings: EnsembleSettings, seed: int) -> dict[str, dict[str, float]]:
    """Scores of the rivals of one seed, and the Brier score of the map itself."""
    network, leads = train_map(world.train.told, settings, effort.map, seed), settings.leads
    rivals = choose_rivals(probabilities(network, world.validation.told), world.validation.states, leads)
    probability, states = probabilities(network, world.test.told), world.test.states
    found: dict[str, dict[str, float]] = {"map": {"brier": brier(probability, states.truth)}}
    for name, levels in rivals.items():
        found[name] = _with_cosine(members_by(probability, states, levels), states, leads)
    return found


def measure_generator(generator: Generator, test: Part, settings: EnsembleSettings) -> dict[str, float]:
    """Scores of futures that are drawn as learned."""
    return _with_cosine(draw_members(generator, test.told, settings, MEMBERS), test.states, settings.leads)


def measure_wind(generator: Generator, test: Part, settings: EnsembleSettings) -> dict[str, dict[str, float]]:
    """Where growth goes when another wind is told, in simulations too."""
    states, coming = test.states, test.told.arrays["coming_wind"]
    found = {}
    for name, wind in (("opposite wind", -coming), ("wind of another fire", coming.roll(1, 0))):
        otherwise = draw_members(generator, test.told.with_wind(wind), settings, OF_CHANGES)
        rng = np.random.default_rng(5)
        simulated = futures(states.burned, states.ground_of_each, wind.cpu().numpy(), OF_CHANGES, rng)
        found[name] = swap_cosines(otherwise, states, wind, settings.leads)
        found[f"{name}, oracle"] = swap_cosines(simulated, states, wind, settings.leads)
    return found


def measure_guidance(generator: Generator, test: Part, settings: EnsembleSettings) -> dict[str, dict[str, float]]:
    """Scores of futures that are no longer drawn as learned."""
    found = {}
    for scale in SCALES:
        for name, guidance in (("context", Guidance(context=scale)), ("DINO", Guidance(dino=scale))):
            drawn = draw_members(generator, test.told, settings, OF_CHANGES, guidance)
            found[f"{name} scale {scale:g}"] = _with_cosine(drawn, test.states, settings.leads)
    drawn = draw_members(generator, test.told, settings, OF_CHANGES, CONTEXT_ALONE)
    return found | {"context alone": _with_cosine(drawn, test.states, settings.leads)}


def swap_cosines(
    members: UInt8[np.ndarray, "n member y x"], states: States, wind: Float[Tensor, "n lead 2"], leads: int
) -> dict[str, float]:
    """Cosines of growth with the wind that was told instead, and with the one that blows."""
    return {
        "told": growth_cosine(members, wind.cpu().mean(1).numpy(), leads),
        "true": growth_cosine(members, states.coming_wind.mean(1), leads),
    }


def measure_without_mask(
    world: World, effort: Effort, settings: EnsembleSettings, seed: int
) -> dict[str, dict[str, float]]:
    """How well a generator places fires that only the cached features tell of, and whose if features are swapped."""
    burned = world.test.states.truth[:, 0] <= settings.leads
    told = world.test.told
    other = torch.arange(len(told)).roll(1)
    found = {}
    for name, changed in WITHOUT_MASK.items():
        of = settings.model_copy(update={"mask_channel": False, **changed})
        generator = train_generator(world.train.told, of, effort.without_mask, seed)
        given = ((told, Guidance()), (told.with_features_of(other), Guidance()), (told, CONTEXT_ALONE))
        as_told, swapped, alone = (draw_members(generator, one, of, OF_CHANGES, how) <= of.leads for one, how in given)
        found[f"without mask, {name}"] = {
            "overlap": overlap(as_told, burned),
            "swapped, overlap with the swapped fire": overlap(swapped, burned[other.numpy()]),
            "swapped, overlap with its own fire": overlap(swapped, burned),
            "context alone, overlap": overlap(alone, burned),
        }
    return found


def _with_cosine(members: UInt8[np.ndarray, "n member y x"], states: States, leads: int) -> dict[str, float]:
    scores: FutureScores = score_futures(members, states.truth, leads)
    return {**scores._asdict(), "wind_cosine": growth_cosine(members, states.coming_wind.mean(1), leads)}


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ensemble_truth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--leads", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    given = parser.parse_args()
    settings, effort, device = SETTINGS.model_copy(update={"leads": given.leads}), Effort(), choose_device(given.device)
    world = make_world(given.leads, device=device)
    print(json.dumps({"oracle": oracle(world.test.states, given.leads)}, indent=1), flush=True)
    for seed in given.seeds:
        generator = train_generator(world.train.told, settings, effort.generator, seed)
        found = measure_rivals(world, effort, settings, seed)
        found["generator"] = measure_generator(generator, world.test, settings)
        found |= measure_wind(generator, world.test, settings)
        found |= measure_guidance(generator, world.test, settings)
        if given.leads == 1:
            found |= measure_without_mask(make_world(1, reach=ANYWHERE, device=device), effort, settings, seed)
        print(json.dumps({f"seed {seed}": found}, indent=1), flush=True)


if __name__ == "__main__":
    main()
