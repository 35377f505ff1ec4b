"""Laws of the token network: padding, batch mates, lags, partial patches; it learns one fire by heart."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emberformer.errors import InputError
from emberformer.losses import open_pixels
from emberformer.model.pixel_input import PixelInput
from emberformer.model.token_network import build_token_network
from emberformer.model_settings import ModelSettings
from emberformer.optimisation import parameter_groups
from tests.losses_of import spread_loss

SMALL = {
    "network": "token", "d_model": 16, "layers": 2, "heads": 4, "feedforward": 32, "d_wind": 8, "dropout": 0.0,
    "decoder_channels": 16, "refinement_channels": 8,
}  # fmt: skip
MEANS = 6


def network(seed=0, pixels=14, **changes):
    torch.manual_seed(seed)
    of = ModelSettings.model_validate({**SMALL, **changes})
    return build_token_network(means=MEANS, pixels=pixels, pixel_input=PixelInput(4, (5,)), settings=of).eval()


def inputs(batch=2, history=4, grid=(2, 3), pixels=14, seed=1):
    generator = torch.Generator().manual_seed(seed)
    height, width = grid[0] * pixels, grid[1] * pixels
    return {
        "occupancy": torch.rand(batch, history, *grid, generator=generator),
        "terrain_means": torch.randn(batch, MEANS, *grid, generator=generator),
        "wind": torch.randn(batch, history, 2, generator=generator),
        "valid_t": torch.ones(batch, history, dtype=torch.bool),
        "fire_pixels": torch.rand(batch, 2, height, width, generator=generator).round(),
        "terrain_pixels": torch.randn(batch, 4, height, width, generator=generator),
        "categories": torch.randint(0, 5, (batch, 1, height, width), generator=generator),
        "resolution": torch.tensor([[30.0, 1800.0]]).expand(batch, -1),
    }


def taken(model, x):
    return {name: x[name] for name in model.inputs}


def pad_left(x, extra, garbage=0.0):
    padded = dict(x)
    for key in ("occupancy", "wind"):
        padded[key] = torch.cat([torch.full_like(x[key][:, :1], garbage).repeat_interleave(extra, 1), x[key]], 1)
    padded["valid_t"] = torch.cat([torch.zeros(len(x["valid_t"]), extra, dtype=torch.bool), x["valid_t"]], 1)
    return padded


@settings(max_examples=8)
@given(st.integers(1, 5), st.floats(-3, 3), st.integers(1, 4), st.sampled_from(["refinement", "nearest"]))
def test_padding_on_the_left_changes_nothing(extra, garbage, history, upsampling):
    model, x = network(upsampling=upsampling), inputs(history=history)
    with torch.no_grad():
        assert torch.allclose(model(**taken(model, x)), model(**taken(model, pad_left(x, extra, garbage))), atol=1e-5)


def test_histories_of_2_4_6_and_8_frames_in_one_batch_are_forecast_as_if_alone():
    model, of_length = network(), {n: inputs(batch=1, history=n, seed=n) for n in (2, 4, 6, 8)}
    padded = [taken(model, pad_left(x, 8 - n, garbage=2.0)) for n, x in of_length.items()]
    with torch.no_grad():
        together = model(**{key: torch.cat([x[key] for x in padded]) for key in padded[0]})
        alone = torch.cat([model(**taken(model, x)) for x in of_length.values()])
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_past_enters_by_its_lag_unless_the_newest_frame_is_all():
    x = inputs()
    swapped = {**x, "occupancy": x["occupancy"][:, [1, 0, 2, 3]]}
    full, newest = network(), network(temporal="last_frame")
    with torch.no_grad():
        assert (full(**taken(full, x)) - full(**taken(full, swapped))).abs().max() > 1e-5
        assert torch.equal(newest(**taken(newest, x)), newest(**taken(newest, swapped)))
        changed = {**x, "occupancy": x["occupancy"] + torch.tensor([0, 0, 0, 1.0])[:, None, None]}
        assert (newest(**taken(newest, x)) - newest(**taken(newest, changed))).abs().max() > 1e-5


def test_the_last_frame_alone_is_not_told_how_long_pixels_burn():
    newest, x = network(temporal="last_frame"), inputs()
    older = {**x, "fire_pixels": torch.stack([x["fire_pixels"][:, 0], x["fire_pixels"][:, 1] * 0.5], 1)}
    with torch.no_grad():
        assert torch.equal(newest(**taken(newest, x)), newest(**taken(newest, older)))


def test_a_token_is_the_sum_of_occupancy_terrain_and_wind():
    fusion = network().fusion
    assert fusion.from_terrain is not None
    fire, terrain, wind = torch.rand(1, 1, 2, 1), torch.rand(1, 1, 1, MEANS), torch.rand(1, 2, 2)
    tokens = fusion(fire, fusion.ground(terrain, (1, 1)), wind)
    for moment in range(2):
        own = fusion.from_fire.weight @ fire[0, 0, moment] + fusion.from_fire.bias
        own = own + fusion.from_terrain.weight @ terrain[0, 0, 0] + fusion.from_wind.weight @ wind[0, moment]
        assert torch.allclose(tokens[0, 0, moment], fusion.norm(own), atol=1e-6)


def test_nearest_upsampling_gives_a_patch_one_logit_and_keeps_the_rasters_size():
    model, x = network(upsampling="nearest"), inputs()
    assert set(model.inputs) == {"occupancy", "terrain_means", "wind", "valid_t", "fire_pixels"}
    x["fire_pixels"] = x["fire_pixels"][:, :, :20, :40]
    with torch.no_grad():
        logits = model(**taken(model, x))
    assert logits.shape == (2, 20, 40)
    for y, x0 in ((0, 0), (14, 28)):
        patch = logits[:, y : y + 14, x0 : x0 + 14]
        assert (patch == patch[:, :1, :1]).all()
    assert (logits[:, 0, 0] != logits[:, 0, 14]).all()


def test_every_input_reaches_the_forecast_and_every_parameter_is_in_one_group():
    model, x = network(), inputs()
    floats = [k for k, v in x.items() if v.is_floating_point() and k != "resolution"]  # travel times alone need that
    moving = {k: x[k].clone().requires_grad_() for k in floats}
    model(**{**x, **moving}).sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in moving.values())
    groups = parameter_groups(model.parts(), model, {"temporal": 1e-3, "decoder": 1e-4})
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_the_cross_entropy_is_least_at_the_mean_of_a_patch():
    """What a forecast of the patch's mean would be fitted to: 3 of 4 pixels burn."""
    target = torch.tensor([[[1, 1], [1, 0]]], dtype=torch.uint8)
    counted = torch.ones(1, 2, 2, dtype=torch.bool)
    losses = {
        p: spread_loss(torch.full((1, 2, 2), p).logit(), target, counted, 1.0, 0.0).item() for p in (0.6, 0.75, 0.9)
    }
    assert min(losses, key=lambda p: losses[p]) == 0.75


