"""On a truth with a hidden cause, futures from a generator beat members that are drawn from probabilities.

What the full effort reaches stands in docs/ensemble-truth.md. Here each network is trained for less than half of it,
and thresholds leave a margin to what was measured: CRPS of areas 21 % below independent pixels', spread 6 times theirs.
"""

from __future__ import annotations

import pytest

from benchmarks.ensemble_truth import SETTINGS, Effort, make_world, measure_generator, measure_rivals, oracle
from benchmarks.hidden_cause_training import train_generator

SMALL = Effort(generator=900, map=400)


@pytest.mark.slow
def test_areas_spread_as_wholes_and_probabilities_are_as_good():
    world = make_world(leads=1)
    rivals, exact = measure_rivals(world, SMALL, SETTINGS, seed=1), oracle(world.test.states, 1)
    generator = train_generator(world.train.told, SETTINGS, SMALL.generator, seed=1)
    scores = measure_generator(generator, world.test, SETTINGS)
    assert exact["area_crps"] < scores["area_crps"] < 0.92 * rivals["bernoulli"]["area_crps"]
    assert scores["area_crps"] < rivals["threshold"]["area_crps"]
    assert scores["brier"] < 1.05 * rivals["map"]["brier"]
    assert scores["area_spread"] > 3 * rivals["bernoulli"]["area_spread"]
    assert exact["area_spread"] > 5 * rivals["bernoulli"]["area_spread"]
