"""Flow matching and sampling: paths, times, guidance, seeds."""

from dataclasses import replace

import pytest
import torch

from emberformer.ensemble.arrival_field import clamped, field_of, leads_of
from emberformer.ensemble.conditioning import BOTH, CONTEXT_ONLY, DINO_ONLY, NOTHING, drop_codes
from emberformer.ensemble.flow import FlowDraw, draw_times, flow_terms, shifted_time
from emberformer.ensemble.nano_dit import Denoised, NanoDiT
from emberformer.ensemble.prepared import Prepared
from emberformer.ensemble.sampling import Guidance, sample_fields
from emberformer.ensemble.warm_start import warm_start
from tests.dit import awake, conditions, noise, small_network


def nothing(batch=1, grid=(2, 3)):
    return torch.zeros_like(noise(batch, grid), dtype=torch.bool)


def test_every_lead_comes_back_from_its_field():
    for leads in (1, 2, 3, 6, 24):
        told = torch.tensor([[*range(1, leads + 1), 255]], dtype=torch.uint8)
        field = field_of(told, leads)
        assert torch.equal(leads_of(field, leads), told)
        assert torch.equal(leads_of(field + 0.9 / leads * (2 * torch.rand(field.shape) - 1), leads), told)
        assert (field.diff() > 0).all()  # later is higher
        assert (field.min(), field.max()) == (-1, 1)


def test_burned_and_unknown_pixels_are_held():
    field = torch.tensor([[0.3, 0.4, 0.5]])
    burned, unknown = torch.tensor([[True, False, False]]), torch.tensor([[False, True, False]])
    assert clamped(field, burned, unknown).tolist() == [[-1.0, 1.0, 0.5]]


def test_classes_have_their_shares():
    codes = drop_codes(20_000, 0.10, 0.30, 0.05, torch.Generator().manual_seed(0))
    for code, share in ((NOTHING, 0.10), (CONTEXT_ONLY, 0.30), (DINO_ONLY, 0.05), (BOTH, 0.55)):
        assert abs((codes == code).sum().item() - 20_000 * share) < 3 * (20_000 * share * (1 - share)) ** 0.5


def test_times_lie_between_noise_and_data_and_nearer_the_noise_when_shifted():
    times = draw_times(4000, 4.0, torch.Generator().manual_seed(0))
    assert ((times > 0) & (times < 1)).all()
    assert times.median() == pytest.approx(0.2, abs=0.02)  # of the shifted middle 0.5 / (0.5 + 4 * 0.5)
    assert torch.allclose(shifted_time(times, 1.0), times)


class Told(NanoDiT):
    """A network whose velocity is told by a function of field and time."""

    def __init__(self, velocity):
        torch.nn.Module.__init__(self)
        self.of, self.predicts = velocity, "velocity"

    def prepare(self, conditioning, drop=None):
        signal = torch.zeros(len(conditioning), 1) + (0 if drop is None else drop[:, None])
        return Prepared(signal, torch.zeros(len(conditioning), 1, 1), (), conditioning.pixels[:, :1], None, None, {})

    def denoised(self, x_t, t, prepared):
        return Denoised(self.of(x_t, t, prepared.signal), torch.zeros(len(x_t), 1, 1), None)


def test_the_loss_is_zero_for_the_right_velocity_and_counts_open_pixels_alone():
    field, source = torch.ones_like(noise(2)), noise(2, seed=3)
    draw = FlowDraw(torch.tensor([0.3, 0.6]), source, torch.tensor([BOTH, BOTH]))
    right = Told(lambda x, t, signal: field - source)
    assert flow_terms(right, conditions(2), field, nothing(2), nothing(2), draw).flow == 0
    burned, unknown = nothing(2), nothing(2)
    burned[..., :4], unknown[..., -4:] = True, True

    def wrong_outside(x, t, signal):
        assert (x[..., :4] == -1).all()
        assert (x[..., -4:] == 1).all()
        return torch.where(burned | unknown, 1e3, field - source + 2.0)

    terms = flow_terms(Told(wrong_outside), conditions(2), field, burned, unknown, draw)
    assert terms.flow == pytest.approx(4.0)
    part = field[..., :8]
    with pytest.raises(ValueError, match="noise of shape"):
        flow_terms(right, conditions(2), part, part > 2, part > 2, draw)


