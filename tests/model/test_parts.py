"""Laws that hold whatever EmberFormer is made of: padding, batch mates, inputs, parameters, sizes."""

from itertools import combinations, product
from typing import get_args

import pytest
import torch

from emberformer.dataset import hidden_inputs
from emberformer.errors import InputError
from emberformer.model.emberformer import build_emberformer
from emberformer.optimisation import parameter_groups
from emberformer.settings import ModelSettings, parse_settings
from tests.model.small_networks import FIRES, batch_of, network, with_padding

FIELDS = {name: get_args(ModelSettings.model_fields[name].annotation) for name in ("fusion", "terrain", "temporal")}
COMBINATIONS = list(product(FIELDS["fusion"], FIELDS["terrain"], FIELDS["temporal"], FIRES))


def every_pair():
    """Some of the combinations, in which still every two parts meet: what one hands on, another takes."""
    pairs_of = {parts: set(combinations(enumerate(parts), 2)) for parts in COMBINATIONS}
    chosen, missing = [], set().union(*pairs_of.values())
    while missing:
        chosen.append(max(COMBINATIONS, key=lambda parts: len(pairs_of[parts] & missing)))
        missing -= pairs_of[chosen[-1]]
    return chosen


each_combination = pytest.mark.parametrize(("fusion", "terrain", "temporal", "fire"), COMBINATIONS)


