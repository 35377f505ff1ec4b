"""Occupancy and terrain means as a network gets them: the raster's own means, cut and turned with it."""

import numpy as np
import pytest
import torch

from emberformer.checkpoint import open_landscapes
from emberformer.data.normalise import TerrainNormaliser
from emberformer.data.split import read_split
from emberformer.dataset import FireSteps, hidden_inputs, list_steps
from emberformer.features.rendering import valid_share
from emberformer.model_settings import ModelSettings
from emberformer.network_sizes import Sizes
from tests.stores import prepare, tiny_experiment

INPUTS = ("occupancy", "terrain_means", "wind", "valid_t", "fire_pixels", "terrain_pixels", "history_pixels")


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    experiment, layout = tiny_experiment(tmp_path_factory.mktemp("means"), {"tiny": (26, 39), "other": (40, 53)})
    prepare(experiment, layout)
    split = read_split(layout.split)
    return split, open_landscapes(layout, Sizes.of(layout, split))


def pooled(values: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Means over the pixels of patches of 14 x 14 that lie on the raster, so large a share of them."""
    return torch.nn.functional.avg_pool2d(values, 14) / share


@pytest.mark.parametrize("flip", [False, True])
def test_they_are_the_means_of_what_is_served_at_full_resolution(opened, flip):
    """Where all pixels on the raster are known, the means of normalised pixels are the same."""
    split, landscapes = opened
    steps = list_steps(landscapes, split, "train")
    dataset = FireSteps(landscapes, steps, 3, crop=2, flip=flip, inputs=(*INPUTS, "patch_index"))
    channels = landscapes[0].normaliser.channels
    partly = 0
    for item, step in zip((dataset[n] for n in range(len(dataset))), steps, strict=True):
        assert "frame_patches" not in item
        fires = landscapes[step.landscape].fires
        whole = torch.from_numpy(valid_share(fires.sizes["y"], fires.sizes["x"], 14))
        share = whole.flatten()[item["patch_index"]]
        partly += int((share < 1).sum())
        assert torch.allclose(item["occupancy"], pooled(item["history_pixels"].float(), share), atol=1e-6)
        assert (item["occupancy"][~item["valid_t"]] == 0).all()
        means, expected = item["terrain_means"][: len(channels)], pooled(item["terrain_pixels"], share)
        assert torch.allclose(means[-1], expected[-1], atol=1e-6)
        known = expected[-1] > 0.9999
        assert known.any()
        assert torch.allclose(means[:, known], expected[:, known], atol=1e-4)
    assert partly


def test_the_most_frequent_code_is_flagged(opened):
    split, landscapes = opened
    steps = list_steps(landscapes, split, "train")
    item, landscape = FireSteps(landscapes, steps, 2, inputs=("terrain_means", "categories"))[3], landscapes[0]
    sizes = landscape.normaliser.category_sizes
    flags = item["terrain_means"][len(landscape.normaliser.channels) :]
    assert (
        flags.shape[0]
        == sum(size - 1 for size in sizes)
        == len(landscape.normaliser.patch_channels) - len(landscape.normaliser.channels)
    )
    own = item["categories"][0, :14, :14].flatten().bincount(minlength=sizes[0])
    first = flags[: sizes[0] - 1, 0, 0]
    assert first.sum() == 1
    assert own[1:][first.bool()] == own.max()


def test_forgotten_categories_are_forgotten_here_too(opened):
    split, landscapes = opened
    steps = list_steps(landscapes, split, "train")
    item = FireSteps(landscapes, steps, 2, inputs=("terrain_means", "categories"), category_dropout=1.0)[0]
    count = len(landscapes[0].normaliser.channels)
    assert not item["categories"].any()
    assert not item["terrain_means"][count:].any()
    assert item["terrain_means"][:count].any()


def test_statistics_are_of_training_fires_and_what_is_not_known_is_zero():
    normaliser = TerrainNormaliser({"elevation": (100.0, 50.0)}, ("aspect_deg",), ("burnable",), {"fuel|x": (3, 7)})
    gap = np.full((1, 2), np.nan)
    means = {
        "known": np.array([[1.0, 0.5]]), "elevation": np.array([[200.0, np.nan]]), "burnable": np.array([[0.25, 1.0]]),
        "aspect_deg.sin": np.array([[0.5, np.nan]]), "aspect_deg.cos": gap, "fuel": np.array([[7.0, 4.0]]),
    }  # fmt: skip
    found = dict(zip(normaliser.patch_channels, normaliser.of_patches(means, {"fuel": "x"}).tolist(), strict=True))
    assert found == {
        "elevation": [[2.0, 0.0]], "aspect_deg.east": [[0.5, 0.0]], "aspect_deg.north": [[0.0, 0.0]],
        "burnable": [[0.25, 1.0]], "known": [[1.0, 0.5]], "fuel|x=3": [[0.0, 0.0]], "fuel|x=7": [[1.0, 0.0]],
    }  # fmt: skip
    other = normaliser.of_patches({"known": np.ones((1, 2)), "fuel": np.full((1, 2), 7.0)}, {"fuel": "y"})
    assert other.sum(0).tolist() == [[1, 1]]  # equal codes of another fuel model are none of these


def test_terrain_can_be_kept_from_the_network():
    assert "terrain_means" in hidden_inputs(ModelSettings(terrain="none"))
