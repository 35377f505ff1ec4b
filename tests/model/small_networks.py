"""EmberFormer made small of any parts, and batches that it takes."""

from typing import get_args

import torch

from emberformer.model.emberformer import build_emberformer
from emberformer.settings import ModelSettings

FIRES = get_args(ModelSettings.model_fields["fire"].annotation)
FEATURES = 12


def network(pixels=4, seed=0, **settings):
    torch.manual_seed(seed)
    small = {
        "d_model": 16, "layers": 2, "heads": 4, "feedforward": 24, "d_wind": 8, "decoder_channels": 16,
        "refinement_channels": 4, "history": 4, "reach": 1, "attention_window": 2, "dropout": 0.0,
    }  # fmt: skip
    return build_emberformer(
        features=FEATURES, channels=3, pixels=pixels, terrain_pixels=2, category_sizes=(4,),
        settings=ModelSettings.model_validate(small | settings),
    ).eval()  # fmt: skip


def batch_of(model, batch=2, history=4, grid=(3, 5), pixels=4, seed=1):
    """What the network names among random arrays, with a fire in one corner."""
    generator = torch.Generator().manual_seed(seed)
    shape = (grid[0] * pixels, grid[1] * pixels)
    burned = torch.zeros(batch, history, *shape)
    burned[:, :, : 2 * pixels, : 2 * pixels] = torch.rand(
        batch, history, 2 * pixels, 2 * pixels, generator=generator
    ).round()
    burned[:, -1, 0, 0] = 1
    arrays = {
        "frame_patches": torch.randn(batch, history, *grid, FEATURES, generator=generator),
        "terrain_patches": torch.randn(batch, 3, *grid, FEATURES, generator=generator),
        "wind": torch.randn(batch, history, 2, generator=generator),
        "valid_t": torch.ones(batch, history, dtype=torch.bool),
        "fire_pixels": torch.stack([burned[:, -1], burned.mean(1)], 1),
        "terrain_pixels": torch.randn(batch, 2, *shape, generator=generator),
        "categories": torch.randint(0, 4, (batch, 1, *shape), generator=generator),
        "history_pixels": burned.to(torch.uint8),
        "resolution": torch.tensor([[30.0, 1800.0]]).repeat(batch, 1),
    }
    return {name: arrays[name] for name in model.inputs}


def with_padding(x, extra):
    """Further steps on the left, whose content must not matter."""
    padded = dict(x)
    for key in {"frame_patches", "wind", "history_pixels"} & set(x):
        padded[key] = torch.cat([torch.ones_like(x[key][:, :1]).repeat_interleave(extra, 1), x[key]], 1)
    padded["valid_t"] = torch.cat([torch.zeros(len(x["valid_t"]), extra, dtype=torch.bool), x["valid_t"]], 1)
    return padded
