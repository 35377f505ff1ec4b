"""Losses against hand-worked numbers."""

import math

import pytest
import torch

from emberformer.losses import loss_of_sums, open_pixels, over_processes, spread_loss, spread_sums


def test_cross_entropy_and_dice_by_hand():
    predicted = torch.tensor([[[0.0, math.log(3.0)]]])  # probabilities 1/2 and 3/4
    target = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    counted = torch.ones(1, 1, 2, dtype=torch.bool)
    entropy = (math.log(2) + math.log(4 / 3)) / 2
    assert spread_loss(predicted, target, counted, 1.0, 0.0).item() == pytest.approx(entropy)
    dice = (2 * 0.75 + 1) / (1.25 + 1 + 1)
    assert spread_loss(predicted, target, counted, 1.0, 0.1).item() == pytest.approx(entropy + 0.1 * (1 - dice))
    weighted = (math.log(2) + 3 * math.log(4 / 3)) / 2
    assert spread_loss(predicted, target, counted, 3.0, 0.0).item() == pytest.approx(weighted)


def test_weight_by_share():
    """Three unburned pixels and one burned: the burned one counts three times."""
    predicted = torch.tensor([[[0.0, 0.0, 0.0, math.log(3.0)]]])
    target = torch.tensor([[[0, 0, 0, 1]]], dtype=torch.uint8)
    counted = torch.ones(1, 1, 4, dtype=torch.bool)
    expected = (3 * math.log(2) + 3 * math.log(4 / 3)) / 4
    assert spread_loss(predicted, target, counted, None, 0.0).item() == pytest.approx(expected)


def test_burned_and_unknown_pixels_do_not_count():
    target = torch.tensor([[[0, 1, 255, 1]]], dtype=torch.uint8)
    burned = torch.tensor([[[0.0, 0.0, 0.0, 1.0]]])
    counted = open_pixels(target, burned)
    assert counted.tolist() == [[[True, True, False, False]]]
    predicted = torch.zeros(1, 1, 4, requires_grad=True)
    spread_loss(predicted, target, counted, None, 0.1).backward()
    assert predicted.grad is not None
    assert predicted.grad[0, 0, 2:].tolist() == [0.0, 0.0]
    assert (predicted.grad[0, 0, :2] != 0).all()


def test_nothing_to_count_is_no_nan():
    empty = torch.zeros(1, 2, 2, dtype=torch.bool)
    assert spread_loss(torch.ones(1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.uint8), empty, None, 0.1).item() == 0


def test_certain_and_wrong_is_finite():
    predicted = torch.tensor([[[-200.0, 200.0]]], requires_grad=True)
    target = torch.tensor([[[1, 0]]], dtype=torch.uint8)
    loss = spread_loss(predicted, target, torch.ones(1, 1, 2, dtype=torch.bool), 1.0, 0.0)
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert predicted.grad is not None
    assert predicted.grad[0, 0].tolist() == [-0.5, 0.5]


@pytest.mark.parametrize("pos_weight", [None, 3.0])
def test_parts_of_a_batch_have_the_gradient_of_the_whole(pos_weight):
    """What two processes do: each sees the other's sums without a gradient, and the mean of twice each is the sum."""
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randn(3, 6, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    target = (torch.rand(3, 6, 5, generator=generator) < 0.3).to(torch.uint8)
    counted = torch.rand(3, 6, 5, generator=generator) < 0.8
    whole = spread_loss(predicted, target, counted, pos_weight, 0.1)
    (expected,) = torch.autograd.grad(whole, predicted)
    found = torch.zeros_like(expected)
    for own in ([0, 2], [1]):
        sums = [spread_sums(predicted[n : n + 1], target[n : n + 1], counted[n : n + 1]) for n in range(3)]
        total = torch.stack([s if n in own else s.detach() for n, s in enumerate(sums)]).sum(0)
        loss = loss_of_sums(total, pos_weight, 0.1)
        assert loss.item() == pytest.approx(whole.item(), rel=1e-12)
        found += torch.autograd.grad(loss, predicted)[0]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)


def test_one_process_has_the_total_itself():
    sums = torch.ones(6, requires_grad=True)
    assert over_processes(sums) is sums
