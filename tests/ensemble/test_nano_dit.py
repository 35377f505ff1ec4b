"""The diffusion transformer: shapes, what each condition can and cannot change, and where gradients go."""

from dataclasses import replace

import pytest
import torch

from emberformer.ensemble.conditioning import BOTH, CONTEXT_ONLY, DINO_ONLY, NOTHING
from emberformer.ensemble.flow import FlowDraw, flow_terms
from emberformer.ensemble.nano_dit import TIME_SCALE
from emberformer.model.position import place_encoding, sinusoids
from tests.dit import CONTEXT, FEATURES, PATCH, awake, conditions, noise, small_network


@pytest.mark.parametrize("grid", [(2, 2), (2, 3), (4, 1)])
@pytest.mark.parametrize("inject", ["cross", "add", "both"])
@pytest.mark.parametrize("adaln", [6, 9])
def test_a_velocity_has_the_shape_of_its_field(grid, inject, adaln):
    x = noise(2, grid)
    assert small_network(inject=inject, adaln=adaln)(x, torch.tensor([0.1, 0.9]), conditions(2, grid)).shape == x.shape


def test_the_sequence_is_context_text_cls_patches():
    network = small_network(text_features=5)
    prepared = network.prepare(conditions(2, text=7))
    assert prepared.lengths == {"context": 4, "text": 7, "cls": 1, "patches": 6}
    assert list(prepared.lengths) == ["context", "text", "cls", "patches"]
    assert prepared.conditions[0].key.shape[2] == 4 + 7 + 1 + 6


def test_there_is_one_cross_attention_a_block():
    names = {name.split(".")[2] for name in small_network().state_dict() if name.startswith("blocks.0.")}
    assert names == {"self_qkv", "self_out", "cross_query", "cross_kv", "cross_out", "mlp", "modulation"}


def test_modulation_is_of_six_or_nine_vectors():
    for adaln in (6, 9):
        assert small_network(adaln=adaln).state_dict()["blocks.0.modulation.1.weight"].shape == (adaln * 16, 16)


def test_with_gates_a_block_begins_as_the_identity_and_without_it_does_not():
    x, of = noise(1), conditions(1)
    for adaln, same in ((9, True), (6, False)):
        network = small_network(adaln=adaln)
        prepared = network.prepare(of)
        signal, tokens = network._begin(x, torch.tensor([0.3]), prepared)
        assert torch.equal(network.blocks[0](tokens, signal, prepared.conditions[0]), tokens) is same


def test_the_velocity_leads_to_the_field_that_is_forecast():
    network, x, t = awake(small_network()), noise(1), torch.tensor([0.4])
    of = conditions(1)
    field = x + 0.6 * network(x, t, of)
    as_told = awake(small_network(predicts="velocity"))(x, t, of)  # of the same weights, read as a velocity
    assert torch.allclose(field, as_told, atol=1e-5)
    moved = replace(of, mean=torch.full_like(x, 0.25))
    assert torch.allclose(x + 0.6 * network(x, t, moved), field + 0.25, atol=1e-5)


def test_keys_and_values_do_not_know_the_time_and_the_velocity_does():
    network, of, x = awake(small_network()), conditions(2), noise(2)
    prepared = network.prepare(of)
    early, late = (network.velocity(x, torch.full((2,), t), prepared)[0] * (1 - t) for t in (0.1, 0.8))
    assert not torch.allclose(early, late, atol=1e-3)
    again = network.prepare(of)
    assert torch.equal(prepared.conditions[1].key, again.conditions[1].key)
    assert torch.equal(prepared.signal, network.dino_proj(of.cls))  # the CLS token, without the time


def test_times_are_told_apart():
    codes = sinusoids(torch.tensor([0.0, 0.1, 1.0]) * TIME_SCALE, 64)
    likeness = torch.nn.functional.cosine_similarity(codes[:1], codes[1:])
    assert likeness.max() < 0.5
    network, told = small_network(d_model=64), []
    network.time.register_forward_pre_hook(lambda layer, inputs: told.append(inputs[0]))
    network(noise(3), torch.tensor([0.0, 0.1, 1.0]), conditions(3))
    assert torch.allclose(told[0], codes)
    blind = sinusoids(torch.tensor([0.0, 1.0]), 64)
    assert torch.nn.functional.cosine_similarity(blind[:1], blind[1:]) > 0.9


def codes(code):
    return torch.full((2,), code)