def test_settings_that_this_network_cannot_have_are_refused():
    with pytest.raises(ValueError, match=r"features\.scale"):
        ModelSettings(network="token", token_size=16)
    with pytest.raises(ValueError, match="network: token"):
        ModelSettings(upsampling="nearest")
    with pytest.raises(InputError, match="fpn"):
        network(decoder="fpn")


@pytest.mark.slow
@pytest.mark.parametrize(("upsampling", "least"), [("refinement", 0.02), ("nearest", 0.35)])
def test_it_learns_one_fire_by_heart(upsampling, least):
    """Nearest upsampling cannot tell the pixels of a patch apart, so that what is left is the front's own entropy."""
    model = network(pixels=6, upsampling=upsampling).train()
    x = inputs(batch=1, grid=(4, 4), pixels=6)
    rows, columns = torch.meshgrid(torch.arange(24), torch.arange(24), indexing="ij")
    radius = torch.stack([((rows - 9) ** 2 + (columns - 11) ** 2 < r**2).float() for r in (2, 3, 4, 6, 8)])
    x["occupancy"] = torch.nn.functional.avg_pool2d(radius[None, :4], 6)
    x["fire_pixels"] = torch.stack([radius[3], radius[:4].mean(0)])[None]
    target = radius[4][None].to(torch.uint8)
    counted = open_pixels(target, x["fire_pixels"][:, 0])
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(120):
        loss = spread_loss(model(**taken(model, x)), target, counted, 1.0, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < least
