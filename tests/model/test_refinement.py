"""Refinement: any patch size, any fineness of the decoder, sharp in the newest burned area, by keyword only."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emberformer.model.refinement import Refinement, upsampling_stages

PIXEL_CHANNELS, COARSE_CHANNELS = 4, 8


def refinement(pixels: int, finer: int = 1, norm: str = "group") -> Refinement:
    torch.manual_seed(0)
    return Refinement(PIXEL_CHANNELS, COARSE_CHANNELS, 4, 8, pixels, finer, norm).eval()  # type: ignore[arg-type]


def arguments(pixels: int, size: tuple[int, int], finer: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    grid = [-(-side // pixels) * finer for side in size]
    sizes = {
        "coarse_features": (1, COARSE_CHANNELS, *grid),
        "coarse_logits": (1, 1, *grid),
        "pixel_input": (1, PIXEL_CHANNELS, *size),
        "wind": (1, 2),
    }
    return {name: torch.randn(shape, generator=generator) for name, shape in sizes.items()}


@given(st.integers(1, 200))
def test_stages_make_up_the_patch(pixels):
    coarse, fine = upsampling_stages(pixels)
    assert coarse * fine == pixels
    assert fine == (2 if pixels % 2 == 0 else 1)


@pytest.mark.parametrize("pixels", [1, 2, 7, 8, 13, 14, 15, 16, 28, 32, 56])
def test_logits_are_of_the_rasters_pixels(pixels):
    size = (pixels + max(1, pixels // 3), 2 * pixels)
    with torch.no_grad():
        assert refinement(pixels)(**arguments(pixels, size)).shape == (1, *size)


@settings(max_examples=12)
@given(st.integers(1, 20), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 2, 4]))
def test_any_patch_any_raster_any_fineness(pixels, height, width, finer):
    with torch.no_grad():
        found = refinement(pixels, finer)(**arguments(pixels, (height, width), finer))
    assert found.shape == (1, height, width)
    assert found.isfinite().all()


@pytest.mark.parametrize("pixels", [7, 14])
def test_one_pixel_of_the_newest_burned_area_shows_at_full_resolution(pixels):
    """The raster comes in unaveraged: moving a burned pixel within its patch, even within its cell, moves the front."""
    network, given_ = refinement(pixels), arguments(pixels, (2 * pixels, 2 * pixels))
    found = []
    for row, column in ((4, 4), (5, 4)):
        given_["pixel_input"] = torch.zeros_like(given_["pixel_input"])
        given_["pixel_input"][0, 0, row, column] = 1
        with torch.no_grad():
            found.append(network(**given_)[0])
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_without_sharpening_it_is_the_coarse_forecast_enlarged():
    network, given_ = refinement(14), arguments(14, (28, 42))
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()  # type: ignore[union-attr]
        found = network(**given_)
        given_["coarse_logits"][:] = 3
        flat = network(**given_)
    expected = torch.nn.functional.interpolate(
        arguments(14, (28, 42))["coarse_logits"], scale_factor=14, mode="bilinear"
    )
    assert torch.allclose(found, expected[:, 0], atol=1e-6)
    assert torch.allclose(flat, torch.full_like(flat, 3.0))


def test_swapped_or_unfit_maps_are_refused():
    network, given_ = refinement(14), arguments(14, (28, 42))
    with pytest.raises(TypeError):
        network(*given_.values())
    swapped = {**given_, "coarse_features": given_["coarse_logits"], "coarse_logits": given_["coarse_features"]}
    with pytest.raises(Exception, match=r"shape|type|channels"):
        network(**swapped)
    with pytest.raises(ValueError, match="2 x 3 patches"):
        network(**{**given_, "coarse_logits": torch.zeros(1, 1, 3, 3), "coarse_features": torch.zeros(1, 8, 3, 3)})
    with pytest.raises(ValueError, match="4 x 4 cells"):
        refinement(14, finer=4)(**given_)


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_every_parameter_learns_with_either_norm(norm):
    network, given_ = refinement(14, norm=norm).train(), arguments(14, (28, 28))
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    for _ in range(2):  # gates start at the identity, so what feeds them learns from the second step on
        optimizer.zero_grad()
        torch.nn.functional.softplus(network(**given_)).mean().backward()
        optimizer.step()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    kinds = {type(m) for m in network.modules() if isinstance(m, torch.nn.GroupNorm | torch.nn.BatchNorm2d)}
    assert kinds == {torch.nn.GroupNorm if norm == "group" else torch.nn.BatchNorm2d}
