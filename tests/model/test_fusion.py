# pyright: basic, reportAttributeAccessIssue=false, reportCallIssue=false, reportOptionalCall=false, reportOptionalMemberAccess=false
"""Fusions: what is computed once a sample equals what one would first write."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from emberformer.model.fusion import AddNormFusion, ConcatFusion, CrossAttentionFusion
from emberformer.model.position import grid_encoding

GRID, MOMENTS, MODEL = (2, 3), 4, 16


def made(kind, terrain=True):
    torch.manual_seed(0)
    lengths = (6, 10 if terrain else None, MODEL)
    return {
        "concat": lambda: ConcatFusion(*lengths, 8),
        "add_norm": lambda: AddNormFusion(*lengths),
        "cross_attention": lambda: CrossAttentionFusion(*lengths, 4),
    }[kind]()


def inputs(batch=3):
    torch.manual_seed(1)
    return torch.randn(batch, 6, MOMENTS, 6), torch.randn(batch, *GRID, 10), torch.randn(batch, MOMENTS, 2)


every_fusion = pytest.mark.parametrize("kind", ["concat", "add_norm", "cross_attention"])


def test_concat_is_the_concatenation_it_says_it_is():
    fusion, (fire, terrain, wind) = made("concat"), inputs()
    ground = terrain.flatten(1, 2)[:, :, None].expand(-1, -1, MOMENTS, -1)
    whole = torch.cat([fire, ground, fusion.wind(wind)[:, None].expand(-1, 6, -1, -1)], -1)
    weight = torch.cat([fusion.from_fire.weight, fusion.from_terrain.weight, fusion.from_wind.weight], 1)
    expected = functional.gelu(fusion.norm(whole @ weight.T + fusion.from_fire.bias))
    assert torch.allclose(fusion(fire, fusion.ground(terrain, GRID), wind), expected, atol=1e-5)


def test_add_norm_is_the_norm_of_the_sum():
    fusion, (fire, terrain, wind) = made("add_norm"), inputs()
    ground = terrain.flatten(1, 2)[:, :, None].expand(-1, -1, MOMENTS, -1)
    parts = [fusion.from_fire(fire), fusion.from_terrain(ground), fusion.from_wind(wind)[:, None].expand(-1, 6, -1, -1)]
    assert torch.allclose(fusion(fire, fusion.ground(terrain, GRID), wind), fusion.norm(sum(parts)), atol=1e-5)


def test_cross_attention_is_pytorchs_with_keys_computed_anew_in_every_frame():
    fusion, (fire, terrain, wind) = made("cross_attention"), inputs()
    attention = nn.MultiheadAttention(MODEL, 4, batch_first=True)
    projections = (fusion.query, fusion.key, fusion.value)
    attention.load_state_dict(
        {
            "in_proj_weight": torch.cat([layer.weight for layer in projections]),
            "in_proj_bias": torch.cat([layer.bias for layer in projections]),
            "out_proj.weight": fusion.out.weight,
            "out_proj.bias": fusion.out.bias,
        }
    )
    ground, place = fusion.from_terrain(terrain.flatten(1, 2)), grid_encoding(*GRID, MODEL).flatten(0, 1)
    frames = []
    for moment in range(MOMENTS):
        token = fusion.from_fire(fire[:, :, moment])
        attended = attention(token + place, ground + place, ground)[0]
        frames.append(fusion.norm(token + attended + fusion.wind(wind[:, moment])[:, None]))
    assert torch.allclose(fusion(fire, fusion.ground(terrain, GRID), wind), torch.stack(frames, 2), atol=1e-5)


def test_terrain_is_projected_once_a_sample_whatever_the_frames():
    fusion, (fire, terrain, wind) = made("cross_attention"), inputs()
    sizes = []
    for layer in (fusion.from_terrain, fusion.key, fusion.value):
        layer.register_forward_hook(lambda _, given, __: sizes.append(given[0].shape[:-1].numel()))
    fusion(fire, fusion.ground(terrain, GRID), wind)
    assert sizes == [3 * 6] * 3


@every_fusion
@pytest.mark.parametrize("terrain", [True, False])
def test_picked_patches_are_fused_as_among_all(kind, terrain):
    fusion, (fire, features, wind) = made(kind, terrain), inputs()
    ground = fusion.ground(features if terrain else None, GRID)
    whole = fusion(fire, ground, wind)
    samples, patches = torch.tensor([0, 0, 0, 2, 2]), torch.tensor([1, 4, 5, 0, 3])  # none of the second sample
    picked = fusion(fire[samples, patches][:, None], ground.pick(samples, patches), wind[samples])
    assert torch.allclose(picked[:, 0], whole[samples, patches], atol=1e-5)
    rows = torch.tensor([1, 4])
    some = ground.pick(samples, patches).rows(rows)
    again = fusion(fire[samples, patches][rows][:, None], some, wind[samples][rows])
    assert torch.allclose(again, picked[rows], atol=1e-5)
    none = torch.empty(0, dtype=torch.long)
    assert fusion(fire[none][:, :1], ground.pick(none, none), wind[none]).shape == (0, 1, MOMENTS, MODEL)


@every_fusion
def test_rows_of_a_batch_are_fused_as_in_it(kind):
    fusion, (fire, terrain, wind) = made(kind), inputs()
    ground, rows = fusion.ground(terrain, GRID), torch.tensor([0, 2])
    some = fusion(fire[rows], ground.rows(rows), wind[rows])
    assert torch.allclose(some, fusion(fire, ground, wind)[rows], atol=1e-5)


@every_fusion
def test_fusions_give_one_token_for_every_patch_and_moment(kind):
    fusion, (fire, terrain, wind) = made(kind), inputs()
    for moments in (1, MOMENTS):  # one frame, one terrain
        fused = fusion(fire[:, :, :moments], fusion.ground(terrain, GRID), wind[:, :moments])
        assert fused.shape == (3, 6, moments, MODEL)


def test_a_patch_finds_its_own_terrain():
    fusion, (_, terrain, wind) = made("cross_attention"), inputs(1)
    alike = torch.zeros(1, 6, MOMENTS, 6)
    fused = fusion(alike, fusion.ground(terrain, GRID), wind)
    assert (fused[:, 0] - fused[:, 5]).abs().max() > 1e-3
