"""Losses against hand-worked numbers."""

import math

import pytest
import torch

from emberformer.data.normalise import TerrainNormaliser
from emberformer.headwind import NEAR, Slope, headwind
from emberformer.losses import SpreadLoss, counted_pixels, loss_inputs, open_pixels, over_processes
from emberformer.training_settings import LossSettings
from tests.losses_of import spread_loss


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


NORMALISER = TerrainNormaliser({"slope_deg": (10.0, 5.0)}, ("aspect_deg",), (), {})
SLOPE = Slope(0, 1, 10.0, 5.0)
EVERY_TERM = {
    "dice": 0.1, "focal": 0.7, "focal_gamma": 0.5, "tversky": 0.3, "boundary": 0.4, "boundary_pixels": 1,
    "wind_direction": 2.0,
}  # fmt: skip
NOTHING = {"cross_entropy": 0.0, "dice": 0.0}


def some_batch(rows=6, columns=5) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    """Logits, a batch of three, and the pixels that count."""
    generator = torch.Generator().manual_seed(0)
    predicted = torch.randn(3, rows, columns, generator=generator, dtype=torch.float64, requires_grad=True)
    target = (torch.rand(3, rows, columns, generator=generator) < 0.3).to(torch.uint8)
    counted = torch.rand(3, rows, columns, generator=generator) < 0.8
    batch = {
        "target": target.masked_fill(torch.rand(target.shape, generator=generator) < 0.1, 255),
        "fire_pixels": (torch.rand(3, 2, rows, columns, generator=generator) < 0.2).double(),
        "wind": torch.randn(3, 2, 2, generator=generator).double(),
        "terrain_pixels": torch.randn(3, 4, rows, columns, generator=generator).double(),
    }
    return predicted, batch, counted & (batch["target"] != 255)


@pytest.mark.parametrize("changes", [{"pos_weight": None}, {"pos_weight": 3.0}, EVERY_TERM])
def test_parts_of_a_batch_have_the_gradient_of_the_whole(changes):
    """What two processes do: each sees the other's sums without a gradient, and the mean of twice each is the sum."""
    predicted, batch, counted = some_batch()
    loss = SpreadLoss(LossSettings.model_validate(changes), SLOPE)
    whole = loss.value(loss.sums(predicted, batch, counted))
    (expected,) = torch.autograd.grad(whole, predicted)
    found = torch.zeros_like(expected)
    for own in ([0, 2], [1]):
        one = [{key: value[n : n + 1] for key, value in batch.items()} for n in range(3)]
        sums = [loss.sums(predicted[n : n + 1], one[n], counted[n : n + 1]) for n in range(3)]
        assert sums[0].shape == (loss.size,)
        total = loss.value(torch.stack([s if n in own else s.detach() for n, s in enumerate(sums)]).sum(0))
        assert total.item() == pytest.approx(whole.item(), rel=1e-12)
        found += torch.autograd.grad(total, predicted)[0]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)


def test_a_pixel_that_does_not_count_has_no_gradient_in_any_term():
    predicted, batch, counted = some_batch()
    for name in ("cross_entropy", "dice", "focal", "tversky", "boundary", "wind_direction"):
        beside = {"dice": 1.0} if name in ("boundary", "wind_direction") else {}
        loss = SpreadLoss(LossSettings.model_validate({**NOTHING, **beside, name: 1.0}), SLOPE)
        (gradient,) = torch.autograd.grad(loss.value(loss.sums(predicted, batch, counted)), predicted)
        assert (gradient[~counted] == 0).all(), name
        assert gradient[counted].abs().sum() > 0, name


@pytest.mark.parametrize("name", ["focal", "boundary", "wind_direction"])
def test_no_term_is_nan_where_forecasts_are_certain_or_nothing_counts(name):
    predicted, batch, counted = some_batch()
    loss = SpreadLoss(LossSettings.model_validate({**EVERY_TERM, name: 1.0}), SLOPE)
    assert loss.value(loss.sums(predicted, batch, counted & False)).item() == 0
    certain = (200 * predicted).detach().requires_grad_()
    loss.value(loss.sums(certain, batch, counted)).backward()
    assert certain.grad is not None
    assert certain.grad.isfinite().all()


