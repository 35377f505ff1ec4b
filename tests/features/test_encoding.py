"""How tokens are stored: errors are bounded as documented, and nothing about a fire is in the reference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emberformer.errors import InputError
from emberformer.features.backbone import load_backbone
from emberformer.features.encoding import (
    Encoding,
    blank_tokens,
    fit_encoding,
    load_encoding,
    quantise,
    reference_images,
    save_encoding,
)
from emberformer.features.rendering import dino_input
from emberformer.settings import FeatureSettings

SETTINGS = FeatureSettings(weights="random", architecture="dinov2-tiny", precision="float32")


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(SETTINGS)


def tokens_of_a_fire(backbone):
    rows, columns = np.mgrid[:56, :70]
    burned = ((rows - 20) ** 2 + (columns - 40) ** 2 < 150).astype(np.float32)[None]
    with torch.inference_mode():
        return backbone.encode(dino_input(torch.from_numpy(burned), 14, 1.0)).patches


@settings(max_examples=50)
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_int8_errs_by_half_a_step_of_the_token(seed, size):
    residual = torch.from_numpy(np.random.default_rng(seed).normal(scale=size, size=(5, 16))).float()
    codes, scale = quantise(residual)
    assert codes.dtype == torch.int8
    assert int(codes.abs().max()) <= 127
    error = (codes * scale[:, None] - residual).abs()
    # Half a step, and a rounded scale may cut the largest value short by 127 half units of float16's precision.
    assert (error <= scale[:, None] * (0.5 + 127 * 2**-11) * 1.001 + 1e-6).all()


def test_a_token_of_zeros_stays_zero():
    codes, scale = quantise(torch.zeros(2, 4))
    assert not codes.any()
    assert not scale.any()


@pytest.mark.parametrize(
    ("dtype", "components", "most"),
    [("float32", None, 1e-7), ("float16", None, 1e-3), ("bfloat16", None, 1e-2), ("int8", None, 2e-2)],
)
def test_what_a_reader_gets_is_close_to_the_tokens(backbone, dtype, components, most):
    patches = tokens_of_a_fire(backbone)
    encoding = fit_encoding(backbone, (4, 5), 1.0, dtype, components)
    varying = patches - blank_tokens(backbone, (4, 5))
    error = (encoding.rounded(patches, "frame") - patches).norm() / varying.norm()
    assert error < most


def test_components_keep_most_of_what_varies(backbone):
    patches = tokens_of_a_fire(backbone)
    shares = []
    for components in (8, 48):
        encoding = fit_encoding(backbone, (4, 5), 1.0, "float16", components)
        varying = patches - encoding.blank
        kept = encoding.project(patches, "frame")
        assert kept.shape == (1, 4, 5, components)
        back = kept @ encoding.basis["frame"].T
        shares.append(float(1 - (back - varying).pow(2).sum() / varying.pow(2).sum()))
    assert 0.5 < shares[0] < shares[1] <= 1
    assert shares[1] > 0.95


def test_directions_are_orthonormal_and_the_same_on_every_grid(backbone):
    small, large = (fit_encoding(backbone, grid, 1.0, "int8", 6) for grid in ((2, 3), (5, 4)))
    for axis in ("frame", "terrain"):
        assert torch.equal(small.basis[axis], large.basis[axis])
        assert torch.allclose(small.basis[axis].T @ small.basis[axis], torch.eye(6), atol=1e-5)
    assert not torch.allclose(small.basis["frame"], small.basis["terrain"], atol=1e-2)


def test_more_components_than_features_are_refused(backbone):
    with pytest.raises(InputError, match=r"features\.components"):
        fit_encoding(backbone, (2, 2), 1.0, "float16", 96)


def test_an_encoding_survives_its_file(backbone, tmp_path):
    made = fit_encoding(backbone, (2, 3), 1.0, "int8", 8)
    save_encoding(made, tmp_path / "encoding.npz")
    read = load_encoding(tmp_path / "encoding.npz", "int8")
    patches = torch.randn(3, 2, 3, 96)
    for axis in ("frame", "terrain"):
        assert torch.equal(made.rounded(patches, axis), read.rounded(patches, axis))
    plain = Encoding("float16", None, {})
    save_encoding(plain, tmp_path / "plain.npz")
    assert load_encoding(tmp_path / "plain.npz", "float16") == plain


@pytest.mark.parametrize("axis", ["frame", "terrain"])
def test_reference_images_are_grey_and_always_the_same(axis):
    images = reference_images(axis, 56)
    assert images.min() >= 0
    assert images.max() <= 1
    assert np.array_equal(images, reference_images(axis, 56))
    assert images.std(axis=(1, 2)).min() > 0
