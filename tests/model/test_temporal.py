"""The temporal part: windows, means, recomputation, attention by lag, and what can be learned from a long past."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from emberformer.model.attention import AttentionBlock
from emberformer.model.cross_patch import CrossPatch
from emberformer.model.parts import build_temporal
from emberformer.model.position import grid_encoding, lag_encoding
from emberformer.model.temporal import NewestMoment, PooledPast, TemporalTransformer, with_lag
from emberformer.settings import ModelSettings

D = 16


def transformer(window=None, layers=2, **more):
    torch.manual_seed(0)
    return TemporalTransformer(D, layers, 4, 24, 0.0, window, **more).eval()


def tokens(history, batch=2, patches=3, seed=1):
    return torch.randn(batch, patches, history, D, generator=torch.Generator().manual_seed(seed))


def banded(model, x, valid_t):
    """All moments through all blocks under a whole mask: what one would first write."""
    history = x.shape[2]
    ago = torch.arange(history)[:, None] - torch.arange(history)
    seen = ((ago >= 0) & (ago < model.window))[None] & valid_t[:, None] | (ago == 0)
    x = with_lag(x)
    for block in model.blocks:
        x = block(x, seen, history)
    return model.norm(x[:, :, -1])


@settings(max_examples=15)
@given(window=st.integers(1, 5), layers=st.integers(1, 3), history=st.integers(1, 14), padding=st.integers(0, 4))
def test_a_window_equals_attention_under_a_whole_mask(window, layers, history, padding):
    model, x = transformer(window, layers), tokens(history)
    valid = torch.ones(2, history, dtype=torch.bool)
    valid[1, : min(padding, history - 1)] = False
    with torch.no_grad():
        expected = banded(model, x, valid)
        assert torch.allclose(model(x, valid), expected, atol=1e-5)
        newest = min(history, layers * (window - 1) + 1)
        assert model.moments == layers * (window - 1) + 1
        assert torch.allclose(model(x[:, :, -newest:], valid[:, -newest:]), expected, atol=1e-5)
        if valid.all():
            assert torch.allclose(model(x, None), expected, atol=1e-5)


def test_a_windows_memory_does_not_grow_with_the_history():
    model, kept = transformer(window=3), []
    for history in (16, 64):
        x, sizes = tokens(history), []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: (sizes.append(t.numel()), t)[1], lambda t: t
        ):
            model(x[:, :, -(model.moments or 0) :], None)
        kept.append(sum(sizes))
    assert kept[0] == kept[1]
    assert transformer(window=3, layers=4).moments == 9


def test_a_pooled_past_is_the_mean_of_the_real_moments_at_first():
    torch.manual_seed(0)
    model, x = PooledPast(D, 1, 24, 0.0).eval(), tokens(5, batch=1)
    valid = torch.tensor([[False, False, True, True, True]])
    coded = with_lag(x)
    expected = model.norm(model.layers(coded[:, :, -1] + model.from_past(coded[:, :, 2:].mean(2))))
    assert torch.allclose(model(x, valid), expected, atol=1e-5)
    assert torch.allclose(model.attention_by_lag(x, valid)[0, 0, 0, 0], torch.tensor([0, 0, 1 / 3, 1 / 3, 1 / 3]))


@pytest.mark.parametrize("temporal", ["transformer", "local", "pooled", "last_frame"])
def test_patches_without_history_have_their_newest_token_normed(temporal):
    model = build_temporal(ModelSettings(d_model=D, layers=1, feedforward=24, temporal=temporal))
    token = tokens(1)[:, :, 0]
    expected = functional.layer_norm(token + lag_encoding(1, D), (D,))
    assert torch.allclose(model.without_history(token), expected, atol=1e-5)


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputing_blocks_changes_no_number_and_keeps_less(window, dropout):
    results = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = TemporalTransformer(D, 3, 4, 24, dropout, window, checkpointing).train()
        x, kept = tokens(6).requires_grad_(), []
        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: (kept.append(t.numel()), t)[1], lambda t: t):
            output = model(x, None)
        output.square().sum().backward()
        results.append((output, x.grad, [p.grad for p in model.parameters()], sum(kept)))
    (output, by_x, by_weights, kept), (again, by_x_again, by_weights_again, kept_again) = results
    assert torch.equal(output, again)
    assert torch.allclose(by_x, by_x_again, atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(by_weights, by_weights_again, strict=True))
    assert kept_again < kept / 3


@pytest.mark.parametrize("window", [None, 2])
def test_attention_by_lag_sums_to_one_and_is_nothing_on_padding(window):
    model, x = transformer(window), tokens(5)
    valid = torch.tensor([[True] * 5, [False, False, False, True, True]])
    weights = model.attention_by_lag(x, valid)
    assert weights.shape == (2, 2, 3, 4, 5)
    assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-6)
    assert not weights[:, 1, ..., :3].any()
    if window:
        assert not weights[..., :-window].any()


@pytest.mark.parametrize("valid", [None, torch.tensor([[True] * 5, [False, False, True, True, True]])])
def test_attention_by_lag_is_what_the_forecast_weighs_with(valid):
    model, x = transformer(layers=1), tokens(5)
    block = model.blocks[0]
    assert isinstance(block, AttentionBlock)
    coded = with_lag(x)
    value = block.key_value(block.attention_norm(coded)).chunk(2, -1)[1].unflatten(-1, (4, -1))
    weighed = torch.einsum("bnht,bnthd->bnhd", model.attention_by_lag(x, valid)[0], value).flatten(2)
    expected = model.norm(block.feedforward(coded[:, :, -1] + block.out(weighed)))
    assert torch.allclose(model(x, valid), expected, atol=1e-5)


def test_a_block_is_pytorchs_layer_under_any_mask():
    torch.manual_seed(0)
    block = AttentionBlock(D, 4, 24, 0.0).eval()
    seen = torch.rand(2, 5, 5) < 0.5
    seen |= torch.eye(5, dtype=torch.bool)
    x = tokens(5)
    weights = block.weights(x, seen, 5)
    assert not weights.masked_select(~seen[:, None, None].expand_as(weights)).any()
    value = block.key_value(block.attention_norm(x)).chunk(2, -1)[1].unflatten(-1, (4, -1))
    weighed = torch.einsum("bnhts,bnshd->bnthd", weights, value).flatten(3)
    assert torch.allclose(block(x, seen, 5), block.feedforward(x + block.out(weighed)), atol=1e-5)
    assert torch.equal(block(x, seen[:1], 5)[0], block(x, seen, 5)[0])


def test_a_patch_has_the_same_place_in_a_grid_of_any_size():
    small, large = grid_encoding(2, 3, 10), grid_encoding(7, 9, 10)
    assert torch.equal(small, large[:2, :3])
    places = large.flatten(0, 1)
    assert torch.pdist(places).min() > 0.1


@pytest.mark.parametrize("grid", [(2, 5), (4, 3)])
def test_attention_between_patches_joins_them_all_and_knows_where_they_are(grid):
    torch.manual_seed(0)
    model = CrossPatch(D, 2, 4, 24, 0.0).eval()
    x = torch.randn(1, *grid, D).requires_grad_()
    joined = model(x)
    assert joined.shape == x.shape
    (gradient,) = torch.autograd.grad(joined[0, 0, 0, 0], x)
    assert (gradient.abs().sum(-1) > 0).all()
    with torch.no_grad():
        assert (model(x.flip(1)).flip(1) - joined).abs().max() > 1e-3


def test_recomputing_between_patches_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model, x = CrossPatch(D, 2, 4, 24, 0.0, checkpointing), torch.randn(1, 3, 3, D).requires_grad_()
        model(x).square().sum().backward()
        gradients.append(x.grad)
    assert torch.allclose(*gradients, atol=1e-6)


def accuracy_of_remembering(model, lag, history=32, steps=150):
    """Share right, on fresh samples, of a network that learns the sign of what stood `lag` frames ago."""
    torch.manual_seed(0)
    enter, head = nn.Linear(1, D), nn.Linear(D, 1)
    layers = nn.ModuleList([model, enter, head])
    optimizer = torch.optim.Adam(layers.parameters(), 3e-3)

    def logits(x):
        return head(model(enter(x), None))[:, 0, 0]

    for _ in range(steps):
        x = torch.randn(128, 1, history, 1).sign()
        loss = functional.binary_cross_entropy_with_logits(logits(x), (x[:, 0, -1 - lag, 0] > 0).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        x = torch.randn(2048, 1, history, 1).sign()
        return float(((logits(x) > 0) == (x[:, 0, -1 - lag, 0] > 0)).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize("lag", [9, 23])
def test_what_happened_long_ago_can_be_learned_by_who_looks_back(lag):
    torch.manual_seed(0)
    assert accuracy_of_remembering(TemporalTransformer(D, 2, 4, 32, 0.0), lag) > 0.95
    assert accuracy_of_remembering(NewestMoment(D, 2, 32, 0.0), lag) < 0.6
