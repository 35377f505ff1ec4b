"""OpenVINO: torch's tokens within rounding, and only of what is frozen."""

import dataclasses
import subprocess
import sys

import pytest
import torch

from emberformer.errors import InputError
from emberformer.features.backbone import load_backbone
from tests.features.small_backbones import TINY, small_model


@pytest.mark.parametrize("architecture", ["dinov2-tiny", "registers", "dinov3"])
@pytest.mark.parametrize(("precision", "error"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_openvino_gives_torchs_tokens(architecture, precision, error, tmp_path):
    """Relative error in the L2 norm against torch in float32: of rounding, and of 8 bits in the mantissa."""
    pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    settings = TINY.model_copy(update={"layers": (1, 2)})
    if architecture != "dinov2-tiny":
        family = "dinov3_vit" if architecture == "dinov3" else "dinov2_with_registers"
        small_model(family).save_pretrained(tmp_path / "small")
        settings = settings.model_copy(update={"weights": str(tmp_path / "small")})
    expected_from = load_backbone(settings)
    backbone = load_backbone(settings.model_copy(update={"runtime": "openvino", "precision": precision}))
    side = backbone.patch_size
    for batch, rows, columns in [(2, 3, 3), (3, 3, 3), (1, 2, 5)]:
        images = torch.rand(batch, 1, rows * side, columns * side).round()
        with torch.inference_mode():
            expected, tokens = expected_from.encode(images), backbone.encode(images)
        for field in dataclasses.fields(expected):
            wanted, found = getattr(expected, field.name), getattr(tokens, field.name)
            assert found.dtype == torch.float32
            assert (found - wanted).norm() < error * wanted.norm(), field.name


def test_openvino_steps_aside_when_a_parameter_is_trained():
    pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    backbone = load_backbone(TINY.model_copy(update={"runtime": "openvino"}))
    images = torch.rand(1, 1, 28, 28)
    assert not backbone.encode(images).patches.requires_grad
    backbone.model.requires_grad_(True)
    next(backbone.model.parameters()).data += 0.1
    trained = backbone.encode(images).patches
    assert trained.requires_grad
    assert torch.equal(trained, dataclasses.replace(backbone, openvino=None).encode(images).patches)


def test_openvino_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'emberformer\[openvino\]'"):
        load_backbone(TINY.model_copy(update={"runtime": "openvino"}))


def test_openvino_runs_on_the_cpu():
    with pytest.raises(InputError, match="openvino on meta"):
        load_backbone(TINY.model_copy(update={"runtime": "openvino"}), torch.device("meta"))


@pytest.mark.slow
def test_a_signal_after_backbones_were_dropped_finds_its_stack():
    """Two runtimes, the first dropped first: in a process of its own, which dies where a signal stack is gone."""
    pytest.importorskip("openvino", reason="the extra `openvino` is not installed")
    code = """
import gc, signal, torch
from emberformer.features.backbone import load_backbone
from emberformer.settings import FeatureSettings
settings = FeatureSettings(weights="random", architecture="dinov2-tiny", precision="float32", runtime="openvino")
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append("heard"))
backbones = [load_backbone(settings), load_backbone(settings)]
for backbone in backbones:
    backbone.encode(torch.rand(1, 1, 28, 28))
backbone = None
while backbones:
    backbones.pop(0)
    gc.collect()
signal.raise_signal(signal.SIGUSR1)
print(*heard)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "heard\n", (done.returncode, done.stderr)
