"""Shares of the values of a field: at first each pixel burns for itself, by the deterministic forecast."""

from dataclasses import replace

import pytest
import torch

from emberformer.ensemble.arrival_field import leads_of, level_shares, level_values
from emberformer.ensemble.conditioning import BOTH
from emberformer.ensemble.flow import FlowDraw, flow_terms
from emberformer.ensemble.noise import with_shared
from emberformer.ensemble.sampling import Guidance, sample_fields
from tests.dit import awake, conditions, noise, small_network


def told(probability, batch=1):
    """Conditions with a deterministic forecast, one probability a lead for all pixels."""
    of = conditions(batch)
    shape = (batch, 1, *of.pixels.shape[2:])
    each = torch.cat([torch.full(shape, p) for p in probability], 1)
    return replace(of, shares=level_shares(each))


def drawn(network, of, members=60, steps=40, **how):
    nothing = torch.zeros_like(noise(1), dtype=torch.bool)
    return sample_fields(network, of, nothing, nothing, members=members, steps=steps, seeds=[3], shift=3.0, **how)


def draw(network, of, members=60, steps=40, shared=0.0):
    return drawn(network, of, members, steps, shared=shared).fields[0]


@pytest.mark.parametrize("probability", [(0.05,), (0.4,), (0.2, 0.3, 0.7)])
def test_an_untrained_network_draws_independent_pixels_of_the_forecast(probability):
    leads = len(probability)
    network = small_network(predicts="levels", leads=leads).eval()
    with torch.inference_mode():
        lead = leads_of(draw(network, told(probability)), leads)
    pixels = lead[0].numel()
    for number, p in enumerate(probability, 1):
        burned = (lead <= number).float()
        assert burned.mean() == pytest.approx(p, abs=0.015)
        areas = burned.flatten(1).sum(1)
        assert areas.var() == pytest.approx(pixels * p * (1 - p), rel=0.6)  # of a binomial: nothing is shared


def test_with_shared_noise_an_untrained_network_draws_a_gaussian_copula():
    network, p = small_network(predicts="levels", leads=1).eval(), 0.3
    with torch.inference_mode():
        shares = (leads_of(draw(network, told((p,)), members=300, shared=0.5), 1) == 1).float().mean((1, 2))
    common = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal(0.0, 1.0)
    expected = normal.cdf((normal.icdf(torch.tensor(p)) - 0.5**0.5 * common) / 0.5**0.5)  # Vasicek's share
    assert shares.mean() == pytest.approx(p, abs=0.04)
    assert shares.std() == pytest.approx(expected.std().item(), rel=0.15)


def test_sure_pixels_share_no_noise():
    mean = torch.zeros_like(noise(2))
    mean[:, :, 0], mean[:, :, 1] = 0.99, -0.99
    of = replace(conditions(2), mean=mean)
    white, common = torch.randn(2, 4, *mean.shape[2:]), torch.full((2, 4), 9.0)
    found = with_shared(white, common, of, 0.25)
    assert torch.equal(found[:, :, :2], white[:, :, :2])
    assert torch.allclose(found[:, :, 2:], 0.75**0.5 * white[:, :, 2:] + 0.5 * 9)
    assert with_shared(white, common, of, 0.0) is white


def test_the_burn_probability_is_the_forecast_where_nothing_was_learned_and_has_less_noise_than_the_members():
    network, forecast = small_network(predicts="levels", leads=3).eval(), (0.2, 0.3, 0.7)
    with torch.inference_mode():
        found = drawn(network, told(forecast), members=16, steps=12)
    assert found.burned_by is not None
    for number, p in enumerate(forecast):
        share = (leads_of(found.fields[0], 3) <= number + 1).float().mean(0)
        assert found.burned_by[0, number].mean() == pytest.approx(p, abs=0.01)
        assert (found.burned_by[0, number] - p).abs().mean() < 0.6 * (share - p).abs().mean()
    assert (found.burned_by.diff(dim=1) >= 0).all()
    guided = drawn(network, told(forecast), members=2, steps=2, guidance=Guidance(2.0))
    assert guided.burned_by is None


def test_fields_end_at_their_values():
    network = small_network(predicts="levels", leads=2).eval()
    with torch.inference_mode():
        found = draw(network, told((0.3, 0.6)), members=4)
    apart = (found[..., None] - level_values(2, found)).abs().min(-1).values
    assert apart.max() < 0.15


def test_what_is_sure_stays_so_whatever_the_network_says_of_all_pixels():
    network = awake(small_network(predicts="levels", leads=1))
    with torch.inference_mode():
        never, always = (leads_of(draw(network, told((p,)), 8, 12), 1) for p in (0.0, 1.0))
    assert (never == 255).float().mean() > 0.95
    assert (always == 1).float().mean() > 0.95


def test_the_expected_field_follows_from_noise_and_forecast_by_bayes():
    network = small_network(predicts="levels", leads=1)
    of, t = told((0.2,)), torch.tensor([0.5])
    x = torch.full_like(noise(1), -0.1)
    found = network.denoised(x, t, network.prepare(of))
    assert found.scores is not None
    odds = 0.2 / 0.8 * torch.exp(torch.tensor(((-0.1 - 0.5) ** 2 - (-0.1 + 0.5) ** 2) / (2 * 0.25)))
    burned = odds / (1 + odds)
    assert torch.allclose(x + 0.5 * found.velocity, (1 - 2 * burned).expand_as(x), atol=1e-5)
    assert torch.allclose(found.scores.softmax(1)[:, :1], burned.expand_as(x), atol=1e-5)


def test_the_cross_entropy_is_that_of_the_right_value_on_open_pixels():
    network, of = small_network(predicts="levels", leads=1), told((0.2,))
    field, closed = torch.ones_like(noise(1)), torch.zeros_like(noise(1), dtype=torch.bool)
    field[..., :6] = -1
    closed[..., 3:] = True  # of the rest the first three columns burn
    at = FlowDraw(torch.tensor([0.0]), noise(1), torch.tensor([BOTH]))
    terms = flow_terms(network, of, field, torch.zeros_like(closed), closed, at)
    assert terms.levels.item() == pytest.approx(-torch.log(torch.tensor(0.2)).item(), rel=1e-3)
    field_network = small_network()
    assert flow_terms(field_network, conditions(1), field, closed & False, closed, at).levels == 0


@pytest.mark.slow
def test_training_learns_that_pixels_burn_together():
    """Fields that burn as a whole or not at all, of a forecast that says 50 % of every pixel."""
    network, of = small_network(predicts="levels", leads=1), told((0.5,), batch=8)
    optimizer, chance = torch.optim.AdamW(network.parameters(), 3e-3), torch.Generator().manual_seed(0)
    nothing = torch.zeros_like(noise(8), dtype=torch.bool)
    for step in range(150):
        whole = torch.randint(0, 2, (8, 1, 1, 1), generator=chance) * 2.0 - 1
        time = torch.rand(8, generator=chance) ** 2
        at = FlowDraw(time, noise(8, seed=step), torch.zeros(8, dtype=torch.long))
        optimizer.zero_grad()
        flow_terms(network, of, whole.expand_as(nothing).contiguous(), nothing, nothing, at).levels.backward()
        optimizer.step()
    with torch.inference_mode():
        burned = (leads_of(draw(network.eval(), told((0.5,)), 40, 25), 1) == 1).float().flatten(1).mean(1)
    assert ((burned < 0.1) | (burned > 0.9)).float().mean() > 0.8
    assert 0.2 < (burned > 0.5).float().mean() < 0.8
