"""Rendering: hand-worked numbers, alignment of patches and pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emberformer.errors import InputError
from emberformer.features.rendering import (
    dino_input,
    patch_grid,
    pixels_per_patch,
    render_frame,
    render_terrain,
    terrain_channels,
    valid_share,
)


def test_images_stay_grey():
    grey = torch.tensor([[[0.0, 0.5], [1.0, 0.25]]])
    image = dino_input(grey, 2, 1.0)
    assert image.shape == (1, 1, 2, 2)
    assert torch.equal(image[:, 0], grey)


def test_padding_lies_at_the_bottom_and_right():
    image = dino_input(torch.ones(1, 20, 30), 14, 1.0)
    assert image.shape == (1, 1, 28, 42)
    assert (image[0, 0, :20, :30] == 1).all()
    assert image.sum() == 20 * 30


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([7, 14, 28]))
def test_valid_share_counts_every_pixel_once(height, width, pixels):
    share = valid_share(height, width, pixels)
    assert share.shape == patch_grid(height, width, pixels)
    assert share.sum() * pixels**2 == pytest.approx(height * width)
    assert (share > 0).all()
    assert (share <= 1).all()


def test_scale_changes_pixels_of_a_patch():
    assert pixels_per_patch(14, 2.0) == 7
    image = dino_input(torch.ones(1, 14, 14), 14, 2.0)
    assert image.shape == (1, 1, 28, 28)
    with pytest.raises(InputError, match=r"features\.scale"):
        pixels_per_patch(14, 0.3)


def test_frames_keep_unknown_apart():
    assert render_frame(np.array([[[0, 1, 255]]], np.uint8)).tolist() == [[[0.0, 1.0, 0.5]]]


def test_terrain_bands_by_kind():
    elevation = np.array([[100.0, 200.0], [300.0, np.nan]], np.float32)
    aspect = np.array([[0.0, 90.0], [180.0, np.nan]], np.float32)
    fuel = np.array([[1.0, 2.0], [1.0, np.nan]], np.float32)
    kinds = ["continuous", "angle", "categorical"]
    images = render_terrain(np.stack([elevation, aspect, fuel]), kinds)
    assert terrain_channels(["e", "a", "f"], kinds) == ["e", "a.sin", "a.cos", "f"]
    assert images[0].tolist() == [[0.0, 0.5], [1.0, 0.0]]
    assert np.allclose(images[1], [[0.5, 1.0], [0.5, 0.0]])  # sine of a clockwise angle from north: east
    assert np.allclose(images[2], [[1.0, 0.5], [0.0, 0.0]])
    assert images[3][0, 0] == images[3][1, 0] != images[3][0, 1]
    assert images.min() >= 0
    assert images.max() <= 1


def test_flat_terrain_is_not_divided_by_zero():
    assert render_terrain(np.full((1, 3, 3), 7.0, np.float32), ["continuous"]).tolist() == [[[0.0] * 3] * 3]