def value_of(loss: LossSettings, logits: list, target: list, **batch) -> float:
    """Loss of one row of pixels, or of several, all of which count."""
    observed = torch.tensor([target], dtype=torch.uint8)
    terms = SpreadLoss(loss)
    counted = torch.ones(observed.shape, dtype=torch.bool)
    return terms.value(terms.sums(torch.tensor([logits]), {"target": observed, **batch}, counted)).item()


def test_the_default_is_cross_entropy_and_a_tenth_of_dice():
    predicted, batch, counted = some_batch()
    loss = SpreadLoss(LossSettings())
    assert torch.equal(
        loss.value(loss.sums(predicted, batch, counted)), spread_loss(predicted, batch["target"], counted, 1.0, 0.1)
    )


def test_focal_by_hand():
    """Probabilities 1/2 (not burned) and 3/4 (burned), gamma 2, alpha 0.7."""
    found = value_of(LossSettings(cross_entropy=0.0, dice=0.0, focal=1.0), [[0.0, math.log(3.0)]], [[0, 1]])
    assert found == pytest.approx((0.3 * 0.5**2 * math.log(2) + 0.7 * 0.25**2 * math.log(4 / 3)) / 2)


def test_focal_without_gamma_is_half_the_cross_entropy():
    logits, target = [[0.3, -1.0, 2.0]], [[0, 1, 1]]
    focal = LossSettings(cross_entropy=0.0, dice=0.0, focal=1.0, focal_gamma=0.0, focal_alpha=0.5)
    plain = value_of(LossSettings(dice=0.0), logits, target)
    assert value_of(focal, logits, target) == pytest.approx(plain / 2)


def test_tversky_by_hand():
    """Probabilities 1/2 and 3/4: 3/4 hit, 1/2 false alarm, 1/4 missed."""
    found = value_of(
        LossSettings(cross_entropy=0.0, dice=0.0, tversky=1.0, tversky_alpha=0.3), [[0.0, math.log(3.0)]], [[0, 1]]
    )
    assert found == pytest.approx(1 - (0.75 + 0.5) / (0.75 + 0.3 * 0.5 + 0.7 * 0.25 + 0.5))


def test_tversky_that_weighs_both_errors_alike_is_dice():
    logits, target = [[0.3, -1.0, 2.0]], [[0, 1, 1]]
    tversky = LossSettings(cross_entropy=0.0, dice=0.0, tversky=1.0, tversky_alpha=0.5)
    dice = LossSettings(cross_entropy=0.0, dice=1.0)
    assert value_of(tversky, logits, target) == pytest.approx(value_of(dice, logits, target))


def test_the_band_about_the_next_perimeter_by_hand():
    """Of 1 1 1 0 0 ? 1 the third and fourth pixel have both kinds beside them; beside an unknown pixel is no edge."""
    logits = [0.0, 0.0, math.log(3.0), math.log(3.0), 5.0, 5.0, 5.0]
    target = [1, 1, 1, 0, 0, 255, 1]
    loss = SpreadLoss(LossSettings(cross_entropy=0.0, dice=1.0, boundary=1.0, boundary_pixels=1))
    observed = torch.tensor([[target]], dtype=torch.uint8)
    sums = loss.sums(torch.tensor([[logits]]), {"target": observed}, observed != 255)
    assert sums[6:].tolist() == pytest.approx([2, math.log(4 / 3) + math.log(4)])
    assert (loss.value(sums) - loss.value(torch.cat([sums[:6], torch.zeros(2)]))).item() == pytest.approx(
        (math.log(4 / 3) + math.log(4)) / 2
    )


def one_burned_pixel() -> torch.Tensor:
    burned = torch.zeros(1, 5, 7)
    burned[0, 2, 3] = 1
    return burned


