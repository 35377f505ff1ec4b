"""Losses against hand-worked numbers."""

import math

import pytest
import torch

from emberformer.losses import open_pixels, spread_loss


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