@pytest.mark.parametrize(
    ("code", "knows_context", "knows_dino"),
    [(BOTH, True, True), (CONTEXT_ONLY, True, False), (DINO_ONLY, False, True), (NOTHING, False, False)],
)
def test_what_is_left_out_changes_nothing(code, knows_context, knows_dino):
    network, x, t = awake(small_network()), noise(2), torch.tensor([0.2, 0.7])
    of, other = conditions(2), conditions(2, seed=9)
    told = network(x, t, of, codes(code))
    assert torch.equal(told, network(x, t, of.with_context_of(other), codes(code))) is not knows_context
    for changed in (of.with_features_of(other), replace(of, cls=other.cls), replace(of, patches=other.patches)):
        assert torch.equal(told, network(x, t, changed, codes(code))) is not knows_dino


def test_each_sample_of_a_batch_has_its_own_class():
    network, x, t, of = awake(small_network()), noise(2), torch.tensor([0.2, 0.7]), conditions(2)
    mixed = network(x, t, of, torch.tensor([CONTEXT_ONLY, DINO_ONLY]))
    for place, code in ((0, CONTEXT_ONLY), (1, DINO_ONLY)):
        assert torch.allclose(mixed[place], network(x, t, of, codes(code))[place], atol=1e-5)


def test_the_length_of_a_text_that_is_left_out_is_not_told():
    network, x, t = awake(small_network(text_features=5)), noise(1), torch.tensor([0.5])
    short, long = conditions(1, text=2), conditions(1, text=6)
    long = replace(long, pixels=short.pixels, cls=short.cls, patches=short.patches, context=short.context)
    drop = torch.tensor([DINO_ONLY])
    assert torch.allclose(network(x, t, short, drop), network(x, t, long, drop), atol=1e-5)
    assert not torch.allclose(network(x, t, short), network(x, t, long), atol=1e-5)


def test_padding_of_the_context_changes_nothing():
    network, x, t, of = awake(small_network()), noise(2), torch.tensor([0.2, 0.7]), conditions(2)
    other = of.context.clone()
    other[:, -1] = 100.0
    assert torch.equal(network(x, t, of), network(x, t, replace(of, context=other)))


@pytest.mark.parametrize("inject", ["cross", "add", "both"])
def test_a_patch_without_a_real_pixel_changes_nothing(inject):
    network, x, t, of = awake(small_network(inject=inject)), noise(2), torch.tensor([0.2, 0.7]), conditions(2)
    assert of.patches is not None
    assert of.patch_mask is not None
    mask, other = of.patch_mask.clone(), of.patches.clone()
    mask[:, -1] = False
    other[:, -1] = 100.0
    of = replace(of, patch_mask=mask)
    assert torch.equal(network(x, t, of), network(x, t, replace(of, patches=other)))


def test_null_tokens_begin_at_zero():
    network = small_network(text_features=5)
    for null in (network.null_context, network.null_dino, network.null_text, network.null_dino_patches):
        assert null is not None
        assert not null.any()


def test_a_sample_does_not_depend_on_its_batch():
    network, x, t, of = awake(small_network()), noise(3), torch.tensor([0.2, 0.7, 0.5]), conditions(3)
    alone = conditions(3)
    assert of.patches is not None
    assert of.patch_mask is not None
    first = replace(
        alone, context=of.context[:1], context_mask=of.context_mask[:1], cls=of.cls[:1], patches=of.patches[:1],
        patch_mask=of.patch_mask[:1], pixels=of.pixels[:1],
    )  # fmt: skip
    assert torch.allclose(network(x, t, of)[:1], network(x[:1], t[:1], first), atol=1e-5)


def test_a_patch_is_injected_at_its_own_tokens():
    network, of = awake(small_network(inject="add")), conditions(1, (3, 4))
    assert of.patches is not None
    bright = of.patches.clone()
    bright[0, 6] += 5  # row 1, column 2 of 3 x 4
    change = (network.prepare(replace(of, patches=bright)).tokens - network.prepare(of).tokens).norm(dim=-1)
    changed = change.unflatten(1, (6, 8))[0] > 1e-4
    assert changed[2:4, 4:6].all()
    assert changed.sum() == 4


