"""Loading: batches of one grid, shared by processes without loss; one thread that never outlives its use."""

import gc
import threading
import time
import traceback
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emberformer.dataset import FireSteps, Step
from emberformer.loading import EpochSteps, GridBatches, Prefetched, StepBatches

SIZES = [(4, 4)] * 10 + [(3, 5)] * 7
ITEMS = st.lists(st.sampled_from([(4, 4), (3, 5), (2, 2)]), min_size=1, max_size=30)


def test_batches_share_a_grid_and_serve_every_item_once():
    batches = list(GridBatches(SIZES, 4, shuffle=True))
    assert sorted(n for batch in batches for n in batch) == list(range(17))
    assert all(len({SIZES[n] for n in batch}) == 1 for batch in batches)
    assert len(batches) == len(GridBatches(SIZES, 4, shuffle=True)) == 5
    assert next(iter(GridBatches(SIZES, 4, shuffle=False))) == [0, 1, 2, 3]


def test_order_follows_from_seed_and_epoch_alone():
    order = GridBatches(SIZES, 4, shuffle=True, seed=1)
    torch.manual_seed(0)
    first = list(order)
    torch.manual_seed(1)
    assert list(order) == first
    order.epoch = 1
    assert list(order) != first
    again = GridBatches(SIZES, 4, shuffle=True, seed=1)
    again.epoch = 1
    assert list(again) == list(order)
    assert list(GridBatches(SIZES, 4, shuffle=True, seed=2)) != first


@given(ITEMS, st.integers(1, 6), st.integers(1, 5), st.booleans())
def test_processes_make_the_batches_of_one_process(sizes, batch_size, world, shuffle):
    whole = list(GridBatches(sizes, batch_size, shuffle, seed=3))
    shares = [list(GridBatches(sizes, batch_size, shuffle, seed=3, rank=rank, world=world)) for rank in range(world)]
    assert {len(share) for share in shares} == {len(whole)}
    for number, batch in enumerate(whole):
        assert Counter(n for share in shares for n in share[number]) == Counter(batch)


class FakeSteps(FireSteps):
    """Items whose number is their content; remembers what was read, and in which thread."""

    def __init__(self, count: int = 10, fails_at: int | None = None):
        self.steps = [Step(0, n // 4, n % 4) for n in range(count)]
        self.epoch, self.fails_at, self.inputs = 0, fails_at, frozenset()
        self.read: list[list[int]] = []
        self.announced: list[list[int]] = []
        self.threads: set[str] = set()

    def size(self, index: int) -> tuple[int, int]:
        return (4, 4)

    def announce(self, indices: list[int]) -> None:
        self.announced.append(indices)

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        if len(self.read) == self.fails_at:
            raise ZeroDivisionError("damaged")
        self.read.append(indices)
        self.threads.add(threading.current_thread().name)
        return {"index": torch.tensor(indices), "target": torch.zeros(len(indices), 2, 2, dtype=torch.uint8)}


def loader(dataset: FakeSteps, batch_size: int = 2, **shares: int) -> StepBatches:
    sizes = [dataset.size(n) for n in range(len(dataset.steps))]
    return StepBatches(dataset, GridBatches(sizes, batch_size, False, **shares))


LEFT: set[threading.Thread] = set()  # by earlier tests of this process, such as those of a training that dies


@pytest.fixture(autouse=True)
def forget_threads_of_earlier_tests():
    LEFT.clear()
    LEFT.update(running())


def running() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("ahead")} - LEFT


def read_until_quiet(dataset: FakeSteps) -> int:
    """Batches read once the thread has nothing more to do."""
    seen = -1
    while seen != len(dataset.read):
        seen = len(dataset.read)
        time.sleep(0.05)
    return seen


def test_a_process_without_an_item_serves_one_that_does_not_count():
    batches = list(loader(FakeSteps(3), rank=1, world=2))
    assert [batch["index"].tolist() for batch in batches] == [[1], [0]]
    assert (batches[0]["target"] == 0).all()
    assert (batches[1]["target"] == 255).all()


def test_every_batch_is_announced_before_the_one_in_front_of_it_is_read():
    dataset = FakeSteps(6)
    for n, _ in enumerate(loader(dataset), 1):
        assert dataset.announced == [[2, 3], [4, 5], []][:n]
    assert dataset.read == [[0, 1], [2, 3], [4, 5]]


def test_prefetched_batches_are_the_loaders_in_order_and_again():
    dataset = FakeSteps()
    batches = Prefetched(loader(dataset))
    for _ in range(2):
        assert [batch["index"].tolist() for batch in batches] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert len(batches) == 5
    assert all(name.startswith("ahead") for name in dataset.threads)
    assert not running()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_more_than_depth_and_one_are_held(depth):
    dataset = FakeSteps(40)
    for used, _ in enumerate(Prefetched(loader(dataset), depth)):
        if used < 3:
            assert read_until_quiet(dataset) == used + 1 + depth
        assert len(dataset.read) <= used + 1 + depth


def test_an_exception_comes_with_its_place():
    batches = iter(Prefetched(loader(FakeSteps(fails_at=2))))
    assert [next(batches)["index"].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(ZeroDivisionError, match="damaged") as raised:
        next(batches)
    assert "__getitems__" in [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert not running()


def test_a_consumer_that_stops_ends_the_thread():
    dataset = FakeSteps(40)
    batches = Prefetched(loader(dataset))
    for _ in batches:
        assert running()
        break
    gc.collect()
    assert not running()

    def consumer():
        for _ in batches:
            raise KeyError("consumer")

    with pytest.raises(KeyError):
        consumer()
    gc.collect()
    assert not running()
    kept = iter(batches)
    next(kept)
    assert running()
    del kept
    gc.collect()
    assert not running()
    assert len(dataset.read) < 20


def test_nothing_is_read_before_the_first_batch_is_asked_for():
    """The trainer makes the first iterator before the epoch begins."""
    dataset = FakeSteps()
    batches = Prefetched(loader(dataset))
    iterator = iter(batches)
    dataset.steps.reverse()
    batches.loader.order.shuffle = True
    batches.loader.order.epoch = 5
    expected = list(batches.loader.order)
    assert [batch["index"].tolist() for batch in iterator] == expected


def test_batches_made_under_inference_mode_can_be_trained_on():
    weight = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        batches = list(Prefetched(loader(FakeSteps())))
    (batches[0]["index"] * weight).sum().backward()
    assert weight.grad is not None


def test_each_epoch_draws_its_own_steps_of_every_fire():
    dataset = FakeSteps(12)
    order = GridBatches([], 4, True, seed=7)
    epochs = EpochSteps(dataset, order, 2)
    drawn = {}
    for epoch in (0, 1, 2, 1):
        epochs.begin(epoch)
        assert dataset.epoch == order.epoch == epoch
        assert Counter(step.fire for step in dataset.steps) == {0: 2, 1: 2, 2: 2}
        assert len(set(dataset.steps)) == 6
        now = (list(dataset.steps), list(order))
        assert drawn.setdefault(epoch, now) == now
    assert drawn[0] != drawn[1]
    every = EpochSteps(FakeSteps(12), order, None)
    assert set(every.dataset.steps) == set(FakeSteps(12).steps)
