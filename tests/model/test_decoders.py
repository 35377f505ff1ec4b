"""Laws of all spatial decoders: shapes on any grid, batch mates, gradients, and what each one sees."""

import pytest
import torch

from emberformer.errors import InputError
from emberformer.model.convolution import Convolution, doubled, halved
from emberformer.model.decoders import SpatialDecoder
from emberformer.model.decoders.build import build_decoder
from emberformer.model_settings import ModelSettings

DECODERS = ("minimal", "unet", "fpn", "segformer", "resnet_unet", "sam")
GRIDS = [(2, 3), (5, 5), (6, 4), (1, 1)]
FEATURES, LAYERS = 12, 4


def decoder_of(name: str, norm: str = "group", layers: int = LAYERS) -> SpatialDecoder:
    torch.manual_seed(0)
    settings = ModelSettings.model_validate({"decoder": name, "d_model": 16, "decoder_channels": 16, "norm": norm})
    return build_decoder(settings, FEATURES, layers)


def tokens_of(batch: int, grid: tuple[int, int], seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(batch, *grid, 16, generator=generator)
    return tokens, torch.randn(batch, LAYERS, *grid, FEATURES, generator=generator).half()


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_maps_have_the_grids_extent_and_repeat(name, norm):
    decoder = decoder_of(name, norm).eval()
    for grid in GRIDS:
        tokens, layers = tokens_of(2, grid)
        with torch.no_grad():
            features, logits = decoder(tokens, layers)
            again = decoder(tokens, layers)
        size = (decoder.finer * grid[0], decoder.finer * grid[1])
        assert features.shape == (2, decoder.channels, *size)
        assert logits.shape == (2, 1, *size)
        assert torch.equal(features, again[0])
        assert torch.equal(logits, again[1])


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_batch_mates_change_nothing(name, norm):
    decoder = decoder_of(name, norm)
    with torch.no_grad():
        decoder(*tokens_of(4, (5, 4), seed=2))  # statistics of a batch, where the norm keeps them
        decoder.eval()
        tokens, layers = tokens_of(3, (5, 4))
        together = decoder(tokens, layers)
        for n in range(3):
            alone = decoder(tokens[n : n + 1], layers[n : n + 1])
            for whole, single in zip(together, alone, strict=True):
                assert torch.allclose(whole[n : n + 1], single, atol=1e-5)


@pytest.mark.parametrize("name", DECODERS)
def test_every_parameter_learns(name):
    decoder = decoder_of(name).train()
    optimizer = torch.optim.SGD(decoder.parameters(), 0.01)
    tokens, layers = tokens_of(2, (5, 4))
    for _ in range(2):
        optimizer.zero_grad()
        features, logits = decoder(tokens, layers)
        (features.square().mean() + torch.nn.functional.softplus(logits).mean()).backward()
        optimizer.step()
    learning = {name: p for name, p in decoder.named_parameters() if p.requires_grad}
    still = [name for name, p in learning.items() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [name for name in still if not name.endswith("k_proj.bias")] == []  # softmax does not see those


@pytest.mark.parametrize(("name", "least", "most"), [("minimal", 2, 2), ("unet", 7, 11), ("fpn", 4, 8)])
def test_how_many_patches_far_a_corner_sees(name, least, most):
    """What goes down and up again sees farther; asked of BatchNorm, because norms of groups look at a whole map."""
    decoder = decoder_of(name, "batch").eval()
    tokens, layers = tokens_of(16, (12, 12))
    tokens.requires_grad_()
    decoder(tokens, layers)[0][:, :, 0, 0].sum().backward()
    assert tokens.grad is not None
    assert least <= int(tokens.grad.abs().sum((0, 3)).nonzero().max()) <= most


def test_the_pyramid_sees_every_layer_and_refuses_a_cache_without():
    decoder = decoder_of("fpn").eval()
    tokens, layers = tokens_of(1, (4, 4))
    before = decoder(tokens, layers)[1]
    for number in range(LAYERS):
        changed = layers.clone()
        changed[:, number] += torch.randn(FEATURES).half()
        assert (decoder(tokens, changed)[1] - before).abs().max() > 1e-4
    assert decoder.level_of == [0, 0, 1, 2]
    for few in (1, 2):
        assert decoder_of("fpn", layers=few).eval()(tokens, layers[:, :few])[1].shape == (1, 1, 8, 8)
    with pytest.raises(InputError, match=r"features\.layers"):
        decoder_of("fpn", layers=0)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4), (7, 7)])
def test_a_map_that_goes_down_and_up_stays_in_its_place(size):
    """A ramp keeps its slope, also on an odd map, which is cut and not stretched."""
    rows, columns = torch.arange(size[0] + 0.0), torch.arange(size[1] + 0.0)
    ramp = (rows[:, None] + 3 * columns)[None, None]
    back = doubled(halved(ramp), size)
    assert back.shape == ramp.shape
    inside = (back - ramp)[..., 1 : size[0] // 2 * 2 - 1, 1 : size[1] // 2 * 2 - 1]
    assert torch.allclose(inside, torch.full_like(inside, 2.0))  # the larger of each pair: half a row, half a column


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_gate_acts_between_norm_and_relu(norm, mode):
    torch.manual_seed(0)
    layer = Convolution(3, 8, norm=norm).train(mode == "train")
    for parameter in layer[1].parameters():
        torch.nn.init.normal_(parameter)
    x, scale, shift = torch.randn(2, 3, 5, 6), torch.randn(2, 8), torch.randn(2, 8)
    normed = layer[1](layer[0](x))
    expected = torch.relu(normed * scale[:, :, None, None] + shift[:, :, None, None])
    assert torch.allclose(layer(x, scale, shift), expected, atol=1e-5)
    assert torch.allclose(layer(x), torch.relu(normed), atol=1e-5)


def test_batch_norm_in_training_is_of_the_whole_batch():
    torch.manual_seed(0)
    layer = Convolution(3, 8, norm="batch")
    maps = layer[0](torch.randn(4, 3, 6, 6)).detach()
    normed = layer[1](maps)
    assert torch.allclose(normed.mean((0, 2, 3)), torch.zeros(8), atol=1e-5)
    assert torch.allclose(normed.var((0, 2, 3), unbiased=False), torch.ones(8), atol=1e-3)
