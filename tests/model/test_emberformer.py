"""Laws of the network: padding, batch mates, order of time, gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.plain_stage2 import PlainStage2
from emberformer.model import history
from emberformer.model.attention import AttentionBlock
from emberformer.model.emberformer import EmberFormer, build_emberformer
from emberformer.model.position import lag_encoding
from emberformer.model.refinement import Refinement, upsampling_stages
from emberformer.settings import ModelSettings

SMALL = ModelSettings(
    d_model=32, layers=2, heads=4, feedforward=48, d_wind=8, decoder_channels=32, refinement_channels=8, history=4
)


def network(pixels=14, seed=0):
    torch.manual_seed(seed)
    model = build_emberformer(
        features=24, channels=3, pixels=pixels, terrain_pixels=5, category_sizes=(4,), settings=SMALL
    )
    return model.eval()


def inputs(batch=2, history=4, grid=(2, 3), pixels=14, seed=1):
    generator = torch.Generator().manual_seed(seed)
    height, width = grid[0] * pixels, grid[1] * pixels
    return {
        "frame_patches": torch.randn(batch, history, *grid, 24, generator=generator),
        "terrain_patches": torch.randn(batch, 3, *grid, 24, generator=generator),
        "wind": torch.randn(batch, history, 2, generator=generator),
        "valid_t": torch.ones(batch, history, dtype=torch.bool),
        "fire_pixels": torch.rand(batch, 2, height, width, generator=generator).round(),
        "terrain_pixels": torch.randn(batch, 5, height, width, generator=generator),
        "categories": torch.randint(0, 4, (batch, 1, height, width), generator=generator),
    }


def pad_left(x, extra, garbage):
    padded = dict(x)
    for key in ("frame_patches", "wind"):
        padded[key] = torch.cat([torch.full_like(x[key][:, :1], garbage).repeat_interleave(extra, 1), x[key]], 1)
    padded["valid_t"] = torch.cat([torch.zeros(len(x["valid_t"]), extra, dtype=torch.bool), x["valid_t"]], 1)
    return padded


@settings(max_examples=8)
@given(extra=st.integers(1, 5), garbage=st.floats(-3, 3), history=st.integers(1, 4))
def test_padding_on_the_left_changes_nothing(extra, garbage, history):
    model, x = network(), inputs(history=history)
    with torch.no_grad():
        assert torch.allclose(model(**x), model(**pad_left(x, extra, garbage)), atol=1e-5)


def test_batch_mates_change_nothing():
    model, x = network(), inputs(batch=3)
    x["valid_t"][1, :2] = False
    with torch.no_grad():
        together = model(**x)
        for n in range(3):
            assert torch.allclose(together[n], model(**{k: v[n : n + 1] for k, v in x.items()})[0], atol=1e-5)


def test_the_order_of_the_past_matters():
    model, x = network(), inputs()
    swapped = dict(x)
    swapped["frame_patches"] = x["frame_patches"][:, [1, 0, 2, 3]]
    with torch.no_grad():
        assert (model(**x) - model(**swapped)).abs().max() > 1e-4


def test_every_input_reaches_the_forecast():
    model, x = network(), inputs()
    moving = {k: v.clone().requires_grad_() for k, v in x.items() if v.is_floating_point()}
    model(**{**x, **moving}).sum().backward()
    for key, value in moving.items():
        assert value.grad is not None, key
        assert value.grad.abs().sum() > 0, key


def test_every_parameter_learns():
    model, x = network(), inputs()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(2):  # gates start at the identity, so what feeds them learns from the second step on
        optimizer.zero_grad()
        torch.nn.functional.softplus(model(**x)).mean().backward()
        optimizer.step()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@pytest.mark.parametrize("pixels", [7, 14, 16, 28])
def test_logits_have_the_rasters_size(pixels):
    assert upsampling_stages(pixels)[0] * upsampling_stages(pixels)[1] == pixels
    x = inputs(pixels=pixels)
    with torch.no_grad():
        assert network(pixels)(**x).shape == (2, 2 * pixels, 3 * pixels)


def test_one_frame_and_one_terrain_band_are_enough():
    """The smallest input there is: two patches, one moment, one band, no category."""
    torch.manual_seed(0)
    model = build_emberformer(features=24, channels=1, pixels=14, terrain_pixels=1, category_sizes=(), settings=SMALL)
    x = inputs(batch=1, history=1, grid=(1, 2))
    x["terrain_patches"] = x["terrain_patches"][:, :1]
    x["terrain_pixels"], x["categories"] = x["terrain_pixels"][:, :1], x["categories"][:, :0]
    logits = model(**x)
    assert logits.shape == (1, 14, 28)
    assert torch.isfinite(logits).all()


def test_a_raster_that_is_no_whole_patch_is_cropped_back():
    torch.manual_seed(0)
    refinement = Refinement(4, 8, 8, 8, 14)
    sizes = {
        "coarse_features": (1, 8, 2, 2),
        "coarse_logits": (1, 1, 2, 2),
        "pixel_input": (1, 4, 20, 25),
        "wind": (1, 2),
    }
    assert refinement(**{k: torch.randn(s) for k, s in sizes.items()}).shape == (1, 20, 25)
    with pytest.raises(TypeError):
        refinement(*(torch.randn(s) for s in sizes.values()))


def test_newest_only_equals_the_newest_of_all():
    torch.manual_seed(0)
    block = AttentionBlock(16, 4, 32, 0.0)
    x, seen = torch.randn(2, 3, 5, 16), torch.ones(2, 1, 5, dtype=torch.bool)
    assert torch.allclose(block(x, seen, 5)[:, :, -1:], block(x, seen, 1), atol=1e-6)


def test_newest_frame_has_lag_zero_whatever_the_length():
    assert torch.equal(lag_encoding(3, 8)[-1], lag_encoding(9, 8)[-1])
    assert torch.equal(lag_encoding(3, 8), lag_encoding(9, 8)[-3:])
    assert (lag_encoding(9, 8)[0] - lag_encoding(9, 8)[-1]).norm() > 0.5


def sizes_of(layers: int, reach: int | None = None) -> EmberFormer:
    torch.manual_seed(0)
    settings = ModelSettings(
        d_model=32, d_wind=8, layers=layers, heads=4, feedforward=64, dropout=0.0, decoder_channels=16,
        refinement_channels=8, reach=reach, travel_time=False,
    )  # fmt: skip
    return build_emberformer(
        features=24, channels=3, pixels=14, terrain_pixels=4, category_sizes=(5,), settings=settings
    ).eval()


def some_batch(history: int, lengths: list[int], grid: tuple[int, int] = (4, 6)) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    batch, (rows, columns) = len(lengths), grid
    height, width = rows * 14, columns * 14
    valid = torch.stack([torch.arange(history) >= history - length for length in lengths])
    frames = torch.randn(batch, history, rows, columns, 24, generator=generator) * valid[:, :, None, None, None]
    burned = torch.zeros(batch, 2, height, width)
    burned[:, :, 14:20, 16:25] = 1
    return {
        "frame_patches": frames.half(),
        "terrain_patches": torch.randn(batch, 3, rows, columns, 24, generator=generator).half(),
        "wind": torch.randn(batch, history, 2, generator=generator),
        "valid_t": valid,
        "fire_pixels": burned,
        "terrain_pixels": torch.randn(batch, 4, height, width, generator=generator),
        "categories": torch.randint(0, 5, (batch, 1, height, width), generator=generator),
    }


@pytest.mark.parametrize("lengths", [[5, 5], [5, 2], [1, 3]])
def test_what_is_fast_equals_what_one_would_first_write(lengths):
    model, batch = sizes_of(layers=3), some_batch(5, lengths)
    plain = PlainStage2(model).eval()
    assert torch.allclose(model(**batch), plain(**batch), atol=1e-4)
    for network in (model.train(), plain.train()):
        network.zero_grad()
        network(**batch).square().mean().backward()
    gradients = [
        dict(network.named_parameters())[name].grad
        for network, name in ((model, "terrain.gain"), (plain, "bands.gain"))
    ]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-3)


def test_a_reach_over_the_whole_grid_changes_nothing():
    batch = some_batch(4, [4, 2])
    assert torch.allclose(sizes_of(2)(**batch), sizes_of(2, reach=6)(**batch), atol=1e-5)


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_picking_the_patches_near_the_fire_and_computing_all_of_them_agree(reach, monkeypatch):
    batch, results = some_batch(4, [4, 2]), []
    for most in (0.0, 1.0):
        monkeypatch.setattr(history, "MOST", most)
        results.append(sizes_of(2, reach)(**batch))
    assert torch.allclose(*results, atol=1e-5)


def test_patches_out_of_reach_do_not_look_back_and_those_near_the_fire_do():
    model, batch = sizes_of(2, reach=1), some_batch(4, [4])
    before = model(**batch)
    for patch, changes in (((3, 5), False), ((1, 2), True)):
        past = batch["frame_patches"].clone()
        past[:, 0, patch[0], patch[1]] += 1
        assert torch.equal(model(**{**batch, "frame_patches": past}), before) != changes


def test_a_frame_without_fire_is_forecast_all_the_same():
    batch = some_batch(3, [3, 1])
    batch["fire_pixels"] = batch["fire_pixels"] * 0
    assert sizes_of(2, reach=2)(**batch).isfinite().all()


def unburned(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return batch | {"fire_pixels": torch.zeros_like(batch["fire_pixels"])}


@pytest.mark.parametrize("apart", [True, False])
def test_where_nothing_burns_no_patch_looks_back(apart, monkeypatch):
    """With histories apart, as on a CPU, and together, as on a GPU."""
    first_steps = history.first_steps
    monkeypatch.setattr(history, "first_steps", lambda valid_t, **_: first_steps(valid_t, apart=apart))
    model, batch = sizes_of(2, reach=2), unburned(some_batch(4, [4, 2]))
    logits = model(**batch)
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert all(weight.grad is not None for weight in model.temporal.parameters())  # processes wait for all of them


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("burns", [True, False])
def test_a_gpu_gives_the_processors_logits(burns):
    model, batch = sizes_of(2, reach=1), some_batch(4, [4, 2])
    batch = batch if burns else unburned(batch)
    expected = model(**batch)
    found = model.cuda()(**{name: values.cuda() for name, values in batch.items()})
    assert torch.allclose(found.cpu(), expected, atol=1e-3)