def test_a_margin_is_not_scored():
    field, source = torch.ones_like(noise(1)), noise(1, seed=3)
    draw = FlowDraw(torch.tensor([0.3]), source, torch.tensor([BOTH]))

    def wrong_at_the_edge(x, t, signal):
        found = field - source + 1e3
        found[..., 5:-5, 5:-5] = (field - source + 2.0)[..., 5:-5, 5:-5]
        return found

    terms = flow_terms(Told(wrong_at_the_edge), conditions(1), field, nothing(), nothing(), draw, margin=5)
    assert terms.flow == pytest.approx(4.0)


def test_the_alignment_is_zero_where_the_middle_block_says_the_features_to_come():
    network = small_network(aligned_features=16)
    assert network.alignment is not None
    with torch.no_grad():
        network.alignment.weight.copy_(torch.eye(16))
        network.alignment.bias.zero_()
    of, draw = conditions(1), FlowDraw(torch.tensor([0.5]), noise(1), torch.tensor([BOTH]))
    field = torch.zeros_like(noise(1))
    x_t = 0.5 * draw.noise
    _, middle = network.velocity(x_t, draw.time, network.prepare(of))
    wanted = middle.transpose(1, 2).unflatten(2, (4, 6)).unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)).flatten(2).mT
    terms = flow_terms(network, of, field, nothing(), nothing(), draw, wanted.detach())
    assert terms.alignment.item() == pytest.approx(0, abs=1e-6)
    opposite = flow_terms(network, of, field, nothing(), nothing(), draw, -wanted.detach())
    assert opposite.alignment.item() == pytest.approx(2, abs=1e-5)


def sample(network, batch=1, members=4, **changes):
    told = {"members": members, "steps": 5, "seeds": list(range(7, 7 + batch)), "shift": 2.0} | changes
    return sample_fields(network, conditions(batch), nothing(batch), nothing(batch), **told).fields


def test_a_straight_path_ends_at_its_field_whatever_the_steps():
    field = torch.linspace(-1, 1, 24)
    network = Told(lambda x, t, signal: (field - x) / (1 - t)[:, None, None, None])
    for steps, solver in ((1, "euler"), (7, "euler"), (4, "heun")):
        assert torch.allclose(sample(network, steps=steps, solver=solver), field.expand(1, 4, 16, 24), atol=1e-5)


def test_heun_is_of_second_order_and_euler_of_first():
    network = Told(lambda x, t, signal: -x)  # x(1) = x(0) / e
    exact = sample(Told(lambda x, t, signal: 0 * x)) / torch.e
    errors = {
        (solver, steps): (sample(network, steps=steps, solver=solver, shift=1.0) - exact).abs().max()
        for solver in ("euler", "heun")
        for steps in (10, 20)
    }
    assert errors["euler", 10] / errors["euler", 20] == pytest.approx(2, rel=0.2)
    assert errors["heun", 10] < errors["euler", 10] / 3


def test_members_follow_from_their_seed_alone():
    network = awake(small_network())
    some = sample(network, members=3)
    assert torch.equal(some, sample(network, members=3))
    assert torch.allclose(some, sample(network, members=5)[:, :3], atol=1e-5)
    assert torch.allclose(some, sample(network, members=3, at_once=1), atol=1e-5)
    assert not torch.allclose(some, sample(network, members=3, seeds=[8]), atol=1e-2)
    assert (some[0, 0] - some[0, 1]).abs().max() > 1e-2


def test_what_burns_stays_burned_and_what_is_unknown_stays_so():
    burned, unknown = nothing(), nothing()
    burned[..., :5], unknown[..., -3:] = True, True
    found = sample_fields(
        awake(small_network()), conditions(1), burned, unknown, members=3, steps=3, seeds=[0], shift=1.0
    ).fields
    assert (found[..., :5] == -1).all()
    assert (found[..., -3:] == 1).all()