def test_field_and_patches_share_one_ruler():
    patches = place_encoding(torch.zeros(1, 2), (3, 4), 1.0, 16)[0]
    tokens = place_encoding(torch.zeros(1, 2), (6, 8), 0.5, 16)[0]
    nearest = (tokens @ patches.T).argmax(1).view(6, 8)
    expected = torch.arange(12).view(3, 4).repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(nearest, expected)
    moved = place_encoding(torch.tensor([[1.0, 2.0]]), (2, 2), 1.0, 16)[0]
    assert torch.allclose(moved[0], place_encoding(torch.zeros(1, 2), (3, 4), 1.0, 16)[0, 6])


@pytest.mark.slow
def test_a_bright_patch_moves_attention_and_fire_to_its_own_cell():
    network, of = small_network(inject="cross", depth=1, d_model=32), conditions(12, (3, 4))
    assert of.patches is not None
    bright = torch.zeros_like(of.patches)
    bright[torch.arange(12), torch.arange(12), 0] = 3.0  # sample n has a bright patch n, and nothing else to go by
    blank = {name: torch.zeros_like(getattr(of, name)) for name in ("pixels", "cls", "context")}
    of = replace(of, patches=bright, **blank)
    cell = torch.eye(12).view(12, 1, 3, 4).repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)
    chance, all_open = torch.Generator().manual_seed(0), cell > 1
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(250):
        draw = FlowDraw(torch.full((12,), 0.05), torch.randn(cell.shape, generator=chance), torch.zeros(12).long())
        optimizer.zero_grad()
        flow_terms(network, of, 1 - 2 * cell, all_open, all_open, draw).flow.backward()
        optimizer.step()
    prepared, x, t = network.prepare(of), torch.randn(cell.shape, generator=chance), torch.full((12,), 0.05)
    velocity, _ = network.velocity(x, t, prepared)
    assert ((x + 0.95 * velocity < 0) == (cell > 0.5)).float().mean() > 0.98
    signal, tokens = network._begin(x, t, prepared)
    shares = network._dit_blocks[0].shares(tokens, signal, prepared.conditions[0])[..., -12:]
    to_bright = torch.stack([shares[n, :, n].view(3, 2, 4, 2).mean((1, 3)).flatten() for n in range(12)])
    assert torch.equal(to_bright.argmax(1), torch.arange(12))


def test_shares_of_attention_are_of_all_conditions_and_sum_to_one():
    network, x, of = awake(small_network(text_features=5)), noise(2), conditions(2, text=3)
    shares = network.attention_shares(x, torch.tensor([0.1, 0.6]), network.prepare(of))
    assert list(shares) == ["context", "text", "cls", "patches"]
    assert torch.allclose(torch.stack(list(shares.values())).sum(0), torch.ones(2, 24), atol=1e-5)
    assert all((share > 0).all() for share in shares.values())


def test_a_bias_far_below_zero_hides_the_patches():
    x, t, of = noise(1), torch.tensor([0.5]), conditions(1)
    network = awake(small_network(inject="cross", patch_bias=-100.0))
    assert of.patches is not None
    assert torch.allclose(network(x, t, of), network(x, t, replace(of, patches=5 * of.patches)), atol=1e-6)


def test_every_parameter_has_a_gradient_after_two_steps():
    network = small_network(text_features=5, aligned_features=4)
    assert network.alignment is not None
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    for step in range(3):
        prepared = network.prepare(
            conditions(4, seed=step, text=3), torch.tensor([BOTH, CONTEXT_ONLY, DINO_ONLY, NOTHING])
        )
        velocity, middle = network.velocity(noise(4), torch.rand(4), prepared)
        optimizer.zero_grad()
        ((velocity - noise(4, seed=5)).square().mean() + network.alignment(middle).square().mean()).backward()
        optimizer.step()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="does not divide"):
        small_network(side=5)
    with pytest.raises(ValueError, match="text"):
        small_network(text_features=5)(noise(1), torch.tensor([0.5]), conditions(1))
    with pytest.raises(ValueError, match="patches"):
        small_network()(noise(1), torch.tensor([0.5]), replace(conditions(1), patches=None))


def test_sizes_come_from_the_data():
    network = small_network(cls_features=384, patch_features=768, context_features=21)
    assert network.dino_proj.in_features == 384
    assert network.dino_patch_proj is not None
    assert network.dino_patch_proj.in_features == 768
    assert network.null_dino_patches is not None
    assert network.null_dino_patches.shape == (768,)
    assert (PATCH, CONTEXT, FEATURES) == (8, 6, 10)
