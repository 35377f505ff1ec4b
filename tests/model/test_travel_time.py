"""Travel time: shortest paths as Dijkstra finds them, their gradient, and the symmetries of the spread rates."""

import heapq

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emberformer.model.travel_time import (
    HORIZON,
    NEIGHBOURS,
    REFERENCE,
    SWEEPS,
    TravelTime,
    along_paths,
    arrival_times,
)
from emberformer.views import turned, turned_vector


def by_dijkstra(crossing: np.ndarray, burned: np.ndarray) -> np.ndarray:
    """Arrival times of one raster by the textbook (Dijkstra 1959, doi:10.1007/BF01386390)."""
    arrival = np.where(burned, 0.0, np.inf)
    queue = [(0.0, int(y), int(x)) for y, x in np.argwhere(burned)]
    while queue:
        time, y, x = heapq.heappop(queue)
        if time > arrival[y, x]:
            continue
        for number, (dy, dx) in enumerate(NEIGHBOURS):
            there = (y + dy, x + dx)
            if 0 <= there[0] < burned.shape[0] and 0 <= there[1] < burned.shape[1]:
                later = time + crossing[number, y, x]
                if later < arrival[there]:
                    arrival[there] = later
                    heapq.heappush(queue, (later, *there))
    return np.minimum(arrival, HORIZON)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), height=st.integers(1, 9), width=st.integers(1, 9), share=st.floats(0, 0.4))
def test_arrival_times_are_those_of_dijkstra(seed, height, width, share):
    rng = np.random.default_rng(seed)
    crossing, burned = rng.uniform(0.05, 1.5, (2, 8, height, width)), rng.random((2, height, width)) < share
    found = arrival_times(torch.from_numpy(crossing), torch.from_numpy(burned)).numpy()
    assert np.allclose(found, [by_dijkstra(*one) for one in zip(crossing, burned, strict=True)], atol=1e-12)


def test_the_gradient_is_that_of_the_path():
    torch.manual_seed(0)
    crossing = (torch.rand(2, 8, 6, 5, dtype=torch.double) * 0.5 + 0.05).requires_grad_()
    burned = torch.zeros(2, 6, 5, dtype=torch.bool)
    burned[0, 2, 3] = burned[1, 0, 0] = True
    assert torch.autograd.gradcheck(lambda times: arrival_times(times, burned), (crossing,))


def test_a_path_that_leads_through_a_pixel_counts_there():
    chosen = torch.tensor([[[-1, 2, 2, 2]]], dtype=torch.int8)  # eastwards from the first pixel
    assert along_paths(torch.tensor([[[9.0, 1.0, 2.0, 4.0]]]), chosen).tolist() == [[[16.0, 7.0, 6.0, 4.0]]]


def some(seed=0, side=12):
    torch.manual_seed(seed)
    network = TravelTime(5)
    with torch.no_grad():
        network.factors.weight.mul_(3)
    features, wind = torch.randn(1, 5, side, side), torch.randn(1, 2)
    burned = torch.zeros(1, side, side, dtype=torch.bool)
    burned[:, 4:6, 5:8] = True
    return network, features, wind, burned


@pytest.mark.parametrize("view", range(8))
def test_a_turned_world_gives_the_turned_forecast(view):
    network, features, wind, burned = some()
    u, v = turned_vector(wind[:, 0].numpy(), wind[:, 1].numpy(), view)
    with torch.no_grad():
        expected = turned(network(features, wind, burned), 1, view)
        found = network(turned(features, 2, view), torch.from_numpy(np.stack([u, v], 1)), turned(burned, 1, view))
    assert torch.allclose(found, expected, atol=1e-4)


def test_fire_runs_with_the_wind_and_not_through_the_sides():
    network, features, _, burned = some()
    with torch.no_grad():
        calm = network(features * 0, torch.tensor([[0.0, 0.0]]), burned)[0]
        east = network(features * 0, torch.tensor([[1.0, 0.0]]), burned)[0]
    assert (east[4, 9] > calm[4, 9]).item()  # rows, columns: east of the fire
    assert (east[4, 3] < calm[4, 3]).item()


def test_twice_the_time_and_twice_the_pixel_is_the_same():
    network, features, wind, burned = some()
    metres, seconds = REFERENCE
    with torch.no_grad():
        network.potential.weight.zero_()  # a slope is over metres
        reference = network(features, wind, burned)
        same = network(features, wind, burned, torch.tensor([[2 * metres, 2 * seconds]]))
        longer = network(features, wind, burned, torch.tensor([[metres, 2 * seconds]]))
    assert torch.allclose(reference, same, atol=1e-5)
    assert (longer >= reference - 1e-5).all()
    assert (longer > reference + 0.1).any()


@pytest.mark.parametrize("lead", [2, 5])
def test_so_many_steps_ahead_is_one_step_that_takes_as_many_times_longer(lead):
    network, features, wind, burned = some()
    metres, seconds = REFERENCE
    with torch.no_grad():
        longer = network(features, wind, burned, torch.tensor([[metres, lead * seconds]]))
        ahead = network(features, wind, burned, torch.tensor([[metres, seconds]]), lead=torch.tensor([lead]))
        next_step = network(features, wind, burned, torch.tensor([[metres, seconds]]), lead=torch.tensor([1]))
    assert torch.allclose(ahead, longer, atol=1e-5)
    assert torch.equal(next_step, network(features, wind, burned))
    assert (ahead > next_step + 0.1).any()


def test_fire_may_cross_as_many_more_pixels_as_it_has_steps():
    """Straight ahead it crosses one pixel a pass: the passes for one step do not lead to the end of a long line."""
    length = 2 * SWEEPS
    crossing, burned = torch.full((1, 8, 1, length), 0.5 / length), torch.zeros(1, 1, length, dtype=torch.bool)
    burned[..., 0] = True
    one, two = (arrival_times(crossing, burned, passes)[0, 0, -1].item() for passes in (SWEEPS, 2 * SWEEPS))
    assert (one, two) == pytest.approx((HORIZON, 0.5 * (length - 1) / length))
    assert (TravelTime(2, lead_times=2).passes, TravelTime(2).passes) == (2 * SWEEPS, SWEEPS)


def test_nothing_burns_nothing_arrives():
    network, features, wind, burned = some()
    logits = network(features, wind, burned & False)
    assert logits.isfinite().all()
    assert (logits < 0).all()