def test_guidance_at_one_is_the_conditional_and_the_forms_are_as_written():
    by_class = {BOTH: 1.0, CONTEXT_ONLY: 2.0, DINO_ONLY: 4.0, NOTHING: 8.0}
    network = Told(lambda x, t, signal: torch.stack([torch.full_like(x[0], by_class[int(s)]) for s in signal]))
    still = sample(Told(lambda x, t, signal: 0 * x))

    def moved(**told):
        return (sample(network, guidance=Guidance(**told)) - still).mean().item()

    assert moved() == pytest.approx(1.0)
    assert moved(context=3.0, dino=2.0) == pytest.approx(8 + 2 * (4 - 8) + 3 * (1 - 4))
    assert moved(context=3.0, dino=2.0, form="additive") == pytest.approx(8 + 3 * (2 - 8) + 2 * (4 - 8))


def test_a_seed_for_every_sample():
    with pytest.raises(ValueError, match="seeds"):
        sample(awake(small_network()), batch=2, seeds=[1])


def test_a_warm_start_from_the_cls_token_alone_lacks_the_patches_and_nothing_else():
    old = small_network(patch_features=None)
    told = warm_start(small_network(inject="cross"), old.state_dict())
    assert told.new == ["null_dino_patches", "dino_patch_proj.weight", "dino_patch_proj.bias"]
    assert (told.mismatched, told.skipped) == ([], [])
    assert len(told.copied) == len(old.state_dict())
    both = warm_start(small_network(inject="both", patch_bias=-10.0), old.state_dict())
    assert set(both.new) - set(told.new) == {"patch_bias", "injection.weight", "injection.bias"}
    back = warm_start(small_network(patch_features=None), small_network(inject="cross").state_dict())
    assert set(back.skipped) == set(told.new)
    other = warm_start(small_network(cls_features=12, inject="cross"), old.state_dict())
    assert set(other.mismatched) == {"null_dino", "dino_proj.weight"}
    assert "mismatched: null_dino, dino_proj.weight; new: null_dino_patches" in str(other)


def test_a_warm_start_begins_as_the_old_network_only_where_the_new_patches_are_hidden():
    x, t, of = noise(2), torch.tensor([0.3, 0.8]), conditions(2)
    old = awake(small_network(patch_features=None))
    before = old(x, t, of)
    for bias, same in ((-30.0, True), (None, False)):
        network = small_network(inject="both", patch_bias=bias)
        warm_start(network, old.state_dict())
        assert torch.allclose(network.eval()(x, t, of), before, atol=1e-4) is same


@pytest.mark.slow
def test_a_hundred_steps_learn_two_fields_and_keep_the_velocity_in_bounds():
    network, of = small_network(), conditions(2)
    fields = torch.where(torch.arange(24) < torch.tensor([8, 16])[:, None], -1.0, 1.0)[:, None, None].expand(
        2, 1, 16, 24
    )
    chance, losses = torch.Generator().manual_seed(0), []
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(100):
        draw = FlowDraw(
            draw_times(8, 2.0, chance),
            torch.randn(8, 1, 16, 24, generator=chance),
            drop_codes(8, 0.1, 0.3, 0.05, chance),
        )
        four = _repeated(of)
        terms = flow_terms(network, four, fields.repeat(4, 1, 1, 1), nothing(8), nothing(8), draw)
        assert torch.isfinite(terms.flow)
        optimizer.zero_grad()
        terms.flow.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        assert torch.isfinite(norm)
        optimizer.step()
        losses.append(terms.flow.item())
    assert 0.5 < terms.velocity_norm < 3
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def _repeated(of):
    parts = {name: getattr(of, name) for name in ("context", "context_mask", "cls", "patches", "patch_mask", "pixels")}
    return replace(of, **{name: value.repeat(4, *[1] * (value.ndim - 1)) for name, value in parts.items()})
