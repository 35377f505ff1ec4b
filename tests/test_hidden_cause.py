"""The made-up world with a hidden cause: its signs, its spread, its oracle, and the scores of futures on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import hidden_cause
from benchmarks.ensemble_truth import (
    SETTINGS,
    Effort,
    make_world,
    measure_generator,
    measure_guidance,
    measure_rivals,
    measure_wind,
    measure_without_mask,
)
from benchmarks.hidden_cause import (
    BASE_RATE,
    NEIGHBOURS,
    PER_SLOPE,
    PER_WIND,
    SIZE,
    Ground,
    HiddenCause,
    draw_ground,
    draw_wind,
    futures,
    ignite,
    ignition_rates,
)
from benchmarks.hidden_cause_scores import brier, fair_brier, growth_cosine, new_areas, overlap, score_futures
from benchmarks.hidden_cause_states import HISTORY, draw_states, draw_test_states, told_states
from benchmarks.hidden_cause_training import train_generator
from emberformer.arrival_leads import NEVER

NORTH, SOUTH, EAST, WEST = ((-1, 0), (1, 0), (0, 1), (0, -1))
CALM, PLAIN = np.zeros((1, 2)), HiddenCause(np.ones(1), np.zeros(1))


def level() -> Ground:
    return Ground(np.zeros((1, SIZE, SIZE)), np.zeros((1, SIZE, SIZE)))


def rates_towards(ground: Ground, wind: np.ndarray, cause: HiddenCause) -> dict[tuple[int, int], float]:
    """At the cell (20, 20)."""
    rates = ignition_rates(ground, wind, cause)
    return {offset: float(rate[0, 20, 20]) for offset, rate in zip(NEIGHBOURS, rates, strict=True)}


def test_in_calm_air_on_level_ground_only_the_distance_counts():
    rates = rates_towards(level(), CALM, PLAIN)
    assert rates[NORTH] == rates[EAST] == pytest.approx(BASE_RATE)
    assert rates[-1, 1] == pytest.approx(BASE_RATE / np.sqrt(2))


@pytest.mark.parametrize(("wind", "ahead", "behind"), [((5.0, 0.0), EAST, WEST), ((0.0, 5.0), NORTH, SOUTH)])
def test_fire_spreads_with_the_wind(wind, ahead, behind):
    rates = rates_towards(level(), np.array([wind]), PLAIN)
    assert rates[ahead] / rates[behind] == pytest.approx(np.exp(2 * PER_WIND * 5))


def test_the_hidden_turn_is_anticlockwise_and_dryness_is_a_factor():
    turned = HiddenCause(np.array([3.0]), np.array([np.pi / 2]))
    by_turn = rates_towards(level(), np.array([[5.0, 0.0]]), turned)
    told_so = rates_towards(level(), np.array([[0.0, 5.0]]), PLAIN)
    assert by_turn == pytest.approx({offset: 3 * rate for offset, rate in told_so.items()})


def test_fire_spreads_uphill():
    hill = np.tile(0.1 * np.arange(SIZE), (1, SIZE, 1))  # rises to the east
    rates = rates_towards(Ground(np.zeros_like(hill), hill), CALM, PLAIN)
    assert rates[EAST] / rates[WEST] == pytest.approx(np.exp(2 * PER_SLOPE * 0.1))


def some_futures(fires: int, members: int, leads: int = 1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return futures(ignite(fires, rng), draw_ground(fires, rng), draw_wind(fires, leads, rng), members, rng)


def test_futures_begin_with_the_state_and_grow_from_it():
    arrival = some_futures(2, 3, leads=3)
    assert arrival.shape == (2, 3, SIZE, SIZE)
    assert set(np.unique(arrival)) == {0, 1, 2, 3, NEVER}
    assert ((arrival == 0) == (arrival[:, :1] == 0)).all()
    for lead in (1, 2, 3):
        burned = np.pad(arrival <= lead - 1, ((0, 0), (0, 0), (8, 8), (8, 8)))
        near = [np.roll(burned, (r, c), (2, 3)) for r in range(-8, 9) for c in range(-8, 9)]  # 8 substeps
        assert (np.any(near, 0)[:, :, 8:-8, 8:-8] | (arrival != lead)).all()


def test_without_a_hidden_cause_the_area_hardly_spreads(monkeypatch):
    shared = np.std(new_areas(some_futures(6, 12), 1)[:, 0], axis=1)
    monkeypatch.setattr(hidden_cause, "DRYNESS", 0.0)
    monkeypatch.setattr(hidden_cause, "TURN", 0.0)
    alone = np.std(new_areas(some_futures(6, 12), 1)[:, 0], axis=1)
    assert shared.mean() > 3 * alone.mean()


def test_the_told_wind_shifts_to_any_direction_in_half_of_the_steps():
    wind = draw_wind(4000, 2, np.random.default_rng(0))
    angle = np.arctan2(wind[..., 1], wind[..., 0])
    apart = np.abs((angle[:, 1] - angle[:, 0] + np.pi) % (2 * np.pi) - np.pi)
    assert (apart > np.pi / 2).mean() == pytest.approx(hidden_cause.SHIFT_SHARE / 2, abs=0.02)


def test_states_follow_from_their_seed_and_end_at_the_newest_frame():
    states, again = draw_states(3, 2, seed=5), draw_states(3, 2, seed=5)
    assert len(states) == 9
    assert np.array_equal(states.truth, again.truth)
    assert not np.array_equal(states.truth, draw_states(3, 2, seed=6).truth)
    assert np.array_equal(states.truth[:, 0] == 0, states.burned)
    assert (states.frames[:3, 0] == 255).all()  # forecast from the frame after the first: one frame is not there
    assert np.isnan(states.wind[:3, 0]).all()
    assert states.coming_wind.shape == (9, 2, 2)
    # frames of one fire follow each other: what is new by lead 1 is burned in the next state
    assert np.array_equal(states.truth[:3, 0] <= 1, states.burned[3:6])
    assert np.array_equal(states.coming_wind[:3, 1], states.coming_wind[3:6, 0])


def test_the_truth_of_a_state_is_one_more_member_of_the_oracle():
    states = draw_test_states(30, 1, seed=3)
    oracle = futures(states.burned, states.ground_of_each, states.coming_wind, 19, np.random.default_rng(1))
    scores = score_futures(oracle, states.truth, 1)
    assert scores.coverage == pytest.approx(0.9, abs=0.04)
    assert scores.area_ratio == pytest.approx(1, abs=0.05)
    assert growth_cosine(states.truth, states.coming_wind[:, 0], 1) > 0.8


def test_what_is_told_is_of_the_state_and_nothing_of_the_truth():
    states = draw_test_states(3, 1, seed=3)
    told = told_states(states).batch(torch.tensor([2]))
    assert told["frame_patches"].shape == (1, 1, 8, 8, 96)
    assert told["terrain_patches"].shape == (1, 2, 8, 8, 96)
    assert told["wind"].shape == (1, HISTORY, 2)
    assert np.allclose(told["coming_wind"][0].numpy(), states.coming_wind[2])
    assert np.array_equal(told["fire_pixels"][0, 0].numpy() == 1, states.burned[2])
    assert np.array_equal(told["terrain_pixels"][0, 0].numpy(), states.ground.fuel[2].astype(np.float32))


def test_features_of_other_states_are_swapped_and_nothing_else():
    told = told_states(draw_states(2, 1, 3))
    own, other = torch.arange(len(told)), torch.arange(len(told)).flip(0)
    as_told, swapped, taken = told.batch(own), told.with_features_of(other).batch(own), told.batch(other)
    features = {"frame_patches", "frame_cls", "terrain_patches"}
    for name in as_told:
        assert torch.equal(swapped[name], (taken if name in features else as_told)[name]), name
        assert name not in features or not torch.equal(taken[name], as_told[name])
    assert torch.equal(told.with_wind(-told.arrays["coming_wind"]).batch(own)["coming_wind"], -as_told["coming_wind"])


@pytest.mark.slow
def test_all_that_is_measured_on_the_truth_is_a_number():
    world, effort = make_world(1, fires=(3, 2, 2)), Effort(2, 2, 2)
    settings = SETTINGS.model_copy(update={"d_model": 16, "depth": 1, "steps": 2, "batch_size": 4})
    generator = train_generator(world.train.told, settings, effort.generator, 0)
    found = measure_rivals(world, effort, settings, 0) | {
        "generator": measure_generator(generator, world.test, settings)
    }
    found |= measure_wind(generator, world.test, settings) | measure_guidance(generator, world.test, settings)
    found |= measure_without_mask(world, effort, settings, 0)
    assert {"map", "correlated", "opposite wind, oracle", "context alone", "DINO scale 4"} < found.keys()
    alone = found["without mask, cross-attention"]
    assert all(0 <= score <= 1 for score in alone.values())
    assert "context alone, overlap" in alone
    wrong = {(name, key): v for name, of in found.items() for key, v in of.items() if not np.isfinite(v)}
    assert {key for _, key in wrong} <= {"wind_cosine", "told", "true"}, wrong  # where nothing grows


def rows(*arrivals: list[int]) -> np.ndarray:
    """Members or truths of one state of one row of pixels."""
    return np.array(arrivals, np.uint8)[None, :, None, :]


def test_scores_by_hand():
    members, truth = rows([0, 1, 1, 255], [0, 1, 255, 255]), rows([0, 1, 255, 255])
    scores = score_futures(members, truth, 1)
    assert new_areas(members, 1).tolist() == [[[2, 1]]]
    assert scores.area_crps == pytest.approx(0.5 - 0.5)  # mean distance to 1 less half the mean of pairs' distances, 1
    assert scores.area_spread == pytest.approx(np.sqrt(0.5))
    assert scores.area_ratio == 1.5
    assert fair_brier(members, truth, 1) == pytest.approx((0 + (0.25 - 0.25) + 0) / 3)
    assert brier(np.array([[[[1, 1, 0.5, 0]]]]), truth) == pytest.approx(0.25 / 3)


def test_growth_to_the_north_east_by_hand():
    arrival = np.full((1, 1, 5, 5), NEVER, np.uint8)
    arrival[0, 0, 2, 2], arrival[0, 0, 1, 3] = 0, 1
    assert growth_cosine(arrival, np.array([[1.0, 1.0]]), 1) == pytest.approx(1)
    assert growth_cosine(arrival, np.array([[0.0, -2.0]]), 1) == pytest.approx(-np.sqrt(0.5))
    assert overlap(arrival <= 1, arrival[:, 0] == 0) == 0.5