def everywhere(east: float, north: float) -> torch.Tensor:
    return torch.tensor([east, north])[None, :, None, None].expand(1, 2, 5, 7)


def test_growth_against_a_west_wind_has_headwind_and_growth_with_it_has_none():
    against, near = headwind(one_burned_pixel(), everywhere(0.8, 0.0))
    assert near.all()
    assert against[0, 2].tolist() == pytest.approx([0.8, 0.8, 0.8, 0, 0, 0, 0])  # to the west: full; to the east: none
    assert against[0, 0, 3].item() == pytest.approx(0, abs=1e-6)  # across the wind
    assert against[0, 1, 2].item() == pytest.approx(0.8 / math.sqrt(2))  # to the north-west


def test_north_is_up():
    against, _ = headwind(one_burned_pixel(), everywhere(0.0, 1.0))
    assert against[0, :, 3].tolist() == pytest.approx([0, 0, 0, 1, 1])  # the wind blows north, rows run south


def test_far_from_the_fire_no_wind_speaks_against_growth():
    burned = torch.zeros(1, 1, 2 * NEAR)
    burned[0, 0, 0] = 1
    against, near = headwind(burned, torch.tensor([-1.0, 0.0])[None, :, None, None].expand(1, 2, 1, 2 * NEAR))
    assert near[0, 0].tolist() == [True] * (NEAR + 1) + [False] * (NEAR - 1)
    assert against[0, 0].tolist() == pytest.approx([0] + [1] * NEAR + [0] * (NEAR - 1))


def test_a_slope_drives_fire_uphill():
    """45 degrees that fall to the south: the rise is 1 to the north."""
    slope = Slope.of(NORMALISER)
    assert slope == SLOPE
    terrain = torch.tensor([(45.0 - 10.0) / 5.0, math.sin(math.pi), math.cos(math.pi), 1.0])[None, :, None, None]
    assert slope is not None
    assert slope.rise(terrain)[0, :, 0, 0].tolist() == pytest.approx([0, 1], abs=1e-6)
    assert Slope.of(TerrainNormaliser({"elevation": (0.0, 1.0)}, ("aspect_deg",), (), {})) is None


def test_growth_upwind_is_punished_and_growth_downwind_is_not():
    weighed = LossSettings(cross_entropy=0.0, dice=1.0, wind_direction=1.0)
    assert loss_inputs(weighed) == ("wind", "terrain_pixels")
    loss = SpreadLoss(weighed)
    burned = one_burned_pixel()
    batch = {
        "target": torch.zeros(1, 5, 7, dtype=torch.uint8), "fire_pixels": burned[:, None].expand(1, 2, 5, 7),
        "wind": torch.tensor([[[-9.0, 0.0], [0.5, 0.0]]]),
    }  # fmt: skip
    predicted = torch.zeros(1, 5, 7, requires_grad=True)
    sums = loss.sums(predicted, batch, burned < 0.5)
    assert sums[6] == 34
    sums[7].backward()
    assert predicted.grad is not None
    assert predicted.grad[0, 2, :3].tolist() == pytest.approx([0.25 * 0.5] * 3)  # p (1 - p) times the headwind
    assert (predicted.grad[0, :, 4:] == 0).all()


def test_one_process_has_the_total_itself():
    sums = torch.ones(6, requires_grad=True)
    assert over_processes(sums) is sums


def test_where_fires_go_out_burning_pixels_count_too():
    """Two items of one batch: of the first burned stays burned, in the second fires go out."""
    target = torch.tensor([[[0, 1, 255]]] * 2, dtype=torch.uint8)
    burned = torch.tensor([[[[1.0, 0, 0]]]] * 2).expand(-1, 2, -1, -1)
    batch = {"target": target, "fire_pixels": burned, "stays": torch.tensor([1.0, 0.0])}
    assert counted_pixels(batch).tolist() == [[[False, True, False]], [[True, True, False]]]