@each_combination
def test_neither_padding_nor_batch_mates_change_a_forecast(fusion, terrain, temporal, fire):
    model = network(fusion=fusion, terrain=terrain, temporal=temporal, fire=fire)
    x = batch_of(model)
    x["valid_t"][1, :2] = False
    with torch.no_grad():
        together = model(**x)
        assert torch.allclose(together, model(**with_padding(x, 3)), atol=1e-5)
        alone = [model(**{key: value[n : n + 1] for key, value in x.items()}) for n in range(2)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@pytest.mark.parametrize(("fusion", "terrain", "temporal", "fire"), every_pair())
def test_every_input_reaches_the_forecast_and_every_parameter_learns(fusion, terrain, temporal, fire):
    model = network(fusion=fusion, terrain=terrain, temporal=temporal, fire=fire, cross_patch_layers=1)
    x = batch_of(model)
    moving = {key: value.requires_grad_() for key, value in x.items() if value.is_floating_point()}
    model(**x).square().mean().backward()
    assert not [key for key, value in moving.items() if value.grad is None or not value.grad.abs().sum() > 0]
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(2):  # gates start at the identity, so what feeds them learns from the second step on
        optimizer.zero_grad()
        torch.nn.functional.softplus(model(**x)).mean().backward()
        optimizer.step()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    rates: dict[str, float] = {"temporal": 1e-3, "decoder": 1e-3}
    grouped = sum(len(group["params"]) for group in parameter_groups(model.parts(), model, rates))
    assert grouped == len(list(model.parameters()))


@pytest.mark.parametrize("temporal", FIELDS["temporal"])
@pytest.mark.parametrize("fusion", FIELDS["fusion"])
def test_mixed_precision_gives_nearly_the_same_and_trains(fusion, temporal):
    model = network(fusion=fusion, temporal=temporal, fire="stem", cross_patch_layers=1, travel_time=False)
    x = batch_of(model)
    exact = model(**x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(**x)
    mixed.float().square().mean().backward()
    assert (mixed - exact).abs().max() < 0.05 * exact.abs().max()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("reach", [None, 1])
def test_recomputing_changes_no_gradient_of_the_network(reach):
    gradients = []
    for checkpointing in (False, True):
        model = network(reach=reach, checkpointing=checkpointing, cross_patch_layers=1)
        model(**batch_of(model)).square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("temporal", "far"), [("transformer", True), ("local", False), ("pooled", True)])
def test_how_far_back_a_forecast_looks(temporal, far):
    model = network(temporal=temporal, attention_window=2, reach=None)  # two blocks see three moments
    x = batch_of(model)
    with torch.no_grad():
        before = model(**x)
        for moment, changes in ((0, far), (1, True), (3, True)):
            changed = x["frame_patches"].clone()
            changed[:, moment] += 1
            assert torch.equal(model(**{**x, "frame_patches": changed}), before) != changes


@pytest.mark.parametrize("fire", FIRES)
def test_the_last_frame_alone_tells_nothing_of_the_past(fire):
    model = network(temporal="last_frame", fire=fire)
    x = batch_of(model)
    other = dict(x, fire_pixels=x["fire_pixels"].clone(), wind=x["wind"].clone())
    frames = "frame_patches" if fire == "dino" else "history_pixels"
    other[frames] = x[frames].clone()
    other["fire_pixels"][:, 1] = 0.3
    for key in ("wind", frames):
        other[key][:, :-1] = 1
    with torch.no_grad():
        assert torch.equal(model(**x), model(**other))


def test_only_cached_tokens_are_read_that_are_used():
    for fire, terrain in product(FIRES, FIELDS["terrain"]):
        inputs = network(fire=fire, terrain=terrain).inputs
        assert ("frame_patches" in inputs, "history_pixels" in inputs) == (fire == "dino", fire == "stem")
        assert ("terrain_patches" in inputs) == (terrain == "dino")


def test_without_terrain_the_network_is_served_none_of_it():
    hidden = hidden_inputs(ModelSettings(terrain="none"))
    assert {"terrain_patches", "terrain_pixels", "categories"} <= hidden
    model = network(terrain="none")
    x = batch_of(model)
    served = {key: value * 0 if key in hidden else value for key, value in x.items()}
    assert model(**served).isfinite().all()
    assert model.parts()["temporal"] == [model.fusion, model.temporal]


@pytest.mark.parametrize("pixels", [7, 14, 16, 28])
@pytest.mark.parametrize("twin", [False, True])
def test_forecasts_have_the_rasters_size(pixels, twin):
    fire, terrain = ("stem", "conv") if twin else ("dino", "dino")
    model = network(pixels, cross_patch_layers=1, fire=fire, terrain=terrain)
    x = batch_of(model, grid=(2, 3), pixels=pixels)
    with torch.no_grad():
        assert model(**x).shape == (2, 2 * pixels, 3 * pixels)


@pytest.mark.parametrize("terrain", ["conv", "linear", "none"])
@pytest.mark.parametrize("size", [4, 5, 9])
def test_a_twins_patches_have_any_size_and_cover_the_raster(terrain, size):
    model = network(14, fire="stem", terrain=terrain, token_size=size)
    x = batch_of(model, grid=(2, 3), pixels=14)
    with torch.no_grad():
        assert model(**x).shape == (2, 28, 42)


@pytest.mark.parametrize(
    "parts", [{}, {"fire": "stem"}, {"terrain": "conv"}, {"fire": "stem", "terrain": "none", "decoder": "fpn"}]
)
def test_cached_tokens_keep_the_backbones_patches(parts):
    with pytest.raises(ValueError, match="token_size needs fire: stem"):
        ModelSettings.model_validate({"token_size": 7, **parts})


@pytest.mark.parametrize("key", ["fusion", "terrain", "temporal", "fire"])
def test_an_unknown_part_is_refused_with_its_name(key):
    root = {"root": "x", "minutes_per_frame": 30, "bands": {"slope": {"kind": "continuous"}}}
    with pytest.raises(InputError, match=rf"model\.{key}.*sum"):
        parse_settings({"name": "a", "datasets": {"d": root}, "model": {key: "sum"}})


def test_twins_are_as_large_as_the_network_that_takes_cached_tokens():
    counts = []
    for parts in ({}, {"fire": "stem", "terrain": "conv"}):
        model = build_emberformer(
            features=384, channels=6, pixels=14, terrain_pixels=8, category_sizes=(12,),
            settings=ModelSettings.model_validate(parts),
        )  # fmt: skip
        counts.append(sum(p.numel() for p in model.parameters()))
    assert 1 < counts[1] / counts[0] < 1.25


@pytest.mark.parametrize("temporal", ["transformer", "local", "pooled"])
def test_attention_by_lag_of_the_whole_network(temporal):
    model = network(temporal=temporal, fire="stem")
    x = batch_of(model)
    x["valid_t"][1, :2] = False
    weights = model.attention_by_lag(x)
    assert weights.shape[1:4] == (2, 3, 5)
    assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5)
    assert not weights[:, 1, ..., :2].any()
    assert (weights[:, :, ..., -1] > 0).all()


def test_who_does_not_look_back_has_no_attention_by_lag():
    model = network(temporal="last_frame")
    with pytest.raises(InputError, match=r"model\.temporal"):
        model.attention_by_lag(batch_of(model))
