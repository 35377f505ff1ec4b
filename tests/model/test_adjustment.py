"""Adjustment of spread rates: factors by hand on a line where fire runs at a constant rate."""

import pytest
import torch

from emberformer.model.adjustment import Past, SpreadAdjustment, past_steps
from emberformer.model.travel_time import TravelTime


def on_a_line(rate):
    """Arrival times of a fire that runs east at this rate, pixels a step."""

    def arrival_from(wind, burned):
        front = burned.sum((1, 2))[:, None, None]
        ahead = torch.arange(1, burned.shape[2] + 1)[None, None] - front
        return ahead.clamp(min=0) / rate

    return arrival_from


def fire_of(*lengths):
    """Its past: pixels of a line that burned in each frame, oldest first."""
    burned = torch.stack([torch.arange(20) < length for length in reversed(lengths)])[None, :, None]
    return Past(burned, torch.zeros(1, len(lengths) - 1, 2), torch.ones(1, len(lengths) - 1, dtype=torch.bool))


def trusting(trust=30.0):
    adjustment = SpreadAdjustment()
    with torch.no_grad():
        adjustment.trust.copy_(torch.tensor([trust, 0.0]))
    return adjustment


def test_a_fire_twice_as_fast_as_expected_arrives_in_half_the_time():
    assert trusting()(on_a_line(2.0), fire_of(3, 7)).tolist() == pytest.approx([0.5])
    assert trusting()(on_a_line(2.0), fire_of(3, 7, 11, 15)).tolist() == pytest.approx([0.5])


def test_a_fire_that_stood_still_was_slower_than_the_first_pixel():
    assert trusting()(on_a_line(4.0), fire_of(5, 5)).tolist() == pytest.approx([4.0])


def test_without_trust_or_a_past_nothing_changes():
    assert trusting(-30.0)(on_a_line(2.0), fire_of(3, 9)).tolist() == pytest.approx([1.0])
    unseen = fire_of(3, 9)._replace(known=torch.zeros(1, 1, dtype=torch.bool))
    assert trusting()(on_a_line(2.0), unseen).tolist() == [1.0]
    assert trusting()(on_a_line(2.0), fire_of(3)).tolist() == [1.0]


def test_what_is_not_known_and_what_is_long_past_counts_less():
    slow_then_fast, fast_then_slow = fire_of(1, 2, 10), fire_of(1, 9, 10)
    adjustment = trusting()
    later, earlier = (adjustment(on_a_line(2.0), fire).item() for fire in (slow_then_fast, fast_then_slow))
    assert later < earlier
    known = slow_then_fast._replace(known=torch.tensor([[True, False]]))
    assert adjustment(on_a_line(2.0), known).item() == pytest.approx(2 / 8)  # 8 pixels in the step, 2 expected


def test_a_step_into_a_window_without_fire_says_nothing():
    assert trusting()(on_a_line(2.0), fire_of(0, 9)).tolist() == [1.0]
    assert trusting()(on_a_line(2.0), fire_of(0, 9, 13)).tolist() == pytest.approx([0.5])


def test_more_growth_is_trusted_more():
    adjustment = SpreadAdjustment()
    few, many = (adjustment(on_a_line(rate), fire).item() for rate, fire in ((0.5, fire_of(1, 2)), (5, fire_of(1, 11))))
    assert many < few < 1  # both fires were twice as fast as expected


def test_the_past_is_read_off_the_inputs_of_a_network():
    burned = torch.rand(2, 4, 5, 6) < 0.3
    burned = torch.stack([burned[:, : n + 1].any(1) for n in range(4)], 1)  # grows, oldest first
    valid_t = torch.tensor([[True] * 4, [False, False, True, True]])
    seen = burned & valid_t[:, :, None, None]
    share = seen.sum(1) / valid_t.sum(1)[:, None, None]
    wind = torch.rand(2, 4, 2)
    past = past_steps(torch.stack([burned[:, -1].float(), share], 1), wind, valid_t)
    assert torch.equal(past.burned[0], burned[0].flip(0))
    assert torch.equal(past.burned[1, :2], burned[1].flip(0)[:2])
    assert torch.equal(past.wind, torch.stack([wind[:, 2], wind[:, 1], wind[:, 0]], 1))
    assert past.known.tolist() == [[True] * 3, [True, False, False]]


def test_a_fast_past_brings_the_forecast_forward_and_trains_trust_alone():
    torch.manual_seed(0)
    network, features, wind = TravelTime(3, adjusted=True), torch.zeros(1, 3, 5, 20), torch.zeros(1, 2)
    slow, fast = (
        network(features, wind, past.burned[:, 0], past=past)
        for past in (
            Past(past.burned.expand(-1, -1, 5, -1), past.wind, past.known) for past in (fire_of(10, 10), fire_of(1, 10))
        )
    )
    assert (fast[0, :, 10:] > slow[0, :, 10:]).all()
    (fast - slow).sum().backward()
    assert network.adjustment is not None
    assert all(parameter.grad is not None for parameter in network.adjustment.parameters())
